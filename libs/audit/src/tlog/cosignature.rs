//! Cosignatures (C2SP tlog-cosignature, type 0x04): a witness states that at a time it had seen a log at this
//! checkpoint, and at no larger one.

use jiff::Timestamp;

use super::note::{KeyName, Signature, SignatureType, SigningKey, VerifierKey};

/// A key that cosigns checkpoints under one name. What it signs does not name it, so one key must not serve two
/// witnesses.
#[derive(Clone, Debug)]
pub struct Cosigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl Cosigner {
    /// This key under this name.
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        Self { verifier: VerifierKey::new(name, SignatureType::Cosignature, key.public_key()), key }
    }

    /// What others verify its cosignatures by.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The cosignature over a checkpoint's text, made now. Only [`super::witness::decide`] may give one away.
    pub(crate) fn cosign(&self, text: &str, now: Timestamp) -> Result<Signature, CosignError> {
        let at = u64::try_from(now.as_second()).map_err(|_| CosignError)?;
        let signature = self.key.sign(message(at, text).as_bytes());
        let payload = [at.to_be_bytes().as_slice(), &signature].concat();
        Ok(Signature::new(self.verifier.name().clone(), self.verifier.id(), payload))
    }
}

/// What is signed.
pub(crate) fn message(at: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

/// Time and signature of a cosignature's payload; nothing for other lengths and for times that no clock can show.
pub(crate) fn split(payload: &[u8]) -> Option<(u64, &[u8])> {
    let (at, signature) = payload.split_first_chunk::<8>()?;
    let at = u64::from_be_bytes(*at);
    (signature.len() == 64 && i64::try_from(at).is_ok()).then_some((at, signature))
}

/// The clock shows a time before 1970, which a cosignature cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint cannot be cosigned: the clock shows a time before 1970")]
pub struct CosignError;
