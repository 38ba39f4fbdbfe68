//! The revocation lists of an authority: which stand, and which are signed anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_api::certificate_authority::RevocationListStatus;
use sallyport_pki::revocation::RevocationList;
use sallyport_pki::rotation::State;
use sallyport_plan::authority::denied::{self, Denied};
use sallyport_plan::authority::lists::{self, Next, Wanted};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::revocation::{self, RevokedCertificate};

use super::super::revoked::unrecorded_of;
use super::turn::Turn;
use crate::authorities::List;
use crate::context::Context;
use crate::custody::blocking;
use crate::custody::ring::Ring;

/// The lists of all trusted generations.
#[derive(Default)]
pub(super) struct Lists {
    /// By fingerprint of their issuer.
    pub(super) by_issuer: BTreeMap<String, RevocationList>,
    /// What belongs on lists that cannot be signed.
    pub(super) denied: BTreeSet<Denied>,
    /// What a person should know of them.
    pub(super) notes: Vec<String>,
    /// When the first of them is due. In the past: it cannot be signed.
    pub(super) renew_at: Option<Timestamp>,
}

/// What is known of revocations.
struct Known {
    /// What objects say.
    revoked: Vec<RevokedCertificate>,
    /// When certificates end that objects still know.
    ends: BTreeMap<String, Timestamp>,
    /// Lists of before, by fingerprint of their issuer.
    lists: BTreeMap<String, Vec<RevocationList>>,
    /// What was on none before.
    denied: BTreeSet<Denied>,
}

/// Brings them up to date. A generation whose key is not there keeps its last one, and what that lacks is denied.
pub(super) fn bring_about(ctx: &Context, key: &ObjectKey, state: &State, turn: &Turn, now: Timestamp) -> Lists {
    let certificates = ctx.world.certificates.snapshot();
    let mut revoked = revocation::of_authority(key, &certificates, &ctx.world.catalogue(), now);
    let trusted = state.bundle().into_iter().filter_map(|number| state.generation(number));
    let generations = trusted.map(|g| (g.generation.fingerprint.clone(), g.generation.number)).collect();
    revoked.extend(unrecorded_of(ctx, key, &generations));
    let known = Known {
        revoked,
        ends: lists::ends(&certificates),
        lists: remembered(ctx, key, turn),
        denied: denied_before(ctx, key, turn),
    };
    let lifetime = turn.object.spec.revocation_lists.lifetime.length();
    up_to_date(state, &turn.ring, &known, lifetime, now)
}

fn up_to_date(state: &State, ring: &Ring, known: &Known, lifetime: Duration, now: Timestamp) -> Lists {
    let mut all = Lists::default();
    for number in state.bundle() {
        let Some(generation) = state.generation(number).map(|g| &g.generation) else { continue };
        let issuer = &generation.fingerprint;
        let before = known.lists.get(issuer).map(Vec::as_slice).unwrap_or_default();
        let mut revoked: Vec<_> = known.revoked.iter().filter(|r| r.issuer_generation == number).cloned().collect();
        revoked.extend(denied::as_revoked(&known.denied, issuer, number, now));
        let list = match lists::next(before, &revoked, &known.ends, lifetime, now) {
            Next::Keep(list) => Some(list),
            Next::Sign(wanted) => match sign(ring, number, issuer, &wanted) {
                Ok(list) => Some(list),
                Err(why) => {
                    let last = before.iter().max_by_key(|list| list.number()).cloned();
                    let unlisted = denied::unlisted(issuer, &wanted, last.as_ref(), &revoked, &known.ends);
                    all.notes.push(note(number, &why, last.as_ref(), unlisted.len()));
                    all.denied.extend(unlisted);
                    last
                }
            },
        };
        if let Some(list) = list {
            // Its own time, whatever now is: what cannot be signed anew must not change status with every look.
            let renew_at = lists::renew_at(&list, lifetime);
            all.renew_at = Some(all.renew_at.map_or(renew_at, |earliest| earliest.min(renew_at)));
            all.by_issuer.insert(issuer.clone(), list);
        }
    }
    all
}

fn sign(ring: &Ring, generation: u32, issuer: &str, wanted: &Wanted) -> Result<RevocationList, String> {
    let kept = ring.by_fingerprint(issuer).and_then(|kept| kept.authority.clone());
    let authority = kept.ok_or_else(|| match ring.unreachable.get(&generation) {
        Some(why) => format!("its key cannot be reached: {why}"),
        None => "its key is not there".to_owned(),
    })?;
    let Wanted { entries, number, this_update, next_update } = wanted;
    let der = blocking(|| authority.revocation_list(entries, *number, *this_update, *next_update));
    let der = der.map_err(|error| error.to_string())?;
    tracing::info!(issuer, number, entries = entries.len(), "signed a revocation list");
    RevocationList::parse(&der).map_err(|error| error.to_string())
}

fn note(number: u32, why: &str, last: Option<&RevocationList>, denied: usize) -> String {
    let denied = match denied {
        0 => String::new(),
        count => format!("; {count} certificates that it lacks are refused by name"),
    };
    match last {
        Some(last) => {
            format!(
                "the revocation list of generation {number} cannot be signed anew ({why}); the last one ends at {}{denied}",
                last.next_update()
            )
        }
        None => format!("generation {number} has no revocation list ({why}); doors refuse its certificates{denied}"),
    }
}

/// Read from the ConfigMap once, when this process begins: whoever may write there later must not be able to put
/// somebody on a list that is signed.
fn denied_before(ctx: &Context, key: &ObjectKey, turn: &Turn) -> BTreeSet<Denied> {
    ctx.authorities.get(key).map_or_else(|| turn.published.denied.clone(), |signer| signer.denied.all.clone())
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
        let listed: usize = self.by_issuer.values().map(|list| list.entries().len()).sum();
        Some(RevocationListStatus {
            revoked: u32::try_from(listed + self.denied.len()).unwrap_or(u32::MAX),
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

#[cfg(test)]
mod tests;
