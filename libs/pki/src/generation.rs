//! One generation of a CA, as status and logs show it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
