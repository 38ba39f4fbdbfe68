//! Which CAs the operator announced last. An announcement comes through a gateway, which only carries it: it is taken
//! when the config signer of this agent's region signed it, under a CA that is trusted already, and when it is no older
//! than any taken before. Then it replaces the trust file, and with it what the next dial believes.
//!
//! ```text
//!  POST /trust ─▶ verify, region, sequence ─▶ trust.newest ─▶ trust file ─▶ trust.signed ─▶ digest of what is in use
//! ```
//!
//! The sequence is on disk before anything follows from it; the document is written last, so it is there only when the
//! trust file has been written. A trust file that somebody changes by hand is used as it is, until the next sequence.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_core::name::RegionId;
use sallyport_pki::announcement::{AnnouncementError, TrustAnnouncement};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::signed::{self, Purpose, SignedError};
use sallyport_runtime::files::{FileError, write_atomic};

/// The last announcement that was taken, as it was signed.
const DOCUMENT: &str = "trust.signed";
/// The highest sequence ever taken.
const NEWEST: &str = "trust.newest";

/// CA certificates are public.
const TRUST_MODE: u32 = 0o644;

/// Whose announcements are obeyed.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The CAs that are trusted now.
    pub trust: &'a TrustBundle,
    /// The region whose config signer counts.
    pub region: &'a RegionId,
    /// The wall clock.
    pub now: Timestamp,
}

impl Judge<'_> {
    fn judge(&self, document: &[u8]) -> Result<(TrustAnnouncement, TrustBundle), TrustError> {
        let payload = signed::verify(Purpose::Trust, document, self.trust, self.region, self.now)?;
        let announcement = TrustAnnouncement::parse(&payload)?;
        if announcement.region != *self.region {
            return Err(TrustError::ForOther { region: announcement.region });
        }
        let bundle = announcement.bundle()?;
        Ok((announcement, bundle))
    }
}

/// What an announcement says about renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuing {
    /// SHA-256, in hex, of the CA certificate that signs now.
    pub issuer: String,
    /// When the operator said so, by its clock.
    pub issued: Timestamp,
    /// Certificates of another issuer are renewed within this time.
    pub renew_within: Duration,
}

/// What the state directory tells of the last announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its sequence.
    pub sequence: u64,
    /// Digest of the bundle that it announced.
    pub digest: String,
    /// The CA that signs, which changes under one sequence: that counts bundles.
    pub issuer: String,
}

impl Taken {
    fn of(announcement: &TrustAnnouncement, bundle: &TrustBundle) -> Self {
        Self { sequence: announcement.sequence, digest: bundle.digest(), issuer: announcement.issuer.clone() }
    }
}

/// The last announcement, and its copy on disk.
pub struct Announcements {
    directory: PathBuf,
    state: Mutex<Option<(Taken, Issuing)>>,
}

impl Announcements {
    /// What the last run left, verified again. A stored announcement that does not verify any more (its signer's
    /// certificate ended, or a person changed the trust file) is not used, and a gateway sends the present one.
    pub fn load(directory: &Path, judge: Judge<'_>) -> Self {
        let stored = std::fs::read(directory.join(DOCUMENT)).ok();
        let state = stored.and_then(|document| judge.judge(&document).ok()).map(|(announcement, bundle)| {
            let taken = Taken::of(&announcement, &bundle);
            (taken, issuing(&announcement))
        });
        Self { directory: directory.to_owned(), state: Mutex::new(state) }
    }

    /// The last one that was taken.
    pub fn taken(&self) -> Option<Taken> {
        self.state().as_ref().map(|(taken, _)| taken.clone())
    }

    /// Which CA signs now, as far as this agent was told.
    pub fn issuing(&self) -> Option<Issuing> {
        self.state().as_ref().map(|(_, issuing)| issuing.clone())
    }

    /// Judges a document and writes the trust file, unless that was done before. Blocks on the disk.
    ///
    /// # Errors
    /// See [`TrustError`]; what was trusted before is trusted still.
    pub fn take(&self, document: &[u8], judge: Judge<'_>, trust_file: &Path) -> Result<Taken, TrustError> {
        // Held across the writes: of two tunnels that bring different announcements, the newer wins on disk as well.
        let mut state = self.state();
        let (announcement, bundle) = judge.judge(document)?;
        // Read each time: an enrolment beside this process starts a new count.
        let newest = newest(&self.directory)?.unwrap_or(0);
        if announcement.sequence < newest {
            let path = self.directory.join(NEWEST);
            return Err(TrustError::Older { sequence: announcement.sequence, newest, path });
        }
        let taken = Taken::of(&announcement, &bundle);
        let repeated = state.as_ref().is_some_and(|(before, _)| *before == taken);
        if !repeated {
            self.store(NEWEST, announcement.sequence.to_string().as_bytes())?;
            if *judge.trust != bundle {
                write_atomic(trust_file, bundle.to_pem().as_bytes(), TRUST_MODE)
                    .map_err(|source| TrustError::NotWritable { path: trust_file.to_owned(), source })?;
            }
            self.store(DOCUMENT, document)?;
        }
        *state = Some((taken.clone(), issuing(&announcement)));
        Ok(taken)
    }

    fn store(&self, name: &str, content: &[u8]) -> Result<(), TrustError> {
        write_atomic(&self.directory.join(name), content, 0o600).map_err(TrustError::Store)
    }

    fn state(&self) -> MutexGuard<'_, Option<(Taken, Issuing)>> {
        // It is written whole and last.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn issuing(announcement: &TrustAnnouncement) -> Issuing {
    Issuing {
        issuer: announcement.issuer.clone(),
        issued: i64::try_from(announcement.issued_at_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH),
        renew_within: Duration::from_secs(announcement.renew_within_seconds),
    }
}

/// The highest sequence that was taken with this state directory.
///
/// # Errors
/// [`TrustError::State`] when there is one and it cannot be read: without it an old announcement could be played back.
pub fn newest(directory: &Path) -> Result<Option<u64>, TrustError> {
    let path = directory.join(NEWEST);
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(sequence) => Ok(Some(sequence)),
            Err(_) => Err(TrustError::State { path, why: "it holds no number".to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrustError::State { path, why: error.to_string() }),
    }
}

/// Forgets what was announced: an enrolment is trusted anew, by another path, and perhaps in another region.
///
/// # Errors
/// [`FileError`] names the file.
pub fn forget(directory: &Path) -> Result<(), FileError> {
    for name in [DOCUMENT, NEWEST] {
        let path = directory.join(name);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::Io { path, step: "remove", source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Why an announcement is not obeyed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Signed, but no announcement this version understands.
    #[error("the announcement cannot be used: {0}")]
    Announcement(#[from] AnnouncementError),
    /// For another region's agents.
    #[error("the announcement is for region {region}")]
    ForOther {
        /// Which.
        region: RegionId,
    },
    /// The trust file stays as it is, so nothing else may be acknowledged.
    #[error(
        "the trust file {path} cannot be written, so the announced trust is not in force: make the file's folder writable for the agent's user, or replace the file by hand", path = path.display()
    )]
    NotWritable {
        /// The trust file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// An old announcement played back.
    #[error("the announcement has sequence {sequence}, but {newest} is known; if the region was made anew, enrol again or delete {path}", path = path.display())]
    Older {
        /// Its sequence.
        sequence: u64,
        /// The highest that was taken.
        newest: u64,
        /// Where that is kept.
        path: PathBuf,
    },
    /// The signature or its signer.
    #[error("the announcement is not signed as it must be: {0}")]
    Signature(#[from] SignedError),
    /// Whether it is the newest cannot be told.
    #[error("{path} cannot be used: {why}; restore it, or enrol again", path = path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It could come into force, but not survive a restart.
    #[error("the announcement cannot be stored: {0}")]
    Store(#[source] FileError),
}
