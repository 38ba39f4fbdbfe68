//! What the gateway tells the operator it carries.

use sallyport_control::wire;

use crate::gateway::Gateway;

/// The report as of now.
pub(super) fn of(gateway: &Gateway) -> wire::Report {
    let tunnels = gateway.tunnels.all().into_iter().map(|(endpoint, live)| wire::Tunnel {
        endpoint: endpoint.to_string(),
        since_ms: live.since.as_millisecond(),
        from: live.from.to_string(),
        agent_version: live.agent_version,
        certificate: None,
        trust_digest: String::new(),
    });
    wire::Report { tunnels: tunnels.collect(), sessions: *gateway.sessions.count().borrow(), certificates: Vec::new() }
}
