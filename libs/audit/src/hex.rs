//! Fixed numbers of bytes, written as lower-case hexadecimal digits and in no other way.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sallyport_core::engineer::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

macro_rules! hex_types {
    ($($(#[$doc:meta])* $name:ident $bytes:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $bytes]);

        impl FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.map(Self).ok_or(HexError { digits: 2 * $bytes })
            }
        }

        impl TryFrom<String> for $name {
            type Error = HexError;

            fn try_from(text: String) -> Result<Self, HexError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                HEXLOWER.encode(&value.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

hex_types! {
    /// SHA-256 of something.
    Digest 32;
    /// The life of one signing key of a gateway: the first bytes of SHA-256 of its public key. A gateway that lost its
    /// volume begins a new one, and thereby new logs.
    Incarnation 4;
    /// Names a person's key and commits to it: see [`crate::PersonKey::id`].
    KeyId 16;
    /// An Ed25519 public key.
    PublicKey 32;
    /// By what a person is found without being named: SHA-256 of their user id.
    Subject 32;
}

impl Incarnation {
    /// The incarnation of a gateway's audit key.
    pub fn of(key: &PublicKey) -> Self {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(key.0));
        Self([a, b, c, d])
    }
}

impl Subject {
    /// Of a user.
    pub fn of(user: &UserId) -> Self {
        let hash = Sha256::new_with_prefix(b"sallyport.dev/audit-subject\n").chain_update(user.to_string());
        Self(hash.finalize().into())
    }
}

/// The text is not so many lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use {digits} lower-case hexadecimal digits")]
pub struct HexError {
    digits: usize,
}
