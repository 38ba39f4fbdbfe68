//! The agent renews its own certificate (EST `simplereenroll`), with a new key each time, over a connection that shows
//! the present one. The tunnels stay: what dials next, and what proves itself to a gateway, uses the new files.
//!
//! ```text
//!  certificate, announcement ─▶ Course ─▶ wait ─▶ attempt ─┬─▶ key and certificate replaced ─▶ in use
//!                                 ▲                        ├─▶ issued, but begins later: then
//!                                 │                        └─▶ failed: later, refused for good: never
//!                                 └────────────────────────────┘
//! ```
//!
//! The key of an attempt and a certificate that cannot be used yet stay for the next attempt ([`crate::pending`]).

mod attempt;
mod course;
pub mod when;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use attempt::RenewError;
pub use course::{Course, Next, Pace, Seen};

use crate::handler::Site;
use crate::issued;
use crate::material::Material;
use crate::trust::Issuing;
use attempt::{Outcome, attempt, use_kept};

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
        if next == Next::Ended && what_is_kept(&site, &material).await {
            continue;
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
        let result = attempted.as_ref().map_or_else(RenewError::label, Outcome::label);
        site.metrics.renewals.with_label_values(&[result]).inc();
        match attempted {
            Ok(Outcome::InUse) => course.renewed(),
            Ok(Outcome::Begins(at)) => {
                let ahead = issued::ahead(at, site.surroundings.now());
                tracing::warn!(%at, clocks_differ_by = ?ahead, "the new certificate begins later and is put in use then; set the clock of this host, best by NTP");
                course.waits(at);
            }
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

/// At the end of a certificate nothing can be asked any more, but what was issued before may have become usable.
async fn what_is_kept(site: &Arc<Site>, material: &Material) -> bool {
    match use_kept(site, material).await {
        Ok(in_use) => {
            site.metrics.renewals.with_label_values(&[Outcome::InUse.label()]).inc_by(u64::from(in_use));
            in_use
        }
        Err(error) => {
            tracing::error!(%error, "the certificate that is kept is not put in use");
            false
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
