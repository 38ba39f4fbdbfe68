//! One renewal: from the key, new or kept, to the certificate in use. Nothing is asked that could then not be used, and
//! nothing that was issued is thrown away.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::{KeyError, PublicKey};
use sallyport_pki::{csr, inspect, pem, reenrol};
use sallyport_runtime::files::FileError;
use sallyport_runtime::tls::KeyMaterial;

use crate::dial::{self, DialError};
use crate::est::{self, EstError, Question};
use crate::handler::Site;
use crate::issued::{Accepted, IssuedError, Wanted};
use crate::material::Material;
use crate::pair::{self, Pair};
use crate::pending::Pending;
use crate::trust::Issuing;

/// How an attempt ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A certificate is issued and kept, and begins then.
    Begins(Timestamp),
    /// The new certificate is in use.
    InUse,
}

impl Outcome {
    /// A closed set of labels for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Begins(_) => "beginsLater",
            Self::InUse => "renewed",
        }
    }
}

/// One renewal of the certificate of `material`.
pub(super) async fn attempt(site: &Arc<Site>, material: &Material) -> Result<Outcome, RenewError> {
    let pending = open(site, material).await?;
    let now = site.surroundings.now();
    let key = pending.key().public_key();
    match pending.answer(&wanted(material, &key, &material.trust), now) {
        Some(Ok(accepted)) => return put_in_use(site, pending, accepted).await,
        Some(Err(error)) if !pending.is_stale(material.validity.not_after, now) => return Err(error.into()),
        Some(Err(_)) | None => {}
    }
    trusts_who_issues(site, material)?;
    let (pending, answer) = question(site, material, pending).await?;
    // What is trusted may have changed meanwhile.
    let trust = &site.material().trust;
    let wanted = wanted(material, &key, trust);
    let leaf = wanted.only(answer)?;
    let judged = wanted.accept(&leaf, site.surroundings.now());
    let pending = match &judged {
        Err(error) if !error.may_pass() => pending,
        _ => keep(pending, leaf).await?,
    };
    put_in_use(site, pending, judged?).await
}

/// Puts in use what an earlier attempt was issued, if it can be used now. Answers whether it is.
pub(super) async fn use_kept(site: &Arc<Site>, material: &Material) -> Result<bool, RenewError> {
    let pending = open(site, material).await?;
    let key = pending.key().public_key();
    match pending.answer(&wanted(material, &key, &material.trust), site.surroundings.now()) {
        Some(Ok(Accepted::Now(issued))) => {
            put_in_use(site, pending, Accepted::Now(issued)).await.map(|outcome| outcome == Outcome::InUse)
        }
        _ => Ok(false),
    }
}

async fn open(site: &Site, material: &Material) -> Result<Pending, RenewError> {
    let (file, endpoint, in_use) = (site.config.key.clone(), material.endpoint.clone(), material.key.public_key());
    blocking(move || Ok(Pending::open(&file, &endpoint, Some(&in_use))?)).await
}

fn wanted<'w>(material: &'w Material, key: &'w PublicKey, trust: &'w TrustBundle) -> Wanted<'w> {
    Wanted { key, endpoint: &material.endpoint, region: Some(&material.region), trust }
}

/// What another CA issues than the trusted ones could not be used.
fn trusts_who_issues(site: &Site, material: &Material) -> Result<(), RenewError> {
    let Some(Issuing { issuer, .. }) = site.issuing() else { return Ok(()) };
    let trusted = material.trust.certificates().any(|der| inspect::fingerprint(&der) == issuer);
    if trusted { Ok(()) } else { Err(RenewError::IssuerNotTrusted { issuer }) }
}

/// Asks for a certificate, once the key is kept and the answer could be.
async fn question(
    site: &Site,
    material: &Material,
    mut pending: Pending,
) -> Result<(Pending, Vec<Vec<u8>>), RenewError> {
    let config = site.config.clone();
    let pending = blocking(move || {
        let pair = Pair { certificate: &config.certificate, key: &config.key };
        pair.is_writable()?;
        pair.recover()?;
        pending.store()?;
        Ok(pending)
    })
    .await?;
    let csr = csr::request(pending.key())?;
    let proof = reenrol::sign(&material.key, &material.region, &material.endpoint, &csr)?;
    let gateway = &site.config.gateway;
    let stream = dial::connect(gateway, &site.surroundings, &material.tls).await.map_err(EstError::from)?;
    let answer = est::ask(stream, &gateway.host, Question::Reenrol { csr: &csr, proof: &proof }).await?;
    Ok((pending, answer.certificates))
}

async fn keep(mut pending: Pending, leaf: Vec<u8>) -> Result<Pending, RenewError> {
    blocking(move || {
        if let Err(error) = pending.answered(&leaf) {
            // It may still be put in use at once.
            tracing::error!(%error, "the issued certificate is not kept for later");
        }
        Ok(pending)
    })
    .await
}

async fn put_in_use(site: &Arc<Site>, pending: Pending, accepted: Accepted) -> Result<Outcome, RenewError> {
    let issued = match accepted {
        Accepted::Later(issued) => return Ok(Outcome::Begins(issued.validity.not_before)),
        Accepted::Now(issued) => issued,
    };
    let until = issued.validity.not_after;
    let replacing = Arc::clone(site);
    blocking(move || {
        let Site { config, .. } = &*replacing;
        let own = KeyMaterial { chain_pem: pem::certificate(&issued.leaf), key_pem: pending.key().to_pem() };
        let pair = Pair { certificate: &config.certificate, key: &config.key };
        pair.recover()?;
        pair.replace(&own)?;
        replacing.reload();
        if replacing.material().leaf[..] != issued.leaf {
            return Err(RenewError::NotInUse);
        }
        if let Err(error) = pending.forget() {
            tracing::warn!(%error, "what the renewal was made from is left behind");
        }
        Ok(())
    })
    .await?;
    tracing::info!(%until, "the certificate is renewed and in use");
    Ok(Outcome::InUse)
}

/// Off the one thread that the tunnels live on.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RenewError> + Send + 'static,
) -> Result<T, RenewError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(RenewError::NotInUse))
}

/// Why a renewal failed. The present certificate goes on being used.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The gateway, or the way to it.
    #[error(transparent)]
    Est(#[from] EstError),
    /// A file in the way.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not what was asked for, or not to be used yet; the second is kept.
    #[error(transparent)]
    Issued(#[from] IssuedError),
    /// The result could not be used, so nothing was asked.
    #[error(
        "the certificate authority that issues now ({issuer}) is not in the trust file; put the announced one back, or enrol again"
    )]
    IssuerNotTrusted {
        /// SHA-256 of its certificate.
        issuer: String,
    },
    /// The crypto library.
    #[error("no new key")]
    Key(#[from] KeyError),
    /// Written, and then found to be unusable; the log says why.
    #[error("the new certificate was written but is not in use; see what was logged before")]
    NotInUse,
    /// The result could not be kept, so nothing was asked.
    #[error(transparent)]
    NotWritable(#[from] pair::NotWritable),
}

impl RenewError {
    /// A closed set of labels for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Est(EstError::Dial(DialError::Http(_) | DialError::Tls(_))) => "notConnected",
            Self::Est(EstError::Dial(_)) => "notReached",
            Self::Est(EstError::NotEst(_)) | Self::Issued(_) => "wrongAnswer",
            Self::Est(EstError::Refused(_)) => "refused",
            Self::File(_) | Self::Key(_) | Self::NotInUse => "failed",
            Self::IssuerNotTrusted { .. } => "issuerNotTrusted",
            Self::NotWritable(_) => "notWritable",
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Est(EstError::Refused(refused)) => refused.retry_after,
            _ => None,
        }
    }

    pub(super) fn is_delivered_by_secret(&self) -> bool {
        matches!(self, Self::Est(EstError::Refused(refused)) if refused.is_delivered_by_secret())
    }
}
