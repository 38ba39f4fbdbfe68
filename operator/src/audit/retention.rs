//! Deletion of what is old enough (R96): whole entry bundles, oldest first, each stretch recorded before it goes. Hash
//! tiles stay, so that what remains can still be proven. Under a hold nothing goes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_api::{CustomerSite, DmzRegion};
use sallyport_audit::event::AuditDeleted;
use sallyport_audit::tlog::tile::{Tile, entries};
use sallyport_audit::{Event, Origin, Scope, Text, decode};
use sallyport_core::name::SiteId;
use sallyport_plan::catalogue::{ObjectKey, region_key};
use sallyport_plan::retention::{self, Retention};
use tokio::time::Instant;

use super::archive::{Archive, ArchiveError, layout};
use super::chain;
use super::collect::state::State;
use super::records::{Open, Records, WriteError};
use crate::context::Shared;
use crate::error::Error;
use crate::live;

mod acts;

/// How often it is looked whether a pass is due.
const LOOK: Duration = Duration::from_secs(30);
/// Between two passes while nothing has changed.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// After one that failed.
const AGAIN: Duration = Duration::from_secs(600);

/// Deletes, until dropped.
pub(super) async fn run(ctx: &Shared, records: &Records, open: &Open) {
    let (mut before, mut due) = (None, Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let rules = rules(ctx, records);
        if Instant::now() < due && before.as_ref() == Some(&rules) {
            continue;
        }
        if let Some(before) = before.replace(rules.clone()) {
            acts::record(records, &before, &rules).await;
        }
        due = Instant::now() + EVERY;
        if let Err(error) = pass(ctx, records, open, Timestamp::now()).await {
            tracing::warn!(region = %records.key, reason = chain(&error), "old audit records are not deleted; trying again");
            due = Instant::now() + AGAIN;
        }
    }
}

/// How long the region's own records and those of each site are kept.
type Rules = BTreeMap<Option<ObjectKey>, Retention>;

/// The same, as far as the caches know: what wakes a pass.
fn rules(ctx: &Shared, records: &Records) -> Rules {
    let Some(region) = ctx.world.regions.get(&records.key) else { return BTreeMap::new() };
    let sites = ctx.world.sites.snapshot();
    let ours = sites.iter().filter(|(_, site)| region_key(site) == records.key);
    let of_sites = ours.map(|(key, site)| (Some(key.clone()), retention::of(Some(site), &region)));
    of_sites.chain([(None, retention::of(None, &region))]).collect()
}

/// Goes once through all logs.
async fn pass(ctx: &Shared, records: &Records, open: &Open, now: Timestamp) -> Result<(), DeleteError> {
    for (keeper, state) in records.states() {
        for origin in state.origins(&keeper) {
            // Past the caches: a hold that was set a second ago holds.
            let Some(kept) = kept(ctx, records, &origin.scope).await? else { continue };
            let Some(before) = kept.deletes_before(now) else { continue };
            let old = old(&open.archive, &origin, &state, before).await?;
            if !old.is_empty() {
                delete(ctx, records, open, &origin, &kept, &old).await?;
            }
        }
    }
    Ok(())
}

async fn kept(ctx: &Shared, records: &Records, scope: &Scope) -> Result<Option<Retention>, DeleteError> {
    let Some(region) = live::read::<DmzRegion>(ctx, &records.key).await? else { return Ok(None) };
    let site = match scope {
        Scope::Region => None,
        Scope::Site(site) => live::read::<CustomerSite>(ctx, &object_key(site)).await?,
    };
    Ok(Some(retention::of(site.as_ref(), &region)))
}

fn object_key(site: &SiteId) -> ObjectKey {
    ObjectKey::new(site.0.namespace.as_str(), site.0.name.as_str())
}

/// The first bundles of a log, as long as all in them is of before that time. Times never fall within a log, so the last
/// record tells. The bundle that may still grow stays, unless the log has ended.
async fn old(archive: &Archive, origin: &Origin, state: &State, before: Timestamp) -> Result<Vec<Tile>, DeleteError> {
    let listed = archive.records.list(&layout::bundles(origin)).await?;
    let mut bundles: Vec<Tile> = listed.iter().filter_map(|path| layout::tile_at(origin, path)).collect();
    bundles.sort();
    let mut old = Vec::new();
    for bundle in bundles.into_iter().filter(|bundle| bundle.is_full() || state.ended.is_some()) {
        let path = layout::tile(origin, bundle);
        let Some(content) = archive.records.get(&path).await? else { break };
        if newest(&content, bundle).ok_or(DeleteError::Unreadable { path: path.to_string() })? >= before {
            break;
        }
        old.push(bundle);
    }
    Ok(old)
}

fn newest(content: &[u8], bundle: Tile) -> Option<Timestamp> {
    let entries = entries(content, bundle.width()).ok()?;
    decode(entries.last()?).ok().map(|record| record.at)
}

/// Records the deletion, then deletes.
async fn delete(
    ctx: &Shared,
    records: &Records,
    open: &Open,
    origin: &Origin,
    kept: &Retention,
    old: &[Tile],
) -> Result<(), DeleteError> {
    let first = old.iter().map(|bundle| bundle.leaves().start).min().unwrap_or_default();
    let end = old.iter().map(|bundle| bundle.leaves().end).max().unwrap_or_default();
    let site = match &origin.scope {
        Scope::Region => None,
        Scope::Site(site) => Some(site.clone()),
    };
    let event = AuditDeleted { site, log: origin.clone(), first, last: end.saturating_sub(1), basis: basis(kept) };
    records.write(Event::AuditDeleted(event), None).await?;
    for bundle in old {
        open.archive.records.delete(&layout::tile(origin, *bundle)).await?;
    }
    tracing::info!(region = %records.key, log = %origin, first, last = end - 1, basis = %basis(kept), "deleted old audit records");
    ctx.metrics.audit.deleted.with_label_values(&[&records.key.to_string()]).inc_by(end - first);
    Ok(())
}

fn basis(kept: &Retention) -> Text {
    let basis = kept.legal_basis.as_deref().unwrap_or("spec.audit.retention of the region");
    Text::clipped(&format!("kept for {} years: {basis}", kept.years))
}

/// Why nothing, or not all, was deleted.
#[derive(Debug, thiserror::Error)]
enum DeleteError {
    /// It is not known how long it is kept.
    #[error(transparent)]
    Api(#[from] Error),
    /// See [`ArchiveError`].
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It would be deleted without a record.
    #[error("the deletion is not recorded, so nothing is deleted")]
    NotRecorded(#[from] WriteError),
    /// A bundle does not read, so it is not known how old it is.
    #[error("{path} in the archive is damaged")]
    Unreadable {
        /// Which.
        path: String,
    },
}

#[cfg(test)]
mod tests;
