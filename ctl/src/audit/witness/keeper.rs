//! Deciding and remembering as one step.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use sallyport_audit::tlog::cosignature::Cosigner;
use sallyport_audit::tlog::note::{KeyName, Signature, SignatureType, VerifierKey};
use sallyport_audit::tlog::tree::Head;
use sallyport_audit::tlog::witness::{AddCheckpoint, Refused, decide};

use super::store::{Seen, Store};
use crate::failure::Failure;

/// A witness.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Held from reading what was cosigned last until the new one is durable.
    store: Mutex<Store>,
    cosigner: Cosigner,
    regions: Vec<VerifierKey>,
}

/// Why no cosignature is given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotGiven {
    /// The protocol says why.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The memory failed, so nothing may be given.
    #[error("the witness cannot remember what it cosigns")]
    Memory(#[source] Failure),
}

impl Keeper {
    pub(crate) fn open(folder: &Path, name: Option<KeyName>, regions: Vec<VerifierKey>) -> Result<Self, Failure> {
        if let Some(key) = regions.iter().find(|key| key.kind() != SignatureType::Text) {
            let words =
                format!("--region: {} is a witness' key; give the region's, as `audit key` prints it", key.name());
            return Err(Failure::Usage(words));
        }
        let store = Store::open(folder)?;
        let cosigner = store.cosigner(name)?;
        Ok(Self { store: Mutex::new(store), cosigner, regions })
    }

    pub(crate) fn verifier_key(&self) -> &VerifierKey {
        self.cosigner.verifier_key()
    }

    /// What was cosigned last.
    pub(crate) fn seen(&self, origin: &str) -> Result<Option<Head>, Failure> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(store.seen(origin)?.map(|seen| seen.head.into()))
    }

    pub(crate) fn all(&self) -> Result<Vec<Seen>, Failure> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// Cosigns, if it may.
    pub(crate) fn add(&self, request: AddCheckpoint, now: Timestamp) -> Result<Signature, NotGiven> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = request.origin().to_owned();
        let keys = self.keys_of(&origin);
        let keys = (!keys.is_empty()).then_some(keys.as_slice());
        // A log that is not known does not make the witness look for a file.
        let kept = match keys {
            Some(_) => store.seen(&origin).map_err(NotGiven::Memory)?,
            None => None,
        };
        let cosigned = decide(kept.map(|seen| seen.head.into()), request, keys, &self.cosigner, now)?;
        let seen = Seen { origin, head: cosigned.keep().into(), at: now };
        store.keep(&seen).map_err(NotGiven::Memory)?;
        Ok(cosigned.into_line_once_kept())
    }

    /// A region's key speaks for the logs below the region's name.
    fn keys_of(&self, origin: &str) -> Vec<VerifierKey> {
        let below = |key: &&VerifierKey| {
            origin.strip_prefix(key.name().as_str()).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
        };
        self.regions.iter().filter(below).cloned().collect()
    }
}
