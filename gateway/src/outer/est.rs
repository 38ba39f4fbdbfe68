//! Enrolment over Secure Transport (RFC 7030, clarified by RFC 8951): how an endpoint comes to its certificate. Here the
//! form and the proof of possession are checked; who gets what is the operator's, which is asked over the control stream.

mod answer;
mod attempts;
mod credentials;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sallyport_audit::event::{Enrolled, EnrolmentRefused, Renewed};
use sallyport_audit::{Event, Person};
use sallyport_control::wire::enrolled::Result as Outcome;
use sallyport_control::wire::{CurrentCertificate, EnrolmentToken, enrol};
use sallyport_core::name::EndpointId;
use sallyport_pki::{inspect, reenrol};

use super::Site;
use crate::enrolments::Unanswered;
use crate::gateway::Gateway;
use crate::places::Source;

use answer::{Problem, Refused};
use credentials::Credentials;
use request::Csr;

pub(crate) use attempts::{Attempts, Records};

/// Who asks, as far as the connection tells.
#[derive(Clone)]
pub(super) struct Asker {
    gateway: Arc<Gateway>,
    from: SocketAddr,
    /// There when a certificate was shown.
    site: Option<Site>,
}

impl Asker {
    /// One that showed its certificate.
    pub(super) fn of(site: &Site) -> Self {
        Self { gateway: Arc::clone(&site.gateway), from: site.from, site: Some(site.clone()) }
    }

    /// One that showed none.
    pub(super) fn unknown(gateway: Arc<Gateway>, from: SocketAddr) -> Self {
        Self { gateway, from, site: None }
    }
}

pub(super) fn router(asker: Asker) -> Router {
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/csrattrs", get(answer::csr_attributes))
        .route("/.well-known/est/simpleenroll", post(simple_enroll))
        .route("/.well-known/est/simplereenroll", post(simple_reenroll))
        .with_state(asker)
}

async fn cacerts(State(asker): State<Asker>) -> Result<Response, Problem> {
    let trust = asker.gateway.trust.current().ok_or(Refused::NotReady)?;
    answer::authorities(trust.bundle())
}

/// A first certificate, by the one-time token. Whoever shows a certificate may do so too: it may be an old one.
async fn simple_enroll(State(asker): State<Asker>, request: Request) -> Result<Response, Problem> {
    let enrolled = enroll(&asker, request).await;
    asker.count("simpleenroll", enrolled)
}

async fn enroll(asker: &Asker, mut request: Request) -> Result<Response, Refused> {
    // Taken out first, so that nothing later can log it.
    let Credentials { endpoint, sha256 } = Credentials::take(request.headers_mut())?;
    let csr = Csr::read(request).await?;
    let token = EnrolmentToken { endpoint: endpoint.to_string(), sha256: sha256.to_vec() };
    let tokens = &asker.gateway.unknown.tokens;
    let Issued { leaf, serial } = asker.ask(&endpoint, enrol::Proof::Token(token), csr, tokens).await?;
    let site = asker.gateway.site_of(&endpoint);
    let enrolled = Enrolled { site, endpoint, serial: serial.into(), from: asker.from };
    asker.record(Event::Enrolled(enrolled)).await;
    answer::certificate(&leaf)
}

/// The next certificate, by the one of the connection.
async fn simple_reenroll(State(asker): State<Asker>, request: Request) -> Result<Response, Problem> {
    let enrolled = reenroll(&asker, request).await;
    asker.count("simplereenroll", enrolled)
}

/// What the client sent to prove that it asks itself; empty when it sent none, as plain clients do. The operator judges.
fn renewal_proof(headers: &HeaderMap) -> Result<Vec<u8>, Refused> {
    let mut values = headers.get_all(reenrol::HEADER).iter();
    let Some(value) = values.next() else { return Ok(Vec::new()) };
    let proof =
        STANDARD.decode(value.as_bytes()).ok().filter(|proof| (1..=reenrol::LONGEST_PROOF).contains(&proof.len()));
    match (proof, values.next()) {
        (Some(proof), None) => Ok(proof),
        _ => Err(Refused::BadRequest { message: "Sallyport-Renewal-Proof: send one signature in base64".to_owned() }),
    }
}

async fn reenroll(asker: &Asker, request: Request) -> Result<Response, Refused> {
    let site = asker.site.as_ref().ok_or(Refused::NoCertificate)?;
    let current = site.certificate().map_err(|refused| Refused::NotTrusted { message: refused.message })?;
    let proof = renewal_proof(request.headers())?;
    let csr = Csr::read(request).await?;
    let endpoint = site.endpoint.clone();
    let leaf = site.chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
    let proof = CurrentCertificate { endpoint: endpoint.to_string(), serial: current.serial, leaf, proof };
    let renewals = &asker.gateway.unknown.renewals;
    let Issued { leaf, serial } = asker.ask(&endpoint, enrol::Proof::Certificate(proof), csr, renewals).await?;
    let site = asker.gateway.site_of(&endpoint);
    asker.record(Event::Renewed(Renewed { site, endpoint, serial: serial.into(), from: asker.from })).await;
    answer::certificate(&leaf)
}

struct Issued {
    leaf: CertificateDer<'static>,
    serial: String,
}

impl Asker {
    /// Asks the operator, if not too much was refused before.
    async fn ask(
        &self,
        endpoint: &EndpointId,
        proof: enrol::Proof,
        csr: Csr,
        attempts: &Attempts,
    ) -> Result<Issued, Refused> {
        let attempt = attempts.begin(Source::from(self.from), endpoint, Instant::now());
        let attempt = attempt.map_err(|wait| Refused::TooMany { wait })?;
        let issued = self.issued(endpoint, proof, csr).await;
        if issued.as_ref().err().is_none_or(|refused| !refused.is_the_askers()) {
            attempt.forgive();
        }
        issued
    }

    async fn issued(&self, endpoint: &EndpointId, proof: enrol::Proof, csr: Csr) -> Result<Issued, Refused> {
        let asked = self.gateway.enrolments.ask(proof, csr.der, self.from.to_string()).await;
        let refused = match asked {
            Ok(Outcome::Chain(chain)) => {
                let leaf = CertificateDer::pem_slice_iter(chain.as_bytes()).next().and_then(Result::ok);
                let leaf = leaf.filter(|leaf| inspect::public_key(leaf).is_ok_and(|key| key == csr.key));
                let serial = leaf.as_ref().and_then(|leaf| inspect::serial_hex(leaf).ok());
                return match (leaf, serial) {
                    (Some(leaf), Some(serial)) => Ok(Issued { leaf, serial }),
                    _ => Err(Refused::Unusable),
                };
            }
            Ok(Outcome::Refused(refused)) => Refused::by_operator(&refused.code, refused.message),
            Err(Unanswered::NoOperator) => return Err(Refused::NoOperator),
            Err(why @ (Unanswered::Busy | Unanswered::Late)) => {
                return Err(Refused::NotNow { message: why.to_string() });
            }
        };
        tracing::warn!(%endpoint, from = %self.from, reason = refused.label(), detail = %refused, "enrolment refused");
        if self.gateway.unknown.records.may_add(Instant::now()) {
            let reason = refused.label().into();
            let (site, endpoint) = (self.gateway.site_of(endpoint), Some(endpoint.clone()));
            let refused = EnrolmentRefused { site, endpoint, from: self.from, reason };
            self.record(Event::EnrolmentRefused(refused)).await;
        }
        Err(refused)
    }

    /// A certificate alone gives no access to a device, so a record that fails is an alarm and not a refusal: the token
    /// is used up already.
    async fn record(&self, event: Event<Person>) {
        if let Err(error) = self.gateway.audit.append(event).await {
            tracing::error!(from = %self.from, %error, "an enrolment could not be recorded");
        }
    }

    fn count(&self, operation: &str, enrolled: Result<Response, Refused>) -> Result<Response, Problem> {
        let result = enrolled.as_ref().err().map_or("issued", Refused::label);
        self.gateway.metrics.enrolments.with_label_values(&[operation, result]).inc();
        if result != "issued" {
            // What the operator refused is in the log already; of the rest anybody can send as much as they like.
            tracing::debug!(from = %self.from, operation, reason = result, "no certificate given");
        }
        Ok(enrolled?)
    }
}
