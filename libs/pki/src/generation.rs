//! One generation of a CA, as status and logs show it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inspect::{self, CertificateError};

/// Which CA certificate, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Generation {
    /// Counts from 1 and never falls.
    pub number: u32,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity, and the latest end of anything it issues.
    pub not_after: Timestamp,
}

impl Generation {
    /// The one whose certificate (DER) this is.
    ///
    /// # Errors
    /// [`CertificateError`] when its validity cannot be read.
    pub fn of_certificate(number: u32, der: &[u8]) -> Result<Self, CertificateError> {
        let validity = inspect::validity(der)?;
        let fingerprint = inspect::fingerprint(der);
        Ok(Self { number, fingerprint, not_before: validity.not_before, not_after: validity.not_after })
    }
}
