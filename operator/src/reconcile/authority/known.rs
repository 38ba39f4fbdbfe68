//! What links and caches know of an authority's peers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_api::tunnel_endpoint::AgentStatus;
use sallyport_pki::rotation::{Peer, State};
use sallyport_plan::authority::peers::{self, Known, Live, LiveGateway};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::names;
use sallyport_plan::secret_facts::SecretFacts;
use sallyport_plan::status::GatewayFacts;

use crate::context::Context;

/// The peers of an authority, by name.
pub(super) fn peers(
    ctx: &Context,
    key: &ObjectKey,
    state: &State,
    digest: &str,
    now: Timestamp,
) -> BTreeMap<String, Peer> {
    let (all, certificates) = (ctx.world.catalogue(), ctx.world.certificates.snapshot());
    let live = Links { ctx, now };
    let began = ctx.links.began();
    // Whole seconds, as everything that status shows.
    let began = Timestamp::from_second(began.as_second()).unwrap_or(began);
    let certificates = &certificates;
    peers::of(&Known { authority: key, state, digest, all: &all, certificates, live: &live, began }, now)
}

struct Links<'a> {
    ctx: &'a Context,
    now: Timestamp,
}

impl Live for Links<'_> {
    fn gateway(&self, region: &ObjectKey, pod: &str) -> Option<LiveGateway> {
        let heard = |facts: &GatewayFacts| facts.attached || facts.away_since.is_some();
        let Some(facts) = self.ctx.links.gateways(region).remove(pod).filter(heard) else {
            // An operator that has just begun has not heard of a gateway that another one told to trust something a
            // moment ago: while its pod is there it may speak yet.
            let pod = self.ctx.world.pods.get(&ObjectKey::new(&region.namespace, pod));
            let unheard = || LiveGateway { away_since: Some(self.ctx.links.began()), ..LiveGateway::default() };
            return (self.ctx.links.is_settling(self.now) && pod.is_some()).then(unheard);
        };
        let certificates = facts.certificates.map(|certificates| {
            let read = certificates.into_iter().filter_map(|c| Some((c.issuer, c.not_after.parse().ok()?)));
            read.collect()
        });
        let away_since = facts.away_since.filter(|_| !facts.attached);
        Some(LiveGateway { away_since, trust_digest: facts.trust_digest, certificates })
    }

    fn agents(&self, region: &ObjectKey, endpoint: &ObjectKey) -> Vec<AgentStatus> {
        self.ctx.links.agents(region, endpoint)
    }

    fn is_connected(&self, region: &ObjectKey, endpoint: &ObjectKey) -> bool {
        let object = self.ctx.world.endpoints.get(endpoint);
        self.ctx.links.is_connected(region, endpoint, object.as_deref())
    }

    fn bootstrap(&self, region: &ObjectKey) -> Option<SecretFacts> {
        let secret = ObjectKey::new(&region.namespace, names::bootstrap(&region.name));
        self.ctx.world.secrets.get(&secret).map(|facts| (*facts).clone())
    }
}
