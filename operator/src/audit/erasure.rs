//! Lawful erasure of persons: their keys are destroyed, first recorded by every gateway, which then forgets its own copy.
//! Records and their proofs stay; who it was nobody can read any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_api::audit::Erasure;
use sallyport_audit::event::AuditErased;
use sallyport_audit::{Event, Subject, Text};
use sallyport_core::name::Name;
use sallyport_plan::audit::facts::Erased;
use sallyport_plan::audit::pending_erasures;
use sallyport_plan::names;

use super::chain;
use super::persons::{self, Erasing, Persons, PersonsError};
use super::records::{Open, Records, WriteError};
use crate::context::Shared;

/// How often it is looked for erasures that are not done.
const LOOK: Duration = Duration::from_secs(5);

/// Erases, until dropped.
pub(super) async fn run(ctx: &Shared, records: &Records, open: &Open) {
    let mut said = String::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(region) = ctx.world.regions.get(&records.key) else { continue };
        let done: BTreeSet<String> = records.update(|facts| facts.erased.keys().cloned().collect());
        let gateways: Vec<Name> = (0..region.spec.replicas)
            .filter_map(|ordinal| names::pod(&records.key.name, ordinal).parse().ok())
            .collect();
        for erasure in pending_erasures(&region).filter(|erasure| !done.contains(&erasure.id)) {
            match erase(records, open, erasure, &gateways, Timestamp::now()).await {
                Ok(erased) => {
                    tracing::info!(region = %records.key, erasure = erasure.id, keys = erased.keys, "a person's keys are destroyed");
                    let region = records.key.to_string();
                    ctx.metrics.audit.erased.with_label_values(&[&region]).inc_by(u64::from(erased.keys));
                    records.update(|facts| facts.erased.insert(erasure.id.clone(), erased));
                }
                Err(error) => {
                    let reason = chain(&error);
                    if said != reason {
                        tracing::warn!(region = %records.key, erasure = erasure.id, reason, "not erased everywhere yet");
                        said = reason;
                    }
                }
            }
        }
    }
}

/// One erasure, as far as it can be brought now. It is done when every gateway has it in its log, and so has forgotten
/// the person; the archive's keys do not wait for that.
async fn erase(
    records: &Records,
    open: &Open,
    erasure: &Erasure,
    gateways: &[Name],
    now: Timestamp,
) -> Result<Erased, EraseError> {
    let subject: Subject = erasure.subject.parse().map_err(|_| EraseError::Subject)?;
    let mut erasing = {
        let _only = records.persons.lock().await;
        let person = persons::load(&open.archive, &records.id, subject).await?;
        match person.erased.get(&erasure.id) {
            Some(begun) => begun.clone(),
            None => Erasing { at: now, keys: count(&person, now), late: 0, told: BTreeMap::new() },
        }
    };
    let mut missing = None;
    for gateway in gateways {
        match tell(records, gateway, erasure, subject, &mut erasing).await {
            Ok(()) => {}
            Err(error) => missing = Some(EraseError::NotTold { gateway: gateway.clone(), source: error }),
        }
    }
    // Recorded by one at least, before anything is destroyed.
    if erasing.told.is_empty() {
        return Err(missing.unwrap_or(EraseError::Nobody));
    }
    let erased = destroy(records, open, erasure, subject, erasing).await?;
    match missing {
        Some(error) => Err(error),
        None => Ok(erased),
    }
}

async fn tell(
    records: &Records,
    gateway: &Name,
    erasure: &Erasure,
    subject: Subject,
    erasing: &mut Erasing,
) -> Result<(), WriteError> {
    let told = |erasing: &Erasing| {
        let incarnation =
            records.update(|facts| facts.gateways.get(gateway.as_str()).map(|log| log.incarnation.clone()));
        incarnation.and_then(|name| name.parse().ok()).is_some_and(|name| erasing.told.contains_key(&name))
    };
    if told(erasing) {
        return Ok(());
    }
    let basis = Text::clipped(&erasure.legal_basis);
    let event = AuditErased { site: None, subject, basis, keys: u64::from(erasing.keys) };
    let written = records.write_to(gateway, Event::AuditErased(event)).await?;
    erasing.told.insert(written.incarnation, written.sequence);
    Ok(())
}

/// Destroys what is in the archive, and leaves when that was, for keys of before that come late.
async fn destroy(
    records: &Records,
    open: &Open,
    erasure: &Erasure,
    subject: Subject,
    erasing: Erasing,
) -> Result<Erased, EraseError> {
    let _only = records.persons.lock().await;
    let mut person = persons::load(&open.archive, &records.id, subject).await?;
    let first = !person.erased.contains_key(&erasure.id);
    let known = person.erased.entry(erasure.id.clone()).or_insert_with(|| erasing.clone());
    known.told.extend(erasing.told);
    if first {
        let at = known.at;
        let before = person.keys.len();
        person.keys.retain(|_, kept| !kept.is_before(at));
        known.keys = u32::try_from(before - person.keys.len()).unwrap_or(u32::MAX);
    }
    let erased = person
        .erased
        .get(&erasure.id)
        .map_or(Erased { keys: 0, at: erasing.at }, |known| Erased { keys: known.keys, at: known.at });
    persons::store(&open.archive, &records.id, subject, &person).await?;
    Ok(erased)
}

fn count(person: &Persons, at: Timestamp) -> u32 {
    u32::try_from(person.keys.values().filter(|kept| kept.is_before(at)).count()).unwrap_or(u32::MAX)
}

/// Why an erasure is not done.
#[derive(Debug, thiserror::Error)]
enum EraseError {
    /// The region has no gateways.
    #[error("no gateway is there to record it")]
    Nobody,
    /// One has not recorded it.
    #[error("gateway {gateway} has not recorded it, and may hold the person's key")]
    NotTold {
        /// Which.
        gateway: Name,
        /// Why.
        #[source]
        source: WriteError,
    },
    /// See [`PersonsError`].
    #[error(transparent)]
    Persons(#[from] PersonsError),
    /// The definition should not let this in.
    #[error("spec.audit.erasures.subject is no digest of a user id; use sallyportctl audit subject")]
    Subject,
}

#[cfg(test)]
mod tests;
