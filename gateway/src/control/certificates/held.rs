//! A key with its certificate, as the volume keeps it, and when it is to be renewed.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::PrivateKey;
use sallyport_runtime::tls::KeyMaterial;
use serde::{Deserialize, Serialize};

use crate::certificate::InUse;

/// A key with its certificate.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) chain: String,
    pub(super) key: String,
    /// The host name it was asked for; when the region's changes, another certificate is asked for.
    pub(super) host: String,
    /// From 0 to 1: where in its spread this replica renews, so that all do not at once. Drawn anew by each process.
    #[serde(skip, default = "rand::random")]
    pub(super) jitter: f64,
}

impl Held {
    pub(super) fn new(chain: String, key: String, host: String) -> Self {
        Self { chain, key, host, jitter: rand::random() }
    }

    pub(super) fn material(&self) -> KeyMaterial {
        KeyMaterial { chain_pem: self.chain.clone(), key_pem: self.key.clone().into() }
    }

    pub(super) fn in_use(&self, bundle: &TrustBundle) -> Option<InUse> {
        InUse::read(&self.material().leaf().ok()?, bundle)
    }

    /// When two thirds of its life are over, and up to a tenth of its life later. Unreadable is long ago.
    pub(super) fn ages_at(&self) -> Timestamp {
        let Some(in_use) = self.in_use(&TrustBundle::empty()) else { return Timestamp::MIN };
        let life = in_use.not_after.duration_since(in_use.not_before).as_secs_f64();
        // A tenth of the longest life there is fits.
        in_use.two_thirds() + SignedDuration::try_from_secs_f64(life / 10.0 * self.jitter).unwrap_or_default()
    }
}

/// Whether a certificate was made for another key than the one that was asked for.
pub(super) fn is_for_another(chain: &str, key: &PrivateKey) -> bool {
    let leaf = KeyMaterial { chain_pem: chain.to_owned(), key_pem: String::new().into() }.leaf();
    let certified = leaf.ok().and_then(|leaf| sallyport_pki::inspect::public_key(&leaf).ok());
    certified.is_some_and(|certified| certified != key.public_key())
}

pub(super) fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

pub(super) fn read(path: &Path) -> Option<Held> {
    let bytes = std::fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::error!(path = %path.display(), %error, "a kept certificate is unreadable"))
        .ok()
}
