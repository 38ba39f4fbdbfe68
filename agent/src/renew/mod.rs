//! The agent renews its own certificate (EST `simplereenroll`), with a new key each time, over a connection that shows
//! the present one. The tunnels stay: what dials next, and what proves itself to a gateway, uses the new files.
//!
//! ```text
//!  certificate, announcement ─▶ Course ─▶ wait ─▶ attempt ─┬─▶ key and certificate replaced ─▶ in use
//!                                 ▲                        └─▶ failed: later, refused for good: never
//!                                 └────────────────────────────┘
//! ```

mod course;
pub mod when;

use std::sync::Arc;
use std::time::Duration;

use sallyport_pki::key::{KeyAlgorithm, KeyError, PrivateKey};
use sallyport_pki::{csr, pem, reenrol};
use sallyport_runtime::files::FileError;
use sallyport_runtime::tls::KeyMaterial;
use tokio_util::sync::CancellationToken;

pub use course::{Course, Next, Pace, Seen};

use crate::dial::{self, DialError};
use crate::est::{self, EstError, Question};
use crate::handler::Site;
use crate::issued::{IssuedError, Wanted};
use crate::material::Material;
use crate::pair::{self, Pair};
use crate::trust::Issuing;

/// The wall clock may jump, so a long wait is done in parts.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Renews whenever it is due, until told to stop.
pub async fn keep(site: Arc<Site>, pace: Pace, stop: CancellationToken) {
    let mut course = Course::new(pace);
    let mut told = None;
    loop {
        let (material, issuing) = (site.material(), site.issuing());
        let seen = seen(&material, issuing.as_ref());
        let now = site.surroundings.now();
        let next = course.next(seen, now, &mut rand::rng());
        if told != Some(next) {
            tell(next);
            told = Some(next);
        }
        let wait = match next {
            Next::At(due) => Duration::try_from(due.duration_since(now)).unwrap_or_default(),
            Next::Ended | Next::Theirs => LOOK_AGAIN,
        };
        if wait > Duration::ZERO {
            tokio::select! {
                () = tokio::time::sleep(wait.min(LOOK_AGAIN)) => {}
                () = site.changed() => {}
                () = stop.cancelled() => return,
            }
            continue;
        }
        let attempted = tokio::select! {
            attempted = Box::pin(attempt(&site, &material)) => attempted,
            () = stop.cancelled() => return,
        };
        let result = attempted.as_ref().err().map_or("renewed", RenewError::label);
        site.metrics.renewals.with_label_values(&[result]).inc();
        match attempted {
            Ok(()) => course.renewed(),
            Err(error) if error.is_delivered_by_secret() => {
                tracing::warn!(
                    %error,
                    "this certificate is delivered as files and not renewed by the agent; set `renew: false` in the configuration"
                );
                course.left_to_others();
            }
            Err(error) => {
                let wait = course.failed(seen, error.retry_after(), site.surroundings.now(), &mut rand::rng());
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                let until = material.validity.not_after;
                tracing::error!(%error, %cause, again_in = ?wait, %until, "the certificate is not renewed");
            }
        }
    }
}

fn seen<'s>(material: &'s Material, issuing: Option<&'s Issuing>) -> Seen<'s> {
    Seen { leaf: &material.leaf, validity: material.validity, issuer: material.issuer.as_deref(), issuing }
}

fn tell(next: Next) {
    match next {
        Next::At(at) => tracing::info!(%at, "the certificate is renewed then"),
        Next::Ended => {
            tracing::error!("the certificate has ended and can only be replaced: sallyport-agent enrol --help");
        }
        Next::Theirs => {}
    }
}

/// One renewal, from the new key to the new certificate in use.
async fn attempt(site: &Arc<Site>, material: &Material) -> Result<(), RenewError> {
    let config = site.config.clone();
    blocking(move || {
        let pair = Pair { certificate: &config.certificate, key: &config.key };
        // Before a certificate is issued that could then not be kept.
        pair.is_writable()?;
        pair.recover()?;
        Ok(())
    })
    .await?;
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let request = csr::request(&key)?;
    let proof = reenrol::sign(&material.key, &material.region, &material.endpoint, &request)?;
    let gateway = &site.config.gateway;
    let stream = dial::connect(gateway, &site.surroundings, &material.tls).await.map_err(EstError::from)?;
    let answer = est::ask(stream, &gateway.host, Question::Reenrol { csr: &request, proof: &proof }).await?;
    // What is trusted may have changed meanwhile.
    let trust = &site.material().trust;
    let public = key.public_key();
    let wanted = Wanted { key: &public, endpoint: &material.endpoint, region: Some(&material.region), trust };
    let issued = wanted.accept(answer.certificates, site.surroundings.now())?;
    let own = KeyMaterial { chain_pem: pem::certificate(&issued.leaf), key_pem: key.to_pem() };
    let replacing = Arc::clone(site);
    blocking(move || {
        let Site { config, .. } = &*replacing;
        Pair { certificate: &config.certificate, key: &config.key }.replace(&own)?;
        replacing.reload();
        Ok(())
    })
    .await?;
    if site.material().leaf[..] != issued.leaf {
        return Err(RenewError::NotInUse);
    }
    tracing::info!(until = %issued.validity.not_after, "the certificate is renewed and in use");
    Ok(())
}

/// Off the one thread that the tunnels live on.
async fn blocking(work: impl FnOnce() -> Result<(), RenewError> + Send + 'static) -> Result<(), RenewError> {
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
    /// Not what was asked for.
    #[error(transparent)]
    Issued(#[from] IssuedError),
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
            Self::NotWritable(_) => "notWritable",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Est(EstError::Refused(refused)) => refused.retry_after,
            _ => None,
        }
    }

    fn is_delivered_by_secret(&self) -> bool {
        matches!(self, Self::Est(EstError::Refused(refused)) if refused.is_delivered_by_secret())
    }
}
