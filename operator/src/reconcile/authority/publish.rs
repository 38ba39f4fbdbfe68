//! What follows from the stored state: the ConfigMap, then the Signer that everybody in this process uses.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::api::{DynamicObject, ObjectMeta};
use sallyport_api::certificate_authority::RevocationListStatus;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use sallyport_pki::pem;
use sallyport_pki::revocation::RevocationList;
use sallyport_pki::rotation::{Cause, State};
use sallyport_plan::authority::published::{self, MAX_BYTES, Published};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::status::Trouble;
use sallyport_plan::{names, objects};

use super::cluster_bundle;
use super::lists::{self, Lists};
use super::turn::{Turn, clock, leads};
use crate::authorities::{DenyList, Issuing, Signer, Standing};
use crate::context::Context;
use crate::error::{Error, found};
use crate::kinds::Kind;
use crate::{apply, wake};

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    /// Digest of the bundle, once it is published.
    pub(super) digest: Option<String>,
    /// The revocation lists.
    pub(super) lists: Option<RevocationListStatus>,
    /// When the lists are due.
    pub(super) renew_at: Option<Timestamp>,
    /// What kept it from being published.
    pub(super) trouble: Option<Trouble>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// What the ConfigMap says. The first time in this process it is read itself: it may hold what no cache selects.
pub(super) async fn read(ctx: &Context, key: &ObjectKey) -> Result<Published, Error> {
    let config_map = config_map_key(key);
    let cached = ctx.world.child(objects::Kind::ConfigMap, &config_map);
    let object: Option<DynamicObject> = match cached {
        Some(object) if ctx.authorities.is_settled(key) => Some((*object).clone()),
        _ => {
            let api = apply::api(ctx, objects::Kind::ConfigMap, &key.namespace);
            found(api.get(&config_map.name).await).map_err(Error::api(format!("read ConfigMap {config_map}")))?
        }
    };
    let value = object.map(|object| serde_json::to_value(object).unwrap_or_default());
    Ok(value.map(|value| published::read(&value, clock())).unwrap_or_default())
}

/// The bundle of a state, if the certificate of each of its generations is known. A smaller one is never published.
pub(super) fn bundle(ctx: &Context, key: &ObjectKey, state: &State, turn: &Turn) -> Option<TrustBundle> {
    let signer = ctx.authorities.get(key);
    let remembered = signer.and_then(|signer| TrustBundle::from_pem(&signer.trust).ok()).unwrap_or_default();
    let remembered: BTreeMap<_, _> =
        remembered.certificates().map(|der| (inspect::fingerprint(&der), der.to_vec())).collect();
    let mut text = String::new();
    for number in state.bundle() {
        let fingerprint = &state.generation(number)?.generation.fingerprint;
        let kept = turn.ring.by_fingerprint(fingerprint).map(|kept| &kept.certificate);
        // What somebody else may write counts only by the fingerprint that status remembers.
        let der = kept.or(turn.published.certificates.get(fingerprint)).or(remembered.get(fingerprint))?;
        text.push_str(&pem::certificate(der));
    }
    if text.is_empty() { Some(TrustBundle::empty()) } else { TrustBundle::from_pem(&text).ok() }
}

/// Publishes. While a person has to decide something first, only what is known already is told to gateways: they go on
/// being told whom to refuse, and lose nobody. Their bundle has the number that status remembers, so those that trust more
/// keep it.
pub(super) async fn all(ctx: &Context, key: &ObjectKey, turn: &Turn) -> Outcome {
    let Some(state) = turn.state.as_ref().filter(|state| !state.bundle().is_empty()) else {
        // Nothing that was read says that there is anybody to trust; what was said before stays.
        return Outcome::default();
    };
    let Some(bundle) = bundle(ctx, key, state, turn) else {
        let secret = ObjectKey::new(&key.namespace, names::authority(&key.name));
        return Outcome { trouble: Some(Trouble::AuthorityLost(secret)), ..Outcome::default() };
    };
    let now = clock();
    let lists = lists::bring_about(ctx, key, state, turn, now);
    if matches!(turn.trouble, Some(Trouble::AuthorityRestored { .. })) {
        if tell(ctx, key, turn, state, &bundle, &lists, Memory::AsFound) {
            wake::users_of_authority(ctx, key);
        }
        return Outcome { renew_at: due(&lists, now), ..Outcome::default() };
    }
    let mut outcome = Outcome { notes: lists.notes.clone(), ..Outcome::default() };
    let written = config_map(ctx, key, state, &bundle, &lists).await;
    // Gateways are told all the same: what is revoked is revoked. That it is remembered is said only when it is.
    let memory = if written.is_ok() { Memory::Written } else { Memory::NotWritten };
    if tell(ctx, key, turn, state, &bundle, &lists, memory) {
        wake::users_of_authority(ctx, key);
    }
    match written {
        Ok(()) => {
            outcome.digest = Some(bundle.digest());
            outcome.lists = lists.status();
        }
        Err(trouble) => outcome.trouble = Some(trouble),
    }
    outcome.renew_at = due(&lists, now);
    outcome.notes.extend(cluster_bundle::bring_about(ctx, key, &turn.object, &bundle).await);
    outcome
}

/// When lists are looked at again: when the first is due; one that cannot be signed, after a while.
fn due(lists: &Lists, now: Timestamp) -> Option<Timestamp> {
    if lists.notes.is_empty() {
        return lists.renew_at;
    }
    let soon = now.checked_add(lists::RETRY).unwrap_or(now);
    Some(lists.renew_at.map_or(soon, |at| at.max(soon)))
}

async fn config_map(
    ctx: &Context,
    key: &ObjectKey,
    state: &State,
    bundle: &TrustBundle,
    lists: &Lists,
) -> Result<(), Trouble> {
    let (bundle, pem) = (bundle.to_pem(), published::lists_pem(lists.by_issuer.values().map(RevocationList::der)));
    let bytes = bundle.len() + pem.len() + published::denied_lines(&lists.denied).len();
    if bytes > MAX_BYTES {
        return Err(Trouble::RevocationListFull { config_map: config_map_key(key), bytes, most: MAX_BYTES });
    }
    leads(ctx)?;
    let annotations = published::annotations(state);
    let child = objects::authority::published(&key.namespace, &key.name, &bundle, &pem, &lists.denied, annotations);
    let is_ours = |metadata: &ObjectMeta| {
        let labels = metadata.labels.clone().unwrap_or_default();
        objects::authority::is_of(&labels, &key.name)
    };
    apply::ownerless(ctx, Kind::CertificateAuthority, &key.namespace, &child, is_ours).await.map_err(Trouble::from)
}

/// What the ConfigMap remembers of what is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// What it said before: it is not to be written.
    AsFound,
    /// What was remembered before: it could not be written.
    NotWritten,
    /// All of it.
    Written,
}

/// Puts the Signer in memory. Whether it is another than before.
fn tell(
    ctx: &Context,
    key: &ObjectKey,
    turn: &Turn,
    state: &State,
    bundle: &TrustBundle,
    lists: &Lists,
    memory: Memory,
) -> bool {
    let before = ctx.authorities.get(key);
    let trusted = state.generations.iter().filter(|g| state.bundle().contains(&g.generation.number));
    let issuing = state.issuing().and_then(|signing| {
        let kept = turn.ring.by_fingerprint(&signing.generation.fingerprint)?;
        Some(Issuing::of(kept.authority.clone()?, signing.since))
    });
    let serials = |list: &RevocationList| match memory {
        Memory::Written => lists::serials(list),
        Memory::AsFound | Memory::NotWritten => still_remembered(list, before.as_deref(), &turn.published),
    };
    let remembered = match memory {
        Memory::Written => lists.denied.clone(),
        Memory::AsFound => lists.denied.intersection(&turn.published.denied).cloned().collect(),
        Memory::NotWritten => {
            let before = before.as_ref().map(|signer| signer.denied.remembered.clone()).unwrap_or_default();
            lists.denied.intersection(&before).cloned().collect()
        }
    };
    let signer = Signer {
        issuing,
        trust: bundle.to_pem(),
        digest: bundle.digest(),
        sequence: state.sequence,
        generations: trusted.map(|g| (g.generation.fingerprint.clone(), g.generation.number)).collect(),
        renew_within: turn.object.spec.rotation.renew_within.length(),
        emergency: state.issuing().is_some_and(|signs| signs.cause == Cause::Emergency),
        lists: lists.for_users(serials),
        denied: DenyList { all: lists.denied.clone(), remembered },
        standing: if memory == Memory::AsFound { Standing::Undecided } else { Standing::Settled },
        version: 0,
    };
    ctx.authorities.put(key, signer)
}

/// Serial numbers on a list that the ConfigMap has, though the list itself is not written there.
fn still_remembered(list: &RevocationList, before: Option<&Signer>, published: &Published) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for old in before.iter().flat_map(|signer| &signer.lists) {
        known.extend(old.serials.iter().filter(|serial| list.revokes(serial)).cloned());
    }
    for (_, old) in &published.lists {
        known.extend(lists::serials(old).into_iter().filter(|serial| list.revokes(serial)));
    }
    known
}

fn config_map_key(key: &ObjectKey) -> ObjectKey {
    ObjectKey::new(&key.namespace, names::authority_trust(&key.name))
}

#[cfg(test)]
mod tests;
