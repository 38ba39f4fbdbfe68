//! What is done about records besides collecting them: one task for each region.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_audit::Scope;
use sallyport_core::name::RegionId;
use sallyport_plan::audit::facts::Archive as Reach;
use sallyport_plan::catalogue::ObjectKey;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::archive::{Archive, layout};
use super::collect::evidence;
use super::collect::state::State;
use super::records::{Open, Records};
use super::{chain, key};
use crate::context::Shared;
use crate::kinds::Kind;

/// How often it is looked for regions that come and go, and for what status should show.
const LOOK: Duration = Duration::from_secs(1);
/// Sites show how far their logs are this often.
const SITES: Duration = Duration::from_secs(60);
/// Waits while the archive or the region's key cannot be had.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Keeps a task for each region, until dropped.
pub async fn run(ctx: Shared) {
    let archive = Arc::new(OnceCell::new());
    let mut regions: BTreeMap<ObjectKey, JoinSet<()>> = BTreeMap::new();
    let mut sizes = Sizes::default();
    loop {
        let wanted = wanted(&ctx);
        regions.retain(|key, _| {
            let kept = wanted.contains_key(key);
            if !kept {
                ctx.audit.forget(key);
            }
            kept
        });
        for (key, id) in wanted {
            let records = ctx.audit.region(&key, &id);
            if !regions.contains_key(&key) {
                let mut task = JoinSet::new();
                task.spawn(region(ctx.clone(), archive.clone(), records.clone()));
                regions.insert(key.clone(), task);
            }
            if records.is_news(Timestamp::now()) {
                ctx.wake(Kind::DmzRegion, key);
            }
        }
        sizes.look(&ctx, regions.keys());
        tokio::time::sleep(LOOK).await;
    }
}

fn wanted(ctx: &Shared) -> BTreeMap<ObjectKey, RegionId> {
    let all = ctx.world.regions.snapshot();
    let ours = all.iter().filter(|(key, region)| !ctx.is_anothers(key) && region.metadata.deletion_timestamp.is_none());
    ours.filter_map(|(key, _)| Some((key.clone(), RegionId::parse(&key.namespace, &key.name).ok()?))).collect()
}

/// One region, until dropped.
async fn region(ctx: Shared, archive: Arc<OnceCell<Arc<Archive>>>, records: Arc<Records>) {
    if ctx.audit.wish.is_none() {
        tracing::warn!(region = %records.key, "there is no archive; audit records stay on the gateways' volumes");
        records.reach(Reach::Missing);
        return;
    }
    let open = opened(&ctx, &archive, &records).await;
    records.opened(open.clone());
    tokio::join!(
        super::witness::run(&ctx, &records, &open),
        super::webhook::run(&ctx, &records, &open),
        super::retention::run(&ctx, &records, &open),
        super::erasure::run(&ctx, &records, &open),
    );
}

/// Tries until there are an archive, a key, and what is archived is known.
async fn opened(ctx: &Shared, archive: &OnceCell<Arc<Archive>>, records: &Records) -> Open {
    let mut wait = FIRST_WAIT;
    loop {
        match attempt(ctx, archive, records).await {
            Ok(open) => return open,
            Err(why) => {
                tracing::warn!(region = %records.key, reason = why, "audit records are not collected");
                records.reach(Reach::Unreachable { why });
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn attempt(ctx: &Shared, archive: &OnceCell<Arc<Archive>>, records: &Records) -> Result<Open, String> {
    let wish = ctx.audit.wish.as_ref().ok_or("no archive is set")?;
    let archive = archive.get_or_try_init(|| async { Archive::open(wish, &ctx.fence).await.map(Arc::new) }).await;
    let archive = archive.map_err(|error| chain(&error))?.clone();
    let signer = key::bring_about(ctx, &records.key, &records.id).await.map_err(|error| chain(&error))?;
    load(&archive, records).await?;
    Ok(Open { archive, signer })
}

/// What is archived of a region, and what did not fit.
pub(super) async fn load(archive: &Archive, records: &Records) -> Result<(), String> {
    let said = |error: &dyn std::error::Error| chain(error);
    for found in evidence::all(archive, &records.id).await.map_err(|error| said(&error))? {
        records.found(found);
    }
    let below = layout::logs(&records.id);
    for gateway in archive.records.folders(&below).await.map_err(|error| said(&error))? {
        let Ok(name) = gateway.parse() else { continue };
        let incarnations = archive.records.folders(&layout::gateway(&records.id, &name)).await;
        for incarnation in incarnations.map_err(|error| said(&error))? {
            let path = layout::gateway(&records.id, &name).join(incarnation);
            let Some(keeper) = layout::keeper_at(&records.id, &below, &path) else { continue };
            if let Some(state) = State::load(archive, &keeper).await.map_err(|error| said(&error))? {
                records.archived(&keeper, &state);
            }
        }
    }
    Ok(())
}

/// How many records of each site are archived, as far as its status was woken for.
#[derive(Default)]
struct Sizes {
    of: BTreeMap<(ObjectKey, ObjectKey), u64>,
    looked: Option<Instant>,
}

impl Sizes {
    /// Wakes the sites of which more is archived than a minute ago.
    fn look<'a>(&mut self, ctx: &Shared, regions: impl Iterator<Item = &'a ObjectKey>) {
        if self.looked.is_some_and(|looked| looked.elapsed() < SITES) {
            return;
        }
        self.looked = Some(Instant::now());
        let mut grown = BTreeSet::new();
        for region in regions {
            let Some(records) = ctx.audit.known(region) else { continue };
            let mut now: BTreeMap<ObjectKey, u64> = BTreeMap::new();
            for state in records.states().into_values() {
                for (scope, log) in state.journal.logs {
                    let Scope::Site(site) = scope else { continue };
                    let site = ObjectKey::new(site.0.namespace.as_str(), site.0.name.as_str());
                    *now.entry(site).or_default() += log.tree.size();
                }
            }
            for (site, size) in now {
                if self.of.insert((region.clone(), site.clone()), size) != Some(size) {
                    grown.insert(site);
                }
            }
        }
        for site in grown {
            ctx.wake_within(Kind::CustomerSite, site, Duration::from_millis(rand::random_range(0..10_000)));
        }
    }
}
