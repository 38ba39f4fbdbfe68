//! One turn: the machine is asked until it changes nothing. Each state it gives is stored over the very version of the
//! object that it was made from, before anything else is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::events::EventType;
use sallyport_api::CertificateAuthority;
use sallyport_pki::rotation::{self, Facts, Peer, State, Step, Waiting};
use sallyport_plan::authority::published::{self, Published};
use sallyport_plan::authority::{peers, reach, restored, stored, wish};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::names;
use sallyport_plan::status::Trouble;

use super::{keys, known, publish};
use crate::context::Context;
use crate::custody::ring::Ring;
use crate::error::Error;
use crate::reconcile::certificate::ready_to_write;
use crate::report::{self, Over};
use crate::{live, reconcile};

/// More steps than an authority can have to take at once: the first generation takes four, an emergency that overtakes
/// a rotation seven.
const MOST_STEPS: usize = 32;
/// So many Events of one transition name peers that were given up; status has them all.
const MOST_NAMED: usize = 10;

/// What a turn came to.
pub(super) struct Turn {
    /// The object as it is stored now.
    pub(super) object: CertificateAuthority,
    /// Its state; nothing when it cannot be read or is not this operator's to read.
    pub(super) state: Option<State>,
    /// The keys.
    pub(super) ring: Arc<Ring>,
    /// What the ConfigMap said.
    pub(super) published: Published,
    /// Who holds what.
    pub(super) peers: BTreeMap<String, Peer>,
    /// What a rotation waits for.
    pub(super) waiting: Option<Waiting>,
    /// When to ask again for time alone.
    pub(super) wake_at: Option<Timestamp>,
    /// What keeps the machine from going on, or people from sleeping.
    pub(super) trouble: Option<Trouble>,
}

impl Turn {
    pub(super) fn holders(&self) -> BTreeMap<u32, u32> {
        peers::holders(&self.peers, clock())
    }

    fn of(object: CertificateAuthority) -> Self {
        Self {
            object,
            state: None,
            ring: Arc::default(),
            published: Published::default(),
            peers: BTreeMap::new(),
            waiting: None,
            wake_at: None,
            trouble: None,
        }
    }
}

/// Whole seconds: finer times would only make a status that differs from itself.
pub(super) fn clock() -> Timestamp {
    let now = reconcile::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The object: as it was seen, or, after a conflict, as it is.
pub(super) async fn object(ctx: &Context, key: &ObjectKey) -> Result<Option<CertificateAuthority>, Error> {
    if !ctx.authorities.take_conflict(key) {
        return Ok(ctx.world.authorities.get(key).map(|object| (*object).clone()));
    }
    live::read(ctx, key).await.inspect_err(|_| ctx.authorities.note_conflict(key))
}

/// Asks the machine until it changes nothing.
pub(super) async fn take(ctx: &Context, key: &ObjectKey, object: CertificateAuthority) -> Result<Turn, Error> {
    let mut turn = Turn::of(object);
    for _ in 0..MOST_STEPS {
        match advance(ctx, key, &mut turn).await {
            Ok(Progress::Changed) => {}
            Ok(Progress::Settled) => return Ok(turn),
            Err(error) if error.is_conflict() => return Err(error),
            Err(error) => {
                turn.trouble = Some(error.into());
                return Ok(turn);
            }
        }
    }
    tracing::error!(authority = %key, "more steps at once than there can be; going on later");
    Ok(turn)
}

enum Progress {
    Changed,
    Settled,
}

async fn advance(ctx: &Context, key: &ObjectKey, turn: &mut Turn) -> Result<Progress, Error> {
    if !ctx.for_regions.contains(&key.namespace) {
        return Err(Error::Trouble(Trouble::NamespaceNotForRegions(key.namespace.clone())));
    }
    ready_to_write(ctx, &key.namespace).map_err(Error::Trouble)?;
    // The state before the facts: a fact that is older than the state may name a key that it has just removed.
    let made_for = wish::made_for(&turn.object.spec);
    let status = turn.object.status.clone().unwrap_or_default();
    let read = stored::read(&status, &made_for);
    let state = read.map_err(|why| Error::Trouble(Trouble::StatusUnreadable(why.to_string())))?;
    turn.ring = keys::ring(ctx, key, &turn.object).await?;
    turn.published = publish::read(ctx, key).await?;
    let now = clock();
    turn.trouble = trouble(ctx, key, &state, turn, now);
    turn.state = Some(state.clone());
    let step = match &turn.trouble {
        Some(trouble) if stops(trouble, turn, &state) => return Ok(Progress::Settled),
        _ => step(ctx, key, &state, turn, now),
    };
    if step.state != state {
        store(ctx, turn, &state, step.state).await?;
        return Ok(Progress::Changed);
    }
    (turn.waiting, turn.wake_at) = (step.waiting, step.wake_at);
    keys::follow(ctx, key, turn, &step.actions)
        .await
        .map(|changed| if changed { Progress::Changed } else { Progress::Settled })
}

/// The machine, or what comes before it: what a person put back, or gave up for lost.
fn step(ctx: &Context, key: &ObjectKey, state: &State, turn: &mut Turn, now: Timestamp) -> Step {
    let only = |state| Step { state, actions: Vec::new(), wake_at: None, waiting: None };
    let mut wish = wish::of(&turn.object, Some(state));
    if let Some(request) = wish.request.take_if(|_| is_lost(state, turn)) {
        return only(restored::after_loss(&turn.published, &request, now));
    }
    let mut with_certificates = keys::with_certificates(state, &turn.ring, now);
    if with_certificates != *state {
        stored::sequence(state, &mut with_certificates, now);
        return only(with_certificates);
    }
    if !ctx.authorities.is_settled(key) {
        // The status may have been restored from an older backup.
        let counting_on = restored::counting_on(state, &turn.published, now);
        if counting_on != *state {
            return only(counting_on);
        }
    }
    let digest = publish::bundle(ctx, key, state, turn).map(|bundle| bundle.digest()).unwrap_or_default();
    turn.peers = known::peers(ctx, key, state, &digest, now);
    let keys = reach::keys(state, turn.ring.keys(), turn.ring.unreachable.keys().copied());
    let facts = Facts { keys, made: turn.ring.made(), digest, peers: turn.peers.clone(), wish };
    let mut step = rotation::step(state, &facts, now);
    stored::sequence(state, &mut step.state, now);
    step
}

/// Status and key are lost together, and only the ConfigMap remembers that there was an authority.
fn is_lost(state: &State, turn: &Turn) -> bool {
    state.generations.is_empty() && turn.ring.generations.is_empty() && !turn.published.certificates.is_empty()
}

fn trouble(ctx: &Context, key: &ObjectKey, state: &State, turn: &Turn, now: Timestamp) -> Option<Trouble> {
    let secret = ObjectKey::new(&key.namespace, names::authority(&key.name));
    if let Some(needed) = needed(state, turn) {
        return unreachable(needed, turn, &secret);
    }
    if is_lost(state, turn) {
        return Some(Trouble::AuthorityLost(secret));
    }
    // Only what was there before this process counts: later the operator puts right whatever somebody writes there.
    let unknown = published::unknown(&turn.published, state, &turn.ring.fingerprints(), now);
    if !unknown.is_empty() && !ctx.authorities.is_settled(key) {
        let config_map = ObjectKey::new(&key.namespace, names::authority_trust(&key.name));
        return Some(Trouble::AuthorityRestored { config_map, secret, fingerprints: unknown.join(", ") });
    }
    let signing = &state.issuing()?.generation;
    if let Some(trouble) = unreachable(signing.number, turn, &secret) {
        return Some(trouble);
    }
    let usable = turn.ring.generations.get(&signing.number).and_then(|kept| kept.authority.as_ref());
    match usable.map(|authority| authority.generation() == *signing) {
        Some(true) => None,
        None if turn.ring.version.is_none() => Some(Trouble::AuthorityLost(secret)),
        _ => Some(Trouble::AuthorityDamaged(secret)),
    }
}

/// A generation whose key cannot be reached and that nothing goes on without.
fn needed(state: &State, turn: &Turn) -> Option<u32> {
    let request = wish::of(&turn.object, Some(state)).request;
    reach::needed(state, turn.ring.unreachable.keys().copied(), request.as_ref())
}

fn unreachable(generation: u32, turn: &Turn, secret: &ObjectKey) -> Option<Trouble> {
    let why = turn.ring.unreachable.get(&generation)?;
    Some(Trouble::Token(format!(
        "the key of generation {generation} cannot be reached: {why}. If it never can be again, ask for a rotation to another \
         spec.custody (sallyportctl ca rotate); what waits for that key all the same goes on once generation-{generation}.pkcs11 \
         is taken out of Secret {secret}, which says that the key is lost"
    )))
}

/// Whether the machine must not be asked: because it needs to know whether a key is there, or because a person decides
/// first.
fn stops(trouble: &Trouble, turn: &Turn, state: &State) -> bool {
    match trouble {
        Trouble::Token(_) => needed(state, turn).is_some(),
        Trouble::AuthorityLost(_) if state.generations.is_empty() => turn.object.spec.rotate_request.is_none(),
        Trouble::AuthorityDamaged(_) | Trouble::AuthorityLost(_) => false,
        _ => true,
    }
}

/// Stores a state. Only then it holds.
async fn store(ctx: &Context, turn: &mut Turn, before: &State, after: State) -> Result<(), Error> {
    leads(ctx)?;
    let mut status = turn.object.status.clone().unwrap_or_default();
    stored::write(&after, &mut status);
    turn.object = report::write(ctx, &turn.object, &status, Over::ThisVersion).await?;
    tell(ctx, &turn.object, before, &after).await;
    turn.state = Some(after);
    Ok(())
}

/// A process whose lease is over writes nothing that must not be written twice.
pub(super) fn leads(ctx: &Context) -> Result<(), Error> {
    if ctx.fence.holds() {
        return Ok(());
    }
    Err(Error::Trouble(Trouble::Starting("the lease, which it has not renewed in time".to_owned())))
}

/// An Event for each transition, and for everybody who is given up.
async fn tell(ctx: &Context, object: &CertificateAuthority, before: &State, after: &State) {
    for entry in after.history.iter().filter(|entry| !before.history.contains(entry)) {
        let note = format!("generation {}: {}", entry.generation, entry.why);
        tracing::info!(generation = entry.generation, stage = ?entry.stage, reason = entry.why, "transition");
        report::tell(ctx, object, EventType::Normal, &format!("Generation{:?}", entry.stage), &note).await;
    }
    let given_up: Vec<_> = after.given_up.iter().filter(|one| !before.given_up.contains(one)).collect();
    for one in &given_up {
        tracing::warn!(peer = one.peer, generation = one.generation, reason = one.reason, "given up");
    }
    for one in given_up.iter().take(MOST_NAMED) {
        let note =
            format!("the rotation to generation {} goes on without {}: {}", one.generation, one.peer, one.reason);
        report::tell(ctx, object, EventType::Warning, "PeerGivenUp", &note).await;
    }
    if given_up.len() > MOST_NAMED {
        let note = format!("{} more peers were given up; see status.givenUp", given_up.len() - MOST_NAMED);
        report::tell(ctx, object, EventType::Warning, "PeerGivenUp", &note).await;
    }
}

#[cfg(test)]
mod tests;
