//! Status of a `TunnelEndpoint`.

use jiff::Timestamp;
use sallyport_api::TunnelEndpoint;
use sallyport_api::common::condition;
use sallyport_api::tunnel_endpoint::{AgentStatus, EndpointSummary, TunnelEndpointStatus, TunnelStatus};
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{EndpointId, RegionId};

use super::conditions::{More, Standing, Verdict, conditions, leaving_or};
use crate::problem::Problem;
use crate::tunnels_cut;

/// What is known of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointFacts {
    /// Whether it may attach, and where.
    pub judged: Result<(EndpointId, RegionId), Problem>,
    /// While it is being deleted: what its finalizer waits for.
    pub leaving: Option<tunnels_cut::Decision>,
    /// Its tunnels, sorted by gateway.
    pub tunnels: Vec<TunnelStatus>,
    /// What its agent proved on each tunnel that is up.
    pub proved: Vec<AgentStatus>,
    /// Fingerprint of the generation that signs now, and digest of the bundle that is published.
    pub current: Option<(String, String)>,
}

/// The status of an endpoint.
pub fn endpoint(endpoint: &TunnelEndpoint, facts: &EndpointFacts, now: Timestamp) -> TunnelEndpointStatus {
    let verdict = leaving_or(facts.leaving.as_ref(), &facts.judged, |_| {
        Verdict::new(
            Standing::Ready,
            "Admitted",
            "the endpoint is in the region's configuration; its agent may dial in",
        )
    });
    let old = endpoint.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let identity = facts
        .judged
        .as_ref()
        .ok()
        .map(|(id, region)| Identity { region: region.clone(), role: Role::Endpoint(id.clone()) }.to_string());
    TunnelEndpointStatus {
        observed_generation: endpoint.metadata.generation,
        conditions: conditions(old, &verdict, vec![connected(&facts.tunnels)], endpoint.metadata.generation, now),
        identity,
        summary: Some(EndpointSummary { gateways: gateways(&facts.tunnels).join(",") }),
        tunnels: facts.tunnels.clone(),
        agent: agent(facts).or_else(|| endpoint.status.as_ref().and_then(|status| status.agent.clone())),
    }
}

/// What an agent holds and trusts, when its tunnels say different things: the certificate that has to be replaced first,
/// and the bundle that is not the published one. A rotation must not take the best word for the whole.
fn agent(facts: &EndpointFacts) -> Option<AgentStatus> {
    let (issuer, digest) = facts.current.clone().unwrap_or_default();
    let oldest = facts.proved.iter().min_by_key(|proved| (proved.issuer == issuer, &proved.not_after))?;
    let trust = facts.proved.iter().min_by_key(|proved| (proved.trust_digest == digest, &proved.trust_digest))?;
    Some(AgentStatus { trust_digest: trust.trust_digest.clone(), ..oldest.clone() })
}

fn gateways(tunnels: &[TunnelStatus]) -> Vec<&str> {
    tunnels.iter().map(|t| t.gateway.as_str()).collect()
}

fn connected(tunnels: &[TunnelStatus]) -> More {
    let gateways = gateways(tunnels);
    let (reason, message) = if gateways.is_empty() {
        ("NoTunnel", "no gateway holds a tunnel of this endpoint".to_owned())
    } else {
        ("TunnelUp", format!("tunnel to {}", gateways.join(", ")))
    };
    More { type_: condition::CONNECTED, holds: !gateways.is_empty(), reason, message }
}
