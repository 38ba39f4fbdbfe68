//! What a gateway carries. It comes from the DMZ: it is parsed before it is shown.

use jiff::Timestamp;
use sallyport_api::audit::LogHealth;
use sallyport_api::dmz_region::GatewayCertificate;
use sallyport_api::tunnel_endpoint::{AgentStatus, TunnelStatus};
use sallyport_control::wire;
use sallyport_core::name::EndpointId;
use sallyport_plan::catalogue::ObjectKey;

use super::super::gateway::Gateway;
use super::super::links::{Report, Tunnel};
use super::Session;
use crate::kinds::Kind;
use crate::wake;

impl Session<'_> {
    pub(super) fn report(&mut self, report: wire::Report) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let (health, percent) = log_health(&report);
        ctx.audit.reported(region, &self.gateway.id, pod.as_str(), health, percent);
        let first = !ctx.links.has_reported(region, pod.as_str());
        let news = ctx.links.report(region, pod.as_str(), parsed(report, pod.as_str()));
        for endpoint in &news.endpoints {
            wake::tunnels(ctx, endpoint);
            wake::revoked_at(ctx, endpoint);
        }
        if first {
            self.gateway.wake_remembered();
        }
        if news.certificates {
            wake::authority_of(ctx, region);
        }
        ctx.wake(Kind::DmzRegion, region.clone());
    }
}

fn parsed(report: wire::Report, pod: &str) -> Report {
    let mut certificates: Vec<_> = report.certificates.into_iter().filter_map(certificate).collect();
    certificates.sort_by(|a, b| a.purpose.cmp(&b.purpose));
    certificates.dedup_by(|a, b| a.purpose == b.purpose);
    Report {
        tunnels: report.tunnels.into_iter().filter_map(|reported| tunnel(reported, pod)).collect(),
        sessions: report.sessions,
        certificates,
    }
}

/// Whether the gateway's audit log takes records, and how full its volume is; nothing of a gateway that does not say.
fn log_health(report: &wire::Report) -> (Option<LogHealth>, Option<u8>) {
    let health = match report.audit_health() {
        wire::LogHealth::Unspecified => return (None, None),
        wire::LogHealth::Open => LogHealth::Open,
        wire::LogHealth::Full => LogHealth::Full,
        wire::LogHealth::Stalled => LogHealth::Stalled,
        wire::LogHealth::Sealed => LogHealth::Sealed,
    };
    (Some(health), Some(u8::try_from(report.audit_volume_used_percent.min(100)).unwrap_or(100)))
}

fn tunnel(tunnel: wire::Tunnel, pod: &str) -> Option<(ObjectKey, Tunnel)> {
    let endpoint: EndpointId = tunnel.endpoint.parse().ok()?;
    let trust_digest = if is_hex(&tunnel.trust_digest, 64) { tunnel.trust_digest } else { String::new() };
    let agent = tunnel.certificate.and_then(in_use).map(|(serial, issuer, not_after)| AgentStatus {
        serial,
        issuer,
        not_after,
        trust_digest,
    });
    let status = TunnelStatus {
        gateway: pod.to_owned(),
        since: second(tunnel.since_ms)?,
        from: shown(&tunnel.from),
        agent_version: shown(&tunnel.agent_version),
    };
    let key = ObjectKey::new(endpoint.0.namespace.as_str(), endpoint.0.name.as_str());
    Some((key, Tunnel { status, agent }))
}

fn certificate(certificate: wire::Certificate) -> Option<GatewayCertificate> {
    let purpose = match certificate.purpose() {
        wire::Purpose::Unspecified => return None,
        wire::Purpose::Peer => "peer",
        wire::Purpose::OuterDoor => "outer",
        wire::Purpose::InnerDoor => "inner",
    };
    let (serial, issuer, not_after) = in_use(certificate)?;
    Some(GatewayCertificate { purpose: purpose.to_owned(), serial, issuer, not_after })
}

fn in_use(certificate: wire::Certificate) -> Option<(String, String, String)> {
    let wire::Certificate { serial, issuer, not_after_ms, .. } = certificate;
    let fine = (1..=40).contains(&serial.len()) && is_hex(&serial, serial.len()) && is_hex(&issuer, 64);
    Some((serial, issuer, second(not_after_ms)?)).filter(|_| fine)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn second(milliseconds: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(milliseconds).ok()?;
    Some(Timestamp::from_second(at.as_second()).ok()?.to_string())
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(purpose: wire::Purpose, serial: &str, issuer: &str) -> wire::Certificate {
        wire::Certificate {
            purpose: purpose.into(),
            serial: serial.into(),
            issuer: issuer.into(),
            not_after_ms: 1_700_000_000_700,
        }
    }

    #[test]
    fn what_a_gateway_says_is_parsed() {
        let issuer = "ab".repeat(32);
        let tunnel = wire::Tunnel {
            endpoint: "lyon/agent".into(),
            since_ms: 1_700_000_000_500,
            from: "192.0.2.7:1\u{1b}[2J".into(),
            agent_version: "v".repeat(5000),
            certificate: Some(certificate(wire::Purpose::Unspecified, "4a", &issuer)),
            trust_digest: "cd".repeat(32),
        };
        let hostile = wire::Tunnel { endpoint: "../x".into(), ..tunnel.clone() };
        let wrong = wire::Tunnel {
            endpoint: "lyon/other".into(),
            certificate: Some(certificate(wire::Purpose::Unspecified, "${x}", &issuer)),
            trust_digest: "no digest".into(),
            ..tunnel.clone()
        };
        let report = wire::Report {
            tunnels: vec![tunnel, hostile, wrong],
            sessions: 3,
            certificates: vec![
                certificate(wire::Purpose::Peer, "01", &issuer),
                certificate(wire::Purpose::OuterDoor, "02", &issuer),
                certificate(wire::Purpose::Peer, "03", &issuer),
                certificate(wire::Purpose::InnerDoor, "04", "ab"),
                certificate(wire::Purpose::Unspecified, "05", &issuer),
            ],
            ..wire::Report::default()
        };
        let report = parsed(report, "eu-gateway-0");
        assert_eq!((report.tunnels.len(), report.sessions), (2, 3));
        let agent = &report.tunnels[&ObjectKey::new("lyon", "agent")];
        assert_eq!(agent.status.from, "192.0.2.7:1[2J");
        assert_eq!(agent.status.agent_version.len(), 100);
        let proved = agent.agent.as_ref().unwrap();
        assert_eq!((proved.serial.as_str(), proved.not_after.as_str()), ("4a", "2023-11-14T22:13:20Z"));
        assert!(report.tunnels[&ObjectKey::new("lyon", "other")].agent.is_none());
        let purposes: Vec<_> = report.certificates.iter().map(|c| (c.purpose.as_str(), c.serial.as_str())).collect();
        assert_eq!(purposes, [("outer", "02"), ("peer", "01")]);
    }
}
