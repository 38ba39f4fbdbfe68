//! The offer in force: what the vendor says this agent may reach. Only an offer that the region's config signer
//! signed, for this endpoint, and no older than the newest ever seen here, comes into force; gateways only carry it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_core::offer::Offer;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::signed::{self, Purpose, SignedError};
use sallyport_runtime::files::{FileError, write_atomic};

/// Whose offers are obeyed.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The private CA.
    pub trust: &'a TrustBundle,
    /// The region whose config signer counts.
    pub region: &'a RegionId,
    /// For whom the offer must be.
    pub endpoint: &'a EndpointId,
    /// The wall clock.
    pub now: Timestamp,
}

impl Judge<'_> {
    /// The offer of a signed document, if it may come into force.
    pub fn judge(&self, document: &[u8], newest_seen: u64) -> Result<Offer, OfferError> {
        let payload = signed::verify(Purpose::Offer, document, self.trust, self.region, self.now)?;
        let offer: Offer =
            serde_json::from_slice(&payload).map_err(|error| OfferError::Unreadable(error.to_string()))?;
        if offer.endpoint != *self.endpoint {
            return Err(OfferError::ForOther { endpoint: offer.endpoint });
        }
        if offer.issued_at_ms < newest_seen {
            return Err(OfferError::Older { issued_at_ms: offer.issued_at_ms, newest_seen });
        }
        Ok(offer)
    }
}

/// The offer in force and its copy on disk.
pub struct Offers {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_force: Option<Arc<Offer>>,
    newest_seen: u64,
}

const DOCUMENT: &str = "offer.signed";
const NEWEST: &str = "offer.newest";

impl Offers {
    /// What the last run left, verified again. What is wrong with it is returned beside: the agent then starts without
    /// an offer, and the gateway sends one.
    pub fn load(directory: &Path, judge: Judge<'_>) -> (Self, Option<OfferError>) {
        let newest = std::fs::read_to_string(directory.join(NEWEST)).ok().and_then(|text| text.trim().parse().ok());
        let mut state = State { in_force: None, newest_seen: newest.unwrap_or(0) };
        // It was the newest when it was stored. `NEWEST` is written first, so it may be ahead after a crash.
        let stored = std::fs::read(directory.join(DOCUMENT));
        let error = match stored.map(|document| judge.judge(&document, 0)) {
            Ok(Ok(offer)) => {
                state.newest_seen = state.newest_seen.max(offer.issued_at_ms);
                state.in_force = Some(Arc::new(offer));
                None
            }
            Ok(Err(error)) => Some(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(OfferError::Load(error)),
        };
        (Self { directory: directory.to_owned(), state: Mutex::new(state) }, error)
    }

    /// The offer in force, or nothing: then nothing is reached.
    pub fn in_force(&self) -> Option<Arc<Offer>> {
        self.state().in_force.clone()
    }

    /// Judges a document and brings it into force, after it is safely on disk. Blocks on the disk.
    pub fn take(&self, document: &[u8], judge: Judge<'_>) -> Result<Arc<Offer>, OfferError> {
        // Held across the write: of two tunnels that bring different offers, the newer wins on disk as well.
        let mut state = self.state();
        let offer = Arc::new(judge.judge(document, state.newest_seen)?);
        replace(&self.directory.join(NEWEST), offer.issued_at_ms.to_string().as_bytes())?;
        replace(&self.directory.join(DOCUMENT), document)?;
        state.newest_seen = offer.issued_at_ms;
        state.in_force = Some(Arc::clone(&offer));
        Ok(offer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Both fields are written last and without a way to panic between them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Readable by the agent only: it names the site's machines.
fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_atomic(path, content, 0o600)
}

/// Why an offer is not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// For another endpoint.
    #[error("the offer is for endpoint {endpoint}")]
    ForOther {
        /// For whom.
        endpoint: EndpointId,
    },
    /// The stored one is there but cannot be read.
    #[error("the stored offer cannot be read: {0}")]
    Load(#[source] io::Error),
    /// An old offer played back.
    #[error("the offer was issued at {issued_at_ms} ms, but one of {newest_seen} ms is known")]
    Older {
        /// When it was signed.
        issued_at_ms: u64,
        /// When the newest was.
        newest_seen: u64,
    },
    /// The signature or its signer.
    #[error("the offer is not signed as it must be: {0}")]
    Signature(#[from] SignedError),
    /// It could come into force, but not survive a restart.
    #[error("the offer cannot be stored: {0}")]
    Store(#[from] FileError),
    /// Signed, but no offer this version understands.
    #[error("the offer cannot be read: {0}")]
    Unreadable(String),
}
