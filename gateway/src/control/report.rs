//! What the gateway tells the operator it carries.

use sallyport_control::wire;

use super::certificates::Certificates;
use crate::gateway::Gateway;

/// The report as of now.
pub(super) fn of(gateway: &Gateway, certificates: &Certificates) -> wire::Report {
    let tunnels = gateway.tunnels.all().into_iter().map(|(endpoint, live)| wire::Tunnel {
        endpoint: endpoint.to_string(),
        since_ms: live.since.as_millisecond(),
        from: live.from.to_string(),
        certificate: Some(live.certificate().to_wire(wire::Purpose::Unspecified)),
        trust_digest: live.trust_digest(),
        agent_version: live.agent_version,
    });
    wire::Report {
        tunnels: tunnels.collect(),
        sessions: *gateway.sessions.count().borrow(),
        certificates: certificates.in_use(),
        audit_health: gateway.audit.health().to_wire().into(),
        audit_volume_used_percent: u32::from(*gateway.audit.watch_volume().borrow()),
    }
}
