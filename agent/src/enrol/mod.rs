//! `sallyport-agent enrol`: a first certificate for a one-time token (EST, RFC 7030). The key is made here and never
//! leaves; the token is sent only to a gateway that was verified.
//!
//! ```text
//!  --trust FILE ──────────────────────────────┐
//!  --fingerprint ─▶ bootstrap (unverified) ───┴▶ trust ─▶ cacerts ─▶ simpleenroll ─▶ looked at ─▶ trust, key, certificate
//! ```
//!
//! Nothing is written before everything was looked at, and no token is spent before the files are known to be writable.

mod advice;
mod bootstrap;
pub mod token;

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_pki::bundle::{BundleError, TrustBundle};
use sallyport_pki::key::{KeyAlgorithm, KeyError, PrivateKey};
use sallyport_pki::{csr, pem};
use sallyport_runtime::files::{FileError, read_trust_bundle, write_atomic};
use sallyport_runtime::tls::{self, KeyMaterial, TlsError};

pub use bootstrap::Fingerprint;

use crate::config::Config;
use crate::dial;
use crate::est::{self, EstError, Question, Token};
use crate::issued::{Issued, IssuedError, Wanted};
use crate::material::{ALPN, Material};
use crate::pair::{self, NotWritable, Pair};
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

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Of which region.
    pub region: RegionId,
    /// End of the certificate.
    pub not_after: Timestamp,
    /// How many CAs are trusted.
    pub authorities: usize,
    /// Where key, certificate and trust are.
    pub files: [PathBuf; 3],
    /// Whether the agent renews it by itself.
    pub renew: bool,
}

impl Enrolment {
    /// Enrols.
    ///
    /// # Errors
    /// See [`EnrolError`]; the files are then as they were, but for a failure while they are being written, after which
    /// the old pair or the new one is whole.
    pub async fn run(self, surroundings: &Surroundings) -> Result<Enrolled, EnrolError> {
        let Self { config, endpoint, token, anchor, present } = self;
        let pair = Pair { certificate: &config.certificate, key: &config.key };
        pair.is_writable()?;
        pair::folder_is_writable(&config.trust)?;
        pair.recover()?;
        if present == Present::Keep {
            nobody_else_is_here(&config, &endpoint, surroundings.now())?;
        }

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

        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        let csr = csr::request(&key)?;
        let stream = dial::connect(gateway, surroundings, &verified).await.map_err(EstError::from)?;
        let question = Question::Enrol { endpoint: &endpoint, token: &token, csr: &csr };
        let answer = est::ask(stream, &gateway.host, question).await?;
        let public = key.public_key();
        let wanted = Wanted { key: &public, endpoint: &endpoint, region: None, trust: &bundle };
        let issued = wanted.accept(answer.certificates, surroundings.now())?;
        write(&config, &bundle, &key, &issued)?;
        Ok(Enrolled {
            endpoint,
            region: issued.region,
            not_after: issued.validity.not_after,
            authorities: bundle.len(),
            files: [config.key, config.certificate, config.trust],
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

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, not_after, authorities, files, renew } = self;
        let [key, certificate, trust] = files.each_ref().map(|path| path.display());
        writeln!(f, "enrolled endpoint {endpoint} of region {region}, until {not_after}")?;
        writeln!(f, "  key          {key} (made here, 0600; it never left this host)")?;
        writeln!(f, "  certificate  {certificate}")?;
        writeln!(f, "  trust        {trust} ({authorities} certificate authorities)")?;
        writeln!(f, "the token is used up")?;
        if *renew {
            writeln!(f, "the agent renews the certificate by itself at two thirds of its life")?;
        } else {
            writeln!(f, "`renew: false` is configured: somebody has to replace the certificate before it ends")?;
        }
        writeln!(f, "next: sallyport-agent check && systemctl enable --now sallyport-agent")
    }
}

/// Why nothing was enrolled, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The gateway's CA certificates are none.
    #[error("the gateway's CA certificates cannot be used; tell the vendor")]
    Authority(#[source] BundleError),
    /// The gateway's certificate is not valid by this clock.
    #[error("the gateway's certificate is not valid now: {}", advice::clock(*now, *theirs))]
    Clock {
        /// Our clock.
        now: Timestamp,
        /// Its clock, if it told.
        theirs: Option<Timestamp>,
    },
    /// The gateway, or the way to it.
    #[error("{}", advice::on(error))]
    Est {
        /// What failed, with its causes in the message.
        error: EstError,
    },
    /// A file in the way.
    #[error(transparent)]
    File(#[from] FileError),
    /// The gateway has no such CA.
    #[error("{}", advice::fingerprint(wanted, found))]
    Fingerprint {
        /// What was asked for.
        wanted: Fingerprint,
        /// What the gateway has.
        found: Vec<String>,
    },
    /// The gateway that answered was certified by somebody else.
    #[error(
        "the server has the CA certificate {wanted}, but showed another one's: {shown} ({error}). A firewall or proxy that opens TLS stands between, or the region is changing its CA: ask the vendor for the fingerprint of the CA that issues now"
    )]
    ForeignServer {
        /// What it showed.
        shown: String,
        /// The CA that was asked for.
        wanted: Fingerprint,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// Not what was asked for.
    #[error(transparent)]
    Issued(#[from] IssuedError),
    /// The crypto library.
    #[error("no key could be made")]
    Key(#[from] KeyError),
    /// The result could not be kept, so nothing was asked.
    #[error(transparent)]
    NotWritable(#[from] NotWritable),
    /// Another endpoint lives here.
    #[error(
        "{path} is the certificate of endpoint {present}, valid until {until}; to make this agent endpoint {endpoint} instead, add --replace", path = path.display()
    )]
    Occupied {
        /// The certificate's file.
        path: PathBuf,
        /// Whose it is.
        present: Box<EndpointId>,
        /// Its end.
        until: Timestamp,
        /// Who was to be enrolled.
        endpoint: Box<EndpointId>,
    },
    /// See [`TlsError`].
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<EstError> for EnrolError {
    fn from(error: EstError) -> Self {
        Self::Est { error }
    }
}
