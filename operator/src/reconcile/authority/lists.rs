//! The revocation lists of an authority: which stand, and which are signed anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_api::certificate_authority::RevocationListStatus;
use sallyport_pki::revocation::RevocationList;
use sallyport_pki::rotation::State;
use sallyport_plan::authority::lists::{self, Next, Wanted};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::revocation;

use super::turn::Turn;
use crate::authorities::List;
use crate::context::Context;
use crate::custody::blocking;

/// The lists of all trusted generations.
#[derive(Default)]
pub(super) struct Lists {
    /// By fingerprint of their issuer.
    pub(super) by_issuer: BTreeMap<String, RevocationList>,
    /// What a person should know of them.
    pub(super) notes: Vec<String>,
    /// When the first of them is signed anew.
    pub(super) renew_at: Option<Timestamp>,
}

/// Brings them up to date. A generation whose key is lost keeps its last one.
pub(super) fn bring_about(ctx: &Context, key: &ObjectKey, state: &State, turn: &Turn, now: Timestamp) -> Lists {
    let certificates = ctx.world.certificates.snapshot();
    let revoked = revocation::of_authority(key, &certificates, &ctx.world.catalogue(), now);
    let (ends, lifetime) = (lists::ends(&certificates), turn.object.spec.revocation_lists.lifetime.length());
    let remembered = remembered(ctx, key, turn);
    let mut all = Lists::default();
    for number in state.bundle() {
        let Some(generation) = state.generation(number).map(|g| &g.generation) else { continue };
        let issuer = &generation.fingerprint;
        let known = remembered.get(issuer).map(Vec::as_slice).unwrap_or_default();
        let mine: Vec<_> = revoked.iter().filter(|one| one.issuer_generation == number).cloned().collect();
        let signed = match lists::next(known, &mine, &ends, lifetime, now) {
            Next::Keep(list) => Ok(list),
            Next::Sign(wanted) => sign(turn, issuer, &wanted),
        };
        let list = match signed {
            Ok(list) => Some(list),
            Err(why) => {
                let last = known.iter().max_by_key(|list| list.number()).cloned();
                all.notes.push(note(number, &why, last.as_ref()));
                last
            }
        };
        if let Some(list) = list {
            let renew_at = lists::renew_at(&list, lifetime).max(now);
            all.renew_at = Some(all.renew_at.map_or(renew_at, |earliest| earliest.min(renew_at)));
            all.by_issuer.insert(issuer.clone(), list);
        }
    }
    all
}

fn sign(turn: &Turn, issuer: &str, wanted: &Wanted) -> Result<RevocationList, String> {
    let kept = turn.ring.by_fingerprint(issuer).and_then(|kept| kept.authority.clone());
    let authority = kept.ok_or("its key is not there")?;
    let Wanted { entries, number, this_update, next_update } = wanted;
    let der = blocking(|| authority.revocation_list(entries, *number, *this_update, *next_update));
    let der = der.map_err(|error| error.to_string())?;
    tracing::info!(issuer, number, entries = entries.len(), "signed a revocation list");
    RevocationList::parse(&der).map_err(|error| error.to_string())
}

fn note(number: u32, why: &str, last: Option<&RevocationList>) -> String {
    match last {
        Some(last) => {
            format!(
                "the revocation list of generation {number} cannot be signed anew ({why}); the last one ends at {}",
                last.next_update()
            )
        }
        None => format!("generation {number} has no revocation list ({why}); doors refuse its certificates"),
    }
}

/// From the ConfigMap, and from this process's memory: what was written there may have been damaged.
fn remembered(ctx: &Context, key: &ObjectKey, turn: &Turn) -> BTreeMap<String, Vec<RevocationList>> {
    let mut all = BTreeMap::<String, Vec<RevocationList>>::new();
    for (issuer, list) in &turn.published.lists {
        all.entry(issuer.clone()).or_default().push(list.clone());
    }
    for list in ctx.authorities.get(key).iter().flat_map(|signer| &signer.lists) {
        if let Ok(parsed) = RevocationList::parse(&list.der) {
            all.entry(list.issuer.clone()).or_default().push(parsed);
        }
    }
    all
}

impl Lists {
    /// As users see them. `published` says which serial numbers the ConfigMap remembers.
    pub(super) fn for_users(&self, published: impl Fn(&RevocationList) -> BTreeSet<String>) -> Vec<List> {
        let list = |(issuer, list): (&String, &RevocationList)| List {
            issuer: issuer.clone(),
            number: list.number(),
            next_update: list.next_update(),
            serials: published(list),
            der: list.der().to_vec(),
        };
        self.by_issuer.iter().map(list).collect()
    }

    pub(super) fn status(&self) -> Option<RevocationListStatus> {
        let ends = self.by_issuer.values().map(RevocationList::next_update).min()?;
        let revoked: usize = self.by_issuer.values().map(|list| list.entries().len()).sum();
        Some(RevocationListStatus {
            revoked: u32::try_from(revoked).unwrap_or(u32::MAX),
            next_update: ends.to_string(),
            renew_at: self.renew_at.unwrap_or(ends).to_string(),
        })
    }
}

/// Serial numbers on a list.
pub(super) fn serials(list: &RevocationList) -> BTreeSet<String> {
    list.entries().iter().map(|entry| entry.serial_hex.clone()).collect()
}

/// How long a failed signature waits to be tried again.
pub(super) const RETRY: Duration = Duration::from_secs(30);
