//! What every reconcile has at hand.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use kube::Client;
use kube::runtime::events::Recorder;
use sallyport_plan::catalogue::ObjectKey;

use crate::audit::Audit;
use crate::authorities::Authorities;
use crate::cli::Run;
use crate::control::links::Links;
use crate::control::publisher::Publisher;
use crate::custody::Custody;
use crate::kinds::Kind;
use crate::lease::Fence;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::reconcile::authority::ClusterBundles;
use crate::report::Written;
use crate::world::World;

/// What every reconcile has at hand.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Flags.
    pub flags: Run,
    /// Namespaces in which gateways are made and keys kept.
    pub for_regions: BTreeSet<String>,
    /// Namespaces in which Secrets are written.
    pub for_secrets: BTreeSet<String>,
    /// What has been seen.
    pub world: World,
    /// What is to be looked at, by kind.
    pub queues: BTreeMap<Kind, Queue>,
    /// The CAs, with their keys.
    pub authorities: Authorities,
    /// Where their keys are kept.
    pub custody: Custody,
    /// What is known of `ClusterTrustBundle`s.
    pub cluster_bundles: ClusterBundles,
    /// Whether this process leads.
    pub fence: Fence,
    /// Audit records.
    pub audit: Audit,
    /// What gateways said.
    pub links: Links,
    /// What gateways are told.
    pub publisher: Publisher,
    /// What it remembers for a while.
    pub memory: Memory,
    /// Events.
    pub recorder: Recorder,
    /// Metrics.
    pub metrics: Metrics,
    /// When each status was last written.
    pub written: Mutex<HashMap<(Kind, ObjectKey), Written>>,
}

/// Shared by all tasks.
pub type Shared = Arc<Context>;

impl Context {
    /// Whether a region is another operator's: it exists in a namespace that this one may not handle. Everything that
    /// refers to it is then left alone, status and finalizers included.
    pub fn is_anothers(&self, region: &ObjectKey) -> bool {
        !self.for_regions.contains(&region.namespace) && self.world.regions.get(region).is_some()
    }

    /// Look at an object within this time: for what comes by the thousand and is not urgent.
    pub fn wake_within(&self, kind: Kind, key: ObjectKey, delay: Duration) {
        if let Some(queue) = self.queues.get(&kind) {
            queue.add_after(key, delay);
        }
    }

    /// Look at an object soon.
    pub fn wake(&self, kind: Kind, key: ObjectKey) {
        if let Some(queue) = self.queues.get(&kind) {
            queue.add(key);
        }
    }
}
