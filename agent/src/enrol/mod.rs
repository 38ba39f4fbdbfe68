//! `sallyport-agent enrol`: a first certificate for a one-time token (EST, RFC 7030). The key is made here and never
//! leaves; the token is sent only to a gateway that was verified.
//!
//! ```text
//!  --trust FILE ──────────────────────────────┐
//!  --fingerprint ─▶ bootstrap (unverified) ───┴▶ trust ─▶ cacerts ─▶ simpleenroll ─▶ looked at ─▶ trust, key, certificate
//! ```
//!
//! Of the three files nothing is written before everything was looked at, and no token is spent before they are known to
//! be writable. The key is kept before the token is sent, and a certificate that cannot be used yet with it
//! ([`crate::pending`]): the same command, given again, goes on from there.

mod advice;
mod bootstrap;
mod door;
mod error;
pub mod token;
mod told;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sallyport_core::name::EndpointId;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::PrivateKey;
use sallyport_pki::pem;
use sallyport_runtime::files::{FileError, read_trust_bundle, write_atomic};
use sallyport_runtime::tls::{self, KeyMaterial};

pub use bootstrap::Fingerprint;
pub use error::EnrolError;
pub use told::{Enrolled, Right, Waiting};

use door::{Door, begins};

use crate::config::Config;
use crate::dial;
use crate::est::{self, EstError, Question, Token};
use crate::issued::{Issued, Wanted};
use crate::material::{ALPN, Material};
use crate::pair::{self, Pair};
use crate::pending::Pending;
use crate::surroundings::Surroundings;
use crate::trust;

/// Why the gateway is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The CA certificate of this fingerprint.
    Fingerprint(Fingerprint),
    /// The CA certificates of this file.
    Trust(PathBuf),
}

/// Whether another endpoint's valid certificate may be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// It may not.
    Keep,
    /// It may.
    Replace,
}

/// What to enrol.
#[derive(Debug)]
pub struct Enrolment {
    /// The gateway to ask and the files to write.
    pub config: Config,
    /// Which endpoint this agent is to be.
    pub endpoint: EndpointId,
    /// The right to it.
    pub token: Token,
    /// Why the gateway is believed.
    pub anchor: Anchor,
    /// What becomes of a certificate that is there.
    pub present: Present,
}

impl Enrolment {
    /// Enrols. What takes long is told to `tell`.
    ///
    /// # Errors
    /// See [`EnrolError`]; the files are then as they were, but for a failure while they are being written, after which
    /// the old pair or the new one is whole.
    pub async fn run(
        self,
        surroundings: &Surroundings,
        tell: &(dyn Fn(&Waiting) + Sync),
    ) -> Result<Enrolled, EnrolError> {
        let Self { config, endpoint, token, anchor, present } = self;
        let pair = Pair { certificate: &config.certificate, key: &config.key };
        pair.is_writable()?;
        pair::folder_is_writable(&config.trust)?;
        pair.recover()?;
        if present == Present::Keep {
            nobody_else_is_here(&config, &endpoint, surroundings.now())?;
        }
        let in_use = Material::read(&config).ok().map(|present| present.key.public_key());
        let mut pending = Pending::open(&config.key, &endpoint, in_use.as_ref())?;

        let gateway = &config.gateway;
        let anchor = match anchor {
            Anchor::Fingerprint(fingerprint) => bootstrap::fetch(gateway, &fingerprint, surroundings).await?,
            Anchor::Trust(path) => read_trust_bundle(&path)?,
        };
        let verified = tls::client(None, &anchor, &[ALPN])?;
        let stream = dial::connect(gateway, surroundings, &verified).await.map_err(EstError::from)?;
        let answer = est::ask(stream, &gateway.host, Question::CaCerts).await?;
        let bundle = answer.certificates.iter().map(|der| pem::certificate(der)).collect::<String>();
        let bundle = TrustBundle::from_pem(&bundle).map_err(EnrolError::Authority)?;

        let key = pending.key().public_key();
        let wanted = Wanted { key: &key, endpoint: &endpoint, region: None, trust: &bundle };
        let door = Door { gateway, surroundings, verified: &verified };
        let (right, leaf) = match door.kept(&pending, &wanted).await {
            Some(leaf) => (Right::Earlier, leaf),
            None => (Right::Token, door.ask(&mut pending, &wanted, &token).await?),
        };
        let issued = begins(&wanted, &leaf, surroundings, tell).await;
        let issued = issued.map_err(|error| EnrolError::of_issued(error, &pending))?;
        write(&config, &bundle, pending.key(), &issued)?;
        if let Err(error) = pending.forget() {
            tracing::warn!(%error, "what the enrolment was made from is left behind");
        }
        Ok(Enrolled {
            endpoint,
            region: issued.region,
            not_after: issued.validity.not_after,
            authorities: bundle.len(),
            files: [config.key, config.certificate, config.trust],
            right,
            renew: config.renew,
        })
    }
}

/// A certificate that is still good and of another endpoint is probably in use: this is the wrong host, or the wrong name.
fn nobody_else_is_here(config: &Config, endpoint: &EndpointId, now: Timestamp) -> Result<(), EnrolError> {
    let Ok(present) = Material::read(config) else { return Ok(()) };
    if present.endpoint == *endpoint || now > present.validity.not_after {
        return Ok(());
    }
    Err(EnrolError::Occupied {
        path: config.certificate.clone(),
        present: Box::new(present.endpoint),
        until: present.validity.not_after,
        endpoint: Box::new(endpoint.clone()),
    })
}

/// Trust first: an old pair with new trust is refused at worst, a new pair with old trust could be used nowhere.
fn write(config: &Config, bundle: &TrustBundle, key: &PrivateKey, issued: &Issued) -> Result<(), EnrolError> {
    write_atomic(&config.trust, bundle.to_pem().as_bytes(), 0o644)?;
    // What an earlier region or an earlier life of this one announced does not count any more.
    trust::forget(&config.state_directory)?;
    let own = KeyMaterial { chain_pem: pem::certificate(&issued.leaf), key_pem: key.to_pem() };
    Pair { certificate: &config.certificate, key: &config.key }.replace(&own)?;
    for path in [&config.trust, &config.key, &config.certificate] {
        belongs_to_its_folders_owner(path)?;
    }
    Ok(())
}

/// Run by root, the files must still be the agent's: they belong to whom their folder belongs.
fn belongs_to_its_folders_owner(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::{MetadataExt, chown};
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let give = || {
        let (folder, file) = (std::fs::metadata(folder)?, std::fs::metadata(path)?);
        match (folder.uid(), folder.gid()) == (file.uid(), file.gid()) {
            true => Ok(()),
            // Another user than root can give nothing away, and needs not.
            false if file.uid() != 0 => Ok(()),
            false => chown(path, Some(folder.uid()), Some(folder.gid())),
        }
    };
    give().map_err(|source| FileError::Io { path: path.to_owned(), step: "give to its folder's owner", source })
}
