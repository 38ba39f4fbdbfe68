//! A certificate that is in use: a gateway's own, or the one that an agent last proved.

use jiff::Timestamp;
use sallyport_control::wire;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;

/// What trust, reports and renewal need to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// Serial number, in hex.
    pub serial: String,
    /// Fingerprint of the authority's certificate that issued it; empty when none that is trusted did.
    pub issuer: String,
    /// First second of its validity.
    pub not_before: Timestamp,
    /// Last second of its validity.
    pub not_after: Timestamp,
}

impl InUse {
    /// Reads a leaf; none when it cannot be read.
    pub fn read(leaf: &[u8], bundle: &TrustBundle) -> Option<Self> {
        let validity = inspect::validity(leaf).ok()?;
        Some(Self {
            serial: inspect::serial_hex(leaf).ok()?,
            issuer: bundle.issuer_of(leaf).unwrap_or_default(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    /// When two thirds of its life are over: from then on it should be renewed.
    pub fn two_thirds(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_after - life / 3
    }

    /// For a report.
    pub fn to_wire(&self, purpose: wire::Purpose) -> wire::Certificate {
        wire::Certificate {
            purpose: purpose.into(),
            serial: self.serial.clone(),
            issuer: self.issuer.clone(),
            not_after_ms: self.not_after.as_millisecond(),
        }
    }
}
