//! Which certificate an endpoint lives by.

use jiff::Timestamp;
use sallyport_api::{CertificateAuthority, TunnelCertificate, TunnelEndpoint};
use serde::Serialize;

/// How a certificate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Known {
    /// It was issued for the endpoint, which has not shown it yet.
    Issued,
    /// The agent proved to a gateway that it uses it.
    InUse,
}

/// A certificate that has neither expired nor been revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Holding {
    pub serial: String,
    /// Number of the generation that issued it; absent when the authority knows no such generation.
    pub generation: Option<u32>,
    /// RFC 3339.
    pub not_after: String,
    pub known: Known,
    /// Whether the operator delivered it in a Secret, together with the trust bundle.
    #[serde(skip)]
    pub delivered: bool,
}

/// What an endpoint lives by: the certificate that its agent last proved to use, or else the one last issued.
pub(crate) fn of(
    endpoint: &TunnelEndpoint,
    certificates: &[&TunnelCertificate],
    authority: &CertificateAuthority,
    now: Timestamp,
) -> Option<Holding> {
    let agent = endpoint.status.as_ref().and_then(|status| status.agent.as_ref());
    let used = agent.filter(|agent| lives(&agent.not_after, now) && !is_revoked(&agent.serial, certificates));
    let used = used.map(|agent| Holding {
        serial: agent.serial.clone(),
        generation: number(authority, &agent.issuer),
        not_after: agent.not_after.clone(),
        known: Known::InUse,
        delivered: false,
    });
    used.or_else(|| {
        certificates
            .iter()
            .filter_map(|certificate| issued(certificate, now))
            .max_by(|a, b| a.not_after.cmp(&b.not_after))
    })
}

/// The generation of this fingerprint.
pub(crate) fn number(authority: &CertificateAuthority, fingerprint: &str) -> Option<u32> {
    let generations = authority.status.iter().flat_map(|status| &status.generations);
    generations.filter(|generation| generation.fingerprint == fingerprint).map(|generation| generation.number).next()
}

fn issued(certificate: &TunnelCertificate, now: Timestamp) -> Option<Holding> {
    let status = certificate.status.as_ref().filter(|_| certificate.spec.revoked.is_none())?;
    let not_after = status.not_after.clone().filter(|end| lives(end, now))?;
    Some(Holding {
        serial: status.serial.clone()?,
        generation: status.issuer_generation,
        not_after,
        known: Known::Issued,
        delivered: certificate.spec.secret_name.is_some(),
    })
}

fn is_revoked(serial: &str, certificates: &[&TunnelCertificate]) -> bool {
    certificates.iter().filter(|certificate| certificate.spec.revoked.is_some()).any(|certificate| {
        certificate.status.as_ref().is_some_and(|status| {
            status.serial.as_deref() == Some(serial) || status.earlier.iter().any(|earlier| earlier.serial == serial)
        })
    })
}

/// A time that cannot be read is no reason to believe that a certificate is over.
fn lives(not_after: &str, now: Timestamp) -> bool {
    not_after.parse::<Timestamp>().map_or(true, |end| end > now)
}
