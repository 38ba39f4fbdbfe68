//! `CertificateAuthority`: drives the rotation machine ([`sallyport_pki::rotation`]). What follows from the state is done
//! after the state is stored, and never before.
//!
//! ```text
//!  turn: read ─▶ step ─▶ store ─┐ until it changes nothing; keys are made and destroyed here
//!          ▲──────────────────◀─┘
//!  bundle, lists (pure, signing) ─▶ ConfigMap ─▶ Signer in memory ─▶ users wake ─▶ ClusterTrustBundle ─▶ status
//! ```

mod cluster_bundle;
mod keys;
mod known;
mod lists;
mod publish;
#[cfg(test)]
mod sample;
mod turn;

use std::time::Duration;

use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::status::{self, AuthorityFacts, Trouble};

use self::publish::Outcome;
use self::turn::Turn;
use super::{Again, LOOK_AGAIN, handled_elsewhere, now, sooner, until};
use crate::context::Context;
use crate::error::Error;
use crate::{report, wake};

pub use cluster_bundle::{ClusterBundles, sweep};

/// One certificate authority.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(object) = turn::object(ctx, key).await? else { return gone(ctx, key).await }; // cache; client after a conflict
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let turn = noting_conflicts(ctx, key, turn::take(ctx, key, object).await)?; // client: the machine
    if handled_elsewhere(&turn.object, &turn.trouble.clone().map_or(Ok(()), Err)) {
        return Ok(None);
    }
    let outcome = publish::all(ctx, key, &turn).await; // client: bundle, lists, signer
    let facts = facts(&turn, &outcome); // pure
    let status = status::authority(&turn.object, &facts, now()); // pure
    let again = noting_conflicts(ctx, key, report::guarded(ctx, &turn.object, status).await)?; // client
    let again = sooner(again, turn.wake_at.map(|at| until(at, now())));
    next(sooner(again, settling(ctx, &turn)), &turn, outcome)
}

async fn gone(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    if ctx.authorities.remove(key) {
        wake::users_of_authority(ctx, key);
    }
    cluster_bundle::remove(ctx, key).await?;
    Ok(None)
}

/// After a conflict the cache is behind: the next turn reads the object itself.
fn noting_conflicts<T>(ctx: &Context, key: &ObjectKey, result: Result<T, Error>) -> Result<T, Error> {
    if result.as_ref().is_err_and(Error::is_conflict) {
        ctx.authorities.note_conflict(key);
    }
    result
}

/// While an operator is young, gateways that it has not heard of are waited for; that this is over tells it nobody.
fn settling(ctx: &Context, turn: &Turn) -> Again {
    // By the clock that the turn went by: whole seconds are up to one behind.
    (turn.waiting.is_some() && ctx.links.is_settling(turn::clock())).then_some(Duration::from_secs(1))
}

fn facts<'a>(turn: &'a Turn, outcome: &'a Outcome) -> AuthorityFacts<'a> {
    AuthorityFacts {
        state: turn.state.as_ref(),
        waiting: turn.waiting.as_ref(),
        wake_at: turn.wake_at,
        holders: turn.holders(),
        digest: outcome.digest.clone(),
        lists: outcome.lists.clone(),
        trouble: turn.trouble.as_ref().or(outcome.trouble.as_ref()),
        notes: outcome.notes.clone(),
    }
}

/// What somebody else must put right is looked at now and then; what passes is tried again soon.
fn next(again: Again, turn: &Turn, outcome: Outcome) -> Result<Again, Error> {
    let again = sooner(again, outcome.renew_at.map(|at| until(at, now())));
    match turn.trouble.clone().or(outcome.trouble) {
        None => Ok(again),
        Some(Trouble::Token(_) | Trouble::AuthorityRestored { .. } | Trouble::RevocationListFull { .. }) => {
            Ok(sooner(again, Some(LOOK_AGAIN)))
        }
        Some(trouble) => super::after_trouble(again, trouble),
    }
}
