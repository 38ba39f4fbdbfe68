//! Who asks: an engineer as the inner door authenticated them, and what they say they want.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{DeviceId, Name};

/// An engineer, as their certificate says (R91, R95). Valid until `not_after`, whatever a session was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Engineer {
    /// The unique user id: the certificate's e-mail address, or else its common name.
    pub user: UserId,
    /// Group names: the certificate's organizational units.
    pub groups: BTreeSet<String>,
    /// When the proof of identity ends.
    pub not_after: Timestamp,
}

/// A unique user id (R95): 1 to 128 printable characters without spaces, compared without case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

impl FromStr for UserId {
    type Err = EngineerError;

    fn from_str(text: &str) -> Result<Self, EngineerError> {
        let fine = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fine { Ok(Self(text.to_ascii_lowercase())) } else { Err(EngineerError::User) }
    }
}

impl TryFrom<String> for UserId {
    type Error = EngineerError;

    fn try_from(text: String) -> Result<Self, EngineerError> {
        text.parse()
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Free text an engineer gives and a customer reads: 1 to 500 characters, no control characters, not only blanks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl FromStr for Reason {
    type Err = EngineerError;

    fn from_str(text: &str) -> Result<Self, EngineerError> {
        let text = text.trim();
        let fine = (1..=500).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fine { Ok(Self(text.to_owned())) } else { Err(EngineerError::Reason) }
    }
}

impl TryFrom<String> for Reason {
    type Error = EngineerError;

    fn try_from(text: String) -> Result<Self, EngineerError> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an engineer asks for (R4, R44). No address: an engineer never names one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRequest {
    /// The device.
    pub device: DeviceId,
    /// One of its declared services.
    pub service: Name,
    /// Why, for the customer.
    pub reason: Reason,
    /// The incident this answers, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Reason>,
}

/// Text an engineer's certificate or request cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineerError {
    /// See [`Reason`].
    #[error("a reason (or incident) is 1 to 500 characters without control characters")]
    Reason,
    /// See [`UserId`].
    #[error("a user id is 1 to 128 printable ASCII characters without spaces")]
    User,
}
