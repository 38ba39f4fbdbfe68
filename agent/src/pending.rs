//! The key that a certificate is being asked for, and what was answered and cannot be used yet. Both outlive the process:
//! the key is on disk before the request, so an answer that got lost can be given again for the same key, and a
//! certificate that was issued is thrown away only when another one is in use.
//!
//! ```text
//!  open ─▶ store ─▶ ask ─▶ answered ─▶ put in use ─▶ forget
//!   ▲                │         │ not yet: another clock, another trust
//!   └────────────────┴─────────┘
//! ```
//!
//! One file beside the key, `KEY.pending`: whom it is for, the key, the answers. It is replaced whole.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sallyport_core::name::EndpointId;
use sallyport_pki::key::{KeyAlgorithm, KeyError, PrivateKey, PublicKey};
use sallyport_pki::{inspect, pem};
use sallyport_runtime::files::{FileError, read_text, write_atomic};
use zeroize::Zeroizing;

use crate::issued::{self, Accepted, IssuedError, Wanted};

/// Only its owner reads a key.
const MODE: u32 = 0o600;

/// A gateway that lies could fill the disk with answers; an honest one gives one.
const MOST_ANSWERS: usize = 4;

/// While an answer cannot be used, another one is asked for no more often than this: each is one more certificate that
/// the operator has to remember. Of the 30 days that a renewal has, it leaves 30 attempts.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// What stands before the name of whom a pending key is for.
const FOR: &str = "endpoint ";

/// A key that is not in use yet.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    endpoint: EndpointId,
    key: PrivateKey,
    /// Newest first.
    answers: Vec<Vec<u8>>,
    stored: bool,
}

impl Pending {
    /// The one that an earlier attempt left beside the key's file, or a new one. A key of another endpoint is not used for
    /// this one, and a key that is in use already is not used again. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyError`] when a new key cannot be made. A file that cannot be read or used is replaced by a new key: it is logged.
    pub fn open(key_file: &Path, endpoint: &EndpointId, in_use: Option<&PublicKey>) -> Result<Self, KeyError> {
        let path = path(key_file);
        if let Some((whose, key, answers)) = read(&path)
            && whose == *endpoint
            && in_use != Some(&key.public_key())
        {
            return Ok(Self { path, endpoint: whose, key, answers, stored: true });
        }
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        Ok(Self { path, endpoint: endpoint.clone(), key, answers: Vec::new(), stored: false })
    }

    /// The key to ask with.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Whether all of it is on disk.
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What became of the answers: one that can be used now, else one that can be used later, else why the newest cannot.
    /// Nothing when there is none.
    pub fn answer(&self, wanted: &Wanted<'_>, now: Timestamp) -> Option<Result<Accepted, IssuedError>> {
        let mut judged: Vec<_> = self.answers.iter().map(|leaf| wanted.accept(leaf, now)).collect();
        let rank = |judged: &Result<Accepted, IssuedError>| match judged {
            Ok(Accepted::Now(_)) => 0,
            Ok(Accepted::Later(_)) => 1,
            Err(_) => 2,
        };
        // Stable: of two that are as good, the newer.
        judged.sort_by_key(rank);
        judged.into_iter().next()
    }

    /// Whether it is time to ask although there is an answer. Its beginning tells when it was given; one from somewhere
    /// else in time was given by a wrong clock, or by somebody who lies. Near the end of the present certificate the
    /// patience ends, as everything else does.
    pub fn is_stale(&self, present_ends: Timestamp, now: Timestamp) -> bool {
        let Some(validity) = self.answers.first().and_then(|leaf| inspect::validity(leaf).ok()) else { return true };
        let patience = ASK_AGAIN.min(present_ends.duration_since(now).max(SignedDuration::ZERO) / 4);
        issued::ahead(validity.not_before, now).abs() >= patience
    }

    /// Keeps the key, before anybody hears of it. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError`] names the file; then nothing may be asked.
    pub fn store(&mut self) -> Result<(), FileError> {
        if !self.stored {
            self.write()?;
            self.stored = true;
        }
        Ok(())
    }

    /// Keeps a certificate that was issued. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError`] names the file.
    pub fn answered(&mut self, leaf: &[u8]) -> Result<(), FileError> {
        self.answers.retain(|answer| answer != leaf);
        self.answers.insert(0, leaf.to_vec());
        self.answers.truncate(MOST_ANSWERS);
        self.stored = false;
        self.store()
    }

    /// Its certificate is in use. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError`] names the file. One that stays does no harm: its key is in use.
    pub fn forget(&self) -> Result<(), FileError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(FileError::Io { path: self.path.clone(), step: "remove", source })
            }
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<(), FileError> {
        let answers: String = self.answers.iter().map(|leaf| pem::certificate(leaf)).collect();
        let text = Zeroizing::new(format!("{FOR}{}\n{}{answers}", self.endpoint, *self.key.to_pem()));
        write_atomic(&self.path, text.as_bytes(), MODE)
    }
}

/// Beside the key: what may be written there may be a key.
fn path(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".pending");
    PathBuf::from(name)
}

fn read(path: &Path) -> Option<(EndpointId, PrivateKey, Vec<Vec<u8>>)> {
    let text = match read_text(path) {
        Ok(text) => Zeroizing::new(text),
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "the key of an earlier attempt cannot be read; a new one is made");
            return None;
        }
    };
    let parsed = parse(&text);
    if parsed.is_none() {
        tracing::warn!(path = %path.display(), "the key of an earlier attempt is damaged; a new one is made");
    }
    parsed
}

fn parse(text: &str) -> Option<(EndpointId, PrivateKey, Vec<Vec<u8>>)> {
    let endpoint = text.lines().next()?.strip_prefix(FOR)?.parse().ok()?;
    let key = PrivateKey::from_pem(text).ok()?;
    let answers = CertificateDer::pem_slice_iter(text.as_bytes()).map(|der| der.map(|der| der.to_vec()));
    Some((endpoint, key, answers.collect::<Result<_, _>>().ok()?))
}

#[cfg(test)]
mod tests;
