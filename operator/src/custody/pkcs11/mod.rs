//! Keys in a PKCS#11 token (PKCS #11 v2.40). They are made there, never come out, and are found again by their label.
//!
//! A token can be pulled, restarted or taken by another process at any time: each use opens a session if there is none,
//! and one that fails is closed and tried once more with a new one.

mod ec;
mod session;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use sallyport_pki::key::{AuthorityKey, KeyAlgorithm};
use sallyport_plan::authority::keys::TokenKey;

use self::session::{Login, Sessions};
use super::{CustodyError, Pin, blocking};

/// The tokens that a module reaches.
#[derive(Debug)]
pub struct Tokens {
    sessions: Arc<Sessions>,
}

/// A key pair in a token.
pub struct Key {
    sessions: Arc<Sessions>,
    login: Login,
    label: String,
    algorithm: KeyAlgorithm,
    /// The uncompressed point (SEC 1 section 2.3.3).
    point: Vec<u8>,
}

impl Tokens {
    /// Of the module in this file. It is loaded when it is first needed.
    pub fn new(module: PathBuf) -> Self {
        Self { sessions: Arc::new(Sessions::new(module)) }
    }

    /// A new key pair, unless there is one of that label: what was made before a crash is used. Nothing that is there is
    /// ever destroyed here: it may be what signs.
    ///
    /// # Errors
    /// [`CustodyError::Token`], also when something else bears that label.
    pub fn make(&self, at: &TokenKey, pin: &Pin, algorithm: KeyAlgorithm) -> Result<Key, CustodyError> {
        let login = Login::new(at, pin);
        self.sessions.with(&login, |session| {
            let is_free = find(session, &at.key, ObjectClass::PRIVATE_KEY)?.is_empty()
                && find(session, &at.key, ObjectClass::PUBLIC_KEY)?.is_empty();
            if is_free { generate(session, &at.key, algorithm) } else { Ok(()) }
        })?;
        match self.open(at, pin)? {
            key if key.algorithm == algorithm => Ok(key),
            key => Err(CustodyError::Token {
                token: at.token.clone(),
                why: format!(
                    "its key {:?} is of {:?} and not of {algorithm:?}; remove or rename it",
                    at.key, key.algorithm
                ),
            }),
        }
    }

    /// A key pair by its label.
    ///
    /// # Errors
    /// [`CustodyError::Gone`] when the token has no such pair, or several; [`CustodyError::Token`].
    pub fn open(&self, at: &TokenKey, pin: &Pin) -> Result<Key, CustodyError> {
        let login = Login::new(at, pin);
        let found = self.sessions.with(&login, |session| {
            let privates = find(session, &at.key, ObjectClass::PRIVATE_KEY)?;
            let publics = find(session, &at.key, ObjectClass::PUBLIC_KEY)?;
            let ([_], [public]) = (privates.as_slice(), publics.as_slice()) else { return Ok(None) };
            let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
            Ok(ec::public_key(&session.get_attributes(*public, &wanted)?))
        })?;
        let gone = || CustodyError::Gone { token: at.token.clone(), key: at.key.clone() };
        let (algorithm, point) = found.ok_or_else(gone)?;
        Ok(Key { sessions: self.sessions.clone(), login, label: at.key.clone(), algorithm, point })
    }

    /// Destroys a key pair.
    ///
    /// # Errors
    /// [`CustodyError::Token`]; a pair that is not there is no error.
    pub fn destroy(&self, at: &TokenKey, pin: &Pin) -> Result<(), CustodyError> {
        self.sessions.with(&Login::new(at, pin), |session| {
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                for object in find(session, &at.key, class)? {
                    session.destroy_object(object)?;
                }
            }
            Ok(())
        })
    }
}

/// Non-extractable and sensitive: the token signs with the private half and does nothing else with it.
fn generate(session: &Session, label: &str, algorithm: KeyAlgorithm) -> cryptoki::error::Result<()> {
    let label = || Attribute::Label(label.as_bytes().to_vec());
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(ec::parameters(algorithm).to_vec()),
        label(),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Derive(false),
        Attribute::Unwrap(false),
        label(),
    ];
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).map(drop)
}

fn find(session: &Session, label: &str, class: ObjectClass) -> cryptoki::error::Result<Vec<ObjectHandle>> {
    let template = [
        Attribute::Class(class),
        Attribute::KeyType(KeyType::EC),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    session.find_objects(&template)
}

impl Key {
    fn sign_in_token(&self, message: &[u8]) -> Result<Vec<u8>, CustodyError> {
        let digest = ec::digest(self.algorithm, message);
        let signed = self.sessions.with(&self.login, |session| {
            let privates = find(session, &self.label, ObjectClass::PRIVATE_KEY)?;
            let [private] = privates.as_slice() else { return Ok(None) };
            session.sign(&Mechanism::Ecdsa, *private, &digest).map(Some)
        })?;
        let gone = || CustodyError::Gone { token: self.login.token.clone(), key: self.label.clone() };
        let signature = signed.ok_or_else(gone)?;
        ec::signature(self.algorithm, &signature).ok_or_else(|| CustodyError::Token {
            token: self.login.token.clone(),
            why: format!("a signature of {} bytes is none", signature.len()),
        })
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.algorithm {
            KeyAlgorithm::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        blocking(|| self.sign_in_token(message)).map_err(|error| {
            tracing::error!(reason = %error, "a token did not sign");
            rcgen::Error::RemoteKeyError
        })
    }
}

impl AuthorityKey for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?} {:?} in {:?})", self.algorithm, self.label, self.login.token)
    }
}
