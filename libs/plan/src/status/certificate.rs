//! Status of a `TunnelCertificate`.

use jiff::Timestamp;
use sallyport_api::TunnelCertificate;
use sallyport_api::tunnel_certificate::TunnelCertificateStatus;
use sallyport_pki::inspect::Validity;

use super::Trouble;
use super::conditions::{Standing, Verdict, conditions};

/// A certificate that is in its Secret.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Its serial number in hex.
    pub serial: String,
    /// When it is valid.
    pub validity: Validity,
    /// When it is renewed.
    pub renew_at: Timestamp,
    /// Who issued it.
    pub issuer_generation: u32,
}

/// The status of a certificate. In trouble the last certificate stays in the status: it is still the one in use.
pub fn certificate(
    certificate: &TunnelCertificate,
    state: &Result<Issued, Trouble>,
    now: Timestamp,
) -> TunnelCertificateStatus {
    let verdict = match state {
        Ok(_) => Verdict::new(
            Standing::Ready,
            "Issued",
            format!("Secret {:?} holds the certificate", certificate.spec.secret_name.as_deref().unwrap_or_default()),
        ),
        Err(trouble) => trouble.into(),
    };
    let old = certificate.status.clone().unwrap_or_default();
    let generation = certificate.metadata.generation;
    let conditions = conditions(&old.conditions, &verdict, Vec::new(), generation, now);
    match state {
        Ok(issued) => TunnelCertificateStatus {
            observed_generation: generation,
            conditions,
            serial: Some(issued.serial.clone()),
            not_before: Some(issued.validity.not_before.to_string()),
            not_after: Some(issued.validity.not_after.to_string()),
            renew_at: Some(issued.renew_at.to_string()),
            issuer_generation: Some(issued.issuer_generation),
            ..old
        },
        Err(_) => TunnelCertificateStatus { observed_generation: generation, conditions, ..old },
    }
}
