//! Where the keys of CAs are kept: in their Secret, or in a PKCS#11 token. What signs with them is
//! [`sallyport_pki::authority::Authority`] and nothing else; what is here makes keys, finds them again and destroys them.
//!
//! ```text
//!  Secret NAME-ca ── ring ──▶ Ring: every generation, its certificate, its Authority if the key serves
//!                      └─ Custody ──▶ Box<dyn AuthorityKey>: PrivateKey (software), pkcs11::Key (token)
//! ```

#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod ring;

use std::fmt;
use std::path::PathBuf;

use sallyport_api::common::SecretKeyRef;
use sallyport_pki::key::{AuthorityKey, KeyAlgorithm, KeyError, PrivateKey};
use sallyport_plan::authority::keys::{StoredKey, TokenKey};
use zeroize::Zeroizing;

/// Makes, finds and destroys keys.
#[derive(Debug)]
pub struct Custody {
    #[cfg(feature = "pkcs11")]
    tokens: Option<pkcs11::Tokens>,
    #[cfg(not(feature = "pkcs11"))]
    _module: Option<PathBuf>,
}

/// Where a new key is made.
#[derive(Debug)]
pub enum Place {
    /// In this process, to be stored in the Secret.
    Secret,
    /// In a token.
    Token {
        /// Its label and the key's.
        at: TokenKey,
        /// Its PIN.
        pin: Pin,
    },
}

/// A token's PIN. It cannot be shown, and is wiped when dropped.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// From the text in a Secret; a final line break is none of it.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The PIN, for the token.
    #[cfg(feature = "pkcs11")]
    fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin(...), {} characters", if self.0.is_empty() { "no" } else { "some" })
    }
}

impl Custody {
    /// With the PKCS#11 module that was named, if one was.
    pub fn new(module: Option<PathBuf>) -> Self {
        #[cfg(feature = "pkcs11")]
        return Self { tokens: module.map(pkcs11::Tokens::new) };
        #[cfg(not(feature = "pkcs11"))]
        return Self { _module: module };
    }

    /// A new key, and what of it is to be stored. Blocks while a token works.
    ///
    /// # Errors
    /// See [`CustodyError`].
    pub fn make(
        &self,
        place: &Place,
        algorithm: KeyAlgorithm,
    ) -> Result<(Box<dyn AuthorityKey>, StoredKey), CustodyError> {
        match place {
            Place::Secret => {
                let key = PrivateKey::generate(algorithm)?;
                let stored = StoredKey::Pem(key.to_pem().to_string());
                Ok((Box::new(key), stored))
            }
            Place::Token { at, pin } => {
                Ok((blocking(|| self.make_in_token(at, pin, algorithm))?, StoredKey::Token(at.clone())))
            }
        }
    }

    /// A stored key. Blocks while a token works. `pin` is needed for a token only.
    ///
    /// # Errors
    /// [`CustodyError::is_gone`] tells a key that is not there from one that cannot be reached now.
    pub fn open(&self, stored: &StoredKey, pin: Option<&Pin>) -> Result<Box<dyn AuthorityKey>, CustodyError> {
        match (stored, pin) {
            (StoredKey::Pem(pem), _) => Ok(Box::new(PrivateKey::from_pem(pem)?)),
            (StoredKey::Token(at), Some(pin)) => blocking(|| self.open_in_token(at, pin)),
            (StoredKey::Token(at), None) => Err(CustodyError::NoPin(at.pin_ref.clone())),
        }
    }

    /// Destroys a key outside the Secret; one in the Secret goes with its entry. One that is gone already is no error.
    ///
    /// # Errors
    /// See [`CustodyError`].
    pub fn destroy(&self, stored: &StoredKey, pin: Option<&Pin>) -> Result<(), CustodyError> {
        match (stored, pin) {
            (StoredKey::Pem(_), _) => Ok(()),
            (StoredKey::Token(at), Some(pin)) => blocking(|| self.destroy_in_token(at, pin)),
            (StoredKey::Token(at), None) => Err(CustodyError::NoPin(at.pin_ref.clone())),
        }
    }
}

#[cfg(feature = "pkcs11")]
impl Custody {
    fn make_in_token(
        &self,
        at: &TokenKey,
        pin: &Pin,
        algorithm: KeyAlgorithm,
    ) -> Result<Box<dyn AuthorityKey>, CustodyError> {
        Ok(Box::new(self.tokens()?.make(at, pin, algorithm)?))
    }

    fn open_in_token(&self, at: &TokenKey, pin: &Pin) -> Result<Box<dyn AuthorityKey>, CustodyError> {
        Ok(Box::new(self.tokens()?.open(at, pin)?))
    }

    fn destroy_in_token(&self, at: &TokenKey, pin: &Pin) -> Result<(), CustodyError> {
        self.tokens()?.destroy(at, pin)
    }

    fn tokens(&self) -> Result<&pkcs11::Tokens, CustodyError> {
        self.tokens.as_ref().ok_or(CustodyError::NoModule)
    }
}

#[cfg(not(feature = "pkcs11"))]
#[allow(clippy::unused_self, reason = "the same shape as with tokens")]
impl Custody {
    fn make_in_token(&self, _: &TokenKey, _: &Pin, _: KeyAlgorithm) -> Result<Box<dyn AuthorityKey>, CustodyError> {
        Err(CustodyError::NotBuilt)
    }

    fn open_in_token(&self, _: &TokenKey, _: &Pin) -> Result<Box<dyn AuthorityKey>, CustodyError> {
        Err(CustodyError::NotBuilt)
    }

    fn destroy_in_token(&self, _: &TokenKey, _: &Pin) -> Result<(), CustodyError> {
        Err(CustodyError::NotBuilt)
    }
}

/// Lets the other tasks of this thread go on elsewhere while a token works: it may take as long as it likes.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Why a key cannot be used. No variant carries a PIN or key bytes.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The token is there and the key is not.
    #[error("token {token:?} has no usable key {key:?}")]
    Gone {
        /// Label of the token.
        token: String,
        /// Label of the key.
        key: String,
    },
    /// A key in software.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The operator was not told where the module is.
    #[error("the operator was started without --pkcs11-module")]
    NoModule,
    /// The Secret with the PIN is missing.
    #[error("Secret {:?} has no PIN under {:?}", .0.name, .0.key)]
    NoPin(SecretKeyRef),
    /// This build has no PKCS#11: a static program can load no module.
    #[error("this operator was built without PKCS#11 (cargo feature pkcs11): the static images cannot load a module")]
    NotBuilt,
    /// The token does not do what it is asked.
    #[error("token {token:?}: {why}")]
    Token {
        /// Label of the token.
        token: String,
        /// What it said.
        why: String,
    },
}

impl CustodyError {
    /// Whether the key is certainly not there, which is a fact to go by; anything else may pass.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Key(_))
    }
}
