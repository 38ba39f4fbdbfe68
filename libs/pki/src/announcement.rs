//! What the operator tells agents about trust: which CAs count from now on, which of them signs, and how soon to renew.
//! It travels as a signed document ([`crate::signed::Purpose::Trust`]), so that a gateway can withhold it but not widen it.

use sallyport_core::name::RegionId;
use serde::{Deserialize, Serialize};

use crate::bundle::{BundleError, TrustBundle};
use crate::inspect;

/// The signed text, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustAnnouncement {
    /// For whose agents.
    pub region: RegionId,
    /// Rises with every bundle. An agent refuses a lower one than it has.
    pub sequence: u64,
    /// Milliseconds since 1970 when it was signed.
    pub issued_at_ms: u64,
    /// The CA certificates to trust from now on, instead of all others (PEM).
    pub certificates: String,
    /// SHA-256, in hex, of the one that signs now.
    pub issuer: String,
    /// A certificate of another issuer is renewed at a random moment within this time.
    pub renew_within_seconds: u64,
}

impl TrustAnnouncement {
    /// Reads and checks the payload of a signed document. For whom it is and whether it is the newest is the reader's to
    /// judge.
    ///
    /// # Errors
    /// See [`AnnouncementError`]; hostile bytes never panic.
    pub fn parse(payload: &[u8]) -> Result<Self, AnnouncementError> {
        let announcement: Self =
            serde_json::from_slice(payload).map_err(|error| AnnouncementError::Unreadable(error.to_string()))?;
        announcement.bundle()?;
        Ok(announcement)
    }

    /// The CAs it announces, of which the signing one is one.
    ///
    /// # Errors
    /// [`AnnouncementError::Bundle`] and [`AnnouncementError::Issuer`].
    pub fn bundle(&self) -> Result<TrustBundle, AnnouncementError> {
        let bundle = TrustBundle::from_pem(&self.certificates)?;
        if bundle.certificates().any(|der| inspect::fingerprint(&der) == self.issuer) {
            Ok(bundle)
        } else {
            Err(AnnouncementError::Issuer)
        }
    }
}

/// Why an announcement is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnouncementError {
    /// Its certificates are no trust bundle.
    #[error("announcement of trust holds no usable trust bundle")]
    Bundle(#[from] BundleError),
    /// It would have agents renew with a CA that they are not to trust.
    #[error("announcement of trust names an issuer that is not among its certificates")]
    Issuer,
    /// Not the JSON that this version understands.
    #[error("announcement of trust cannot be read: {0}")]
    Unreadable(String),
}
