//! A request for an endpoint's certificate: decide, sign, write down, and only then answer. Two requests at the same
//! moment meet at the API server: what is written down names the version of the object that was judged, so one of them
//! is refused there, reads again and decides again.

mod shown;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::events::EventType;
use sallyport_api::TunnelCertificate;
use sallyport_control::wire;
use sallyport_core::name::RegionId;
use sallyport_pki::authority::{IssueError, Leaf};
use sallyport_pki::csr;
use sallyport_pki::inspect::Validity;
use sallyport_pki::key::PublicKey;
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::enrolment::{self, Grant, Possession, Proof, Refusal, Request};
use sallyport_plan::issuance::{self, Issuance, Seen};
use sallyport_plan::status::{self, CertificateFacts, Delivery};
use tokio::time::Instant;
use wire::enrolled::Result as Answer;

use crate::authorities::{MakeError, Signer};
use crate::context::Context;
use crate::error::Error;
use crate::kinds::Kind;
use crate::live;
use crate::report::{self, Over};
use shown::{NotShown, Shown};

/// How often somebody else may write the object in between before the endpoint is told to come again.
const ATTEMPTS: u32 = 5;

/// Answers a request that came to a gateway of a region.
pub(super) async fn answer(ctx: &Context, region: &ObjectKey, id: &RegionId, request: wire::Enrol) -> Answer {
    let from: String = request.from.chars().filter(|c| !c.is_control()).take(100).collect();
    let key = match csr::public_key(&request.csr) {
        Ok(key) => key,
        Err(error) => {
            count(ctx, "badRequest");
            return refuse("badRequest", &error.to_string());
        }
    };
    let Some(asked) = parsed(id, request) else {
        count(ctx, "badRequest");
        return refuse("badRequest", "the request shows neither a token nor a certificate");
    };
    let Asked { request: asked, shown } = asked;
    let issued = match proven(ctx, region, asked.clone(), shown.as_ref()) {
        Ok(proven) => issue(ctx, region, &proven, &key).await,
        Err(not_issued) => Err(not_issued),
    };
    match issued {
        Ok((grant, leaf)) => {
            tell_issued(ctx, &grant, &leaf, &from).await;
            Answer::Chain(leaf.pem)
        }
        Err(NotIssued::Refused(refusal)) => {
            tell_refused(ctx, &asked, (refusal.label(), &refusal.to_string()), &from).await;
            refuse(refusal.code(&asked.proof), &refusal.message(&asked.proof))
        }
        Err(NotIssued::NotShown(why)) => {
            tell_refused(ctx, &asked, (why.label(), &why.to_string()), &from).await;
            refuse(why.code(), &why.to_string())
        }
        Err(NotIssued::Key) => {
            count(ctx, "badRequest");
            refuse("badRequest", "the request holds a key that is not the endpoint's own")
        }
        Err(NotIssued::TooOften) => {
            let why = "its certificate was renewed more often than an endpoint needs";
            tell_refused(ctx, &asked, ("tooOften", why), &from).await;
            refuse("notNow", "the certificate was renewed a moment ago; use that one, or come again in ten minutes")
        }
        Err(NotIssued::NotNow(why)) => {
            count(ctx, "notNow");
            tracing::warn!(region = %region, endpoint = asked.endpoint, from, reason = why, "no certificate now");
            refuse("notNow", "no certificate can be issued now; try again")
        }
    }
}

/// A refusal.
pub(super) fn refuse(code: &str, message: &str) -> Answer {
    Answer::Refused(wire::EnrolRefused { code: code.to_owned(), message: message.chars().take(500).collect() })
}

/// A request, and what is still to be verified of it.
struct Asked {
    request: Request,
    shown: Option<Shown>,
}

fn parsed(region: &RegionId, request: wire::Enrol) -> Option<Asked> {
    let (endpoint, proof, shown) = match request.proof? {
        wire::enrol::Proof::Token(token) => (token.endpoint, Proof::Token(token.sha256), None),
        wire::enrol::Proof::Certificate(of) => {
            let shown = Shown { serial: of.serial.clone(), leaf: of.leaf, proof: of.proof, csr: request.csr };
            (of.endpoint, Proof::Certificate { serial: of.serial, possession: Possession::Unproven }, Some(shown))
        }
    };
    Some(Asked { request: Request { region: region.clone(), endpoint, proof }, shown })
}

/// The request with what was found out of the certificate that it shows.
fn proven(ctx: &Context, region: &ObjectKey, request: Request, shown: Option<&Shown>) -> Result<Request, NotIssued> {
    let Some(shown) = shown else { return Ok(request) };
    let (_, signer) = signer(ctx, region)?;
    let possession = match shown.possession(&request.region, &request.endpoint, &signer, Timestamp::now()) {
        Ok(possession) => possession,
        Err(why) if why.passes() => return Err(NotIssued::NotNow(why.to_string())),
        Err(why) => return Err(NotIssued::NotShown(why)),
    };
    Ok(Request { proof: Proof::Certificate { serial: shown.serial.clone(), possession }, ..request })
}

/// Why nothing is issued.
enum NotIssued {
    /// The key is one that an endpoint cannot have.
    Key,
    /// The endpoint may come again.
    NotNow(String),
    /// The certificate that it shows, or its proof, does not count.
    NotShown(NotShown),
    /// It was decided.
    Refused(Refusal),
    /// It has had more than it can need.
    TooOften,
}

impl From<Error> for NotIssued {
    fn from(error: Error) -> Self {
        Self::NotNow(sallyport_plan::status::Trouble::from(error).to_string())
    }
}

async fn issue(
    ctx: &Context,
    region: &ObjectKey,
    asked: &Request,
    key: &PublicKey,
) -> Result<(Grant, Leaf), NotIssued> {
    let mut counted = None;
    let issued = attempts(ctx, region, asked, key, &mut counted).await;
    if let (Err(_), Some(certificate)) = (&issued, &counted) {
        ctx.memory.limits.renewals.give_back(certificate);
    }
    issued
}

/// `counted` is the object whose renewal was counted.
async fn attempts(
    ctx: &Context,
    region: &ObjectKey,
    asked: &Request,
    key: &PublicKey,
    counted: &mut Option<ObjectKey>,
) -> Result<(Grant, Leaf), NotIssued> {
    for _ in 0..ATTEMPTS {
        let now = Timestamp::now();
        let certificates = ctx.world.certificates.snapshot();
        let decided = enrolment::decide(asked, &ctx.world.catalogue(), &certificates, now);
        let grant = decided.map_err(NotIssued::Refused)?;
        let Some(object) = certificates.get(&grant.certificate) else { continue };
        if grant.used_token.is_none() && counted.is_none() {
            if !ctx.memory.limits.renewals.take(&grant.certificate, Instant::now()) {
                return Err(NotIssued::TooOften);
            }
            *counted = Some(grant.certificate.clone());
        }
        let (authority, signer) = signer(ctx, region)?;
        let profile = Profile::Endpoint(grant.endpoint.clone());
        let leaf = signer.sign(&asked.region, profile, key.clone(), grant.lifetime, now).map_err(not_signed)?;
        let generation = signer.issuing().map_err(not_signed)?.number;
        let issuance = Issuance {
            serial: leaf.serial.clone(),
            validity: Validity { not_before: leaf.not_before, not_after: leaf.not_after },
            generation,
            authority,
            used_token: grant.used_token.clone(),
        };
        let in_use = in_use(ctx, region, &grant);
        let seen = Seen { in_use: &in_use, listed: &|serial| signer.revokes(serial) };
        if write_down(ctx, object, &issuance, &seen, now).await? {
            return Ok((grant, leaf));
        }
        live::read::<TunnelCertificate>(ctx, &grant.certificate).await?;
    }
    Err(NotIssued::NotNow("somebody else goes on writing the object".to_owned()))
}

/// What the endpoint was seen to use: what it shows, what its agent proved last, and what it proves on its tunnels now.
fn in_use(ctx: &Context, region: &ObjectKey, grant: &Grant) -> BTreeSet<String> {
    let id = &grant.endpoint.0;
    let endpoint = ObjectKey::new(id.namespace.as_str(), id.name.as_str());
    let live = ctx.links.agents(region, &endpoint).into_iter().map(|agent| agent.serial);
    live.chain(grant.in_use.iter().cloned()).collect()
}

fn signer(ctx: &Context, region: &ObjectKey) -> Result<(ObjectKey, Arc<Signer>), NotIssued> {
    let not_now = |why: &str| NotIssued::NotNow(why.to_owned());
    let object = ctx.world.regions.get(region).ok_or_else(|| not_now("the region is gone"))?;
    let authority = ObjectKey::new(&region.namespace, &object.spec.certificate_authority_ref.name);
    let signer = ctx.authorities.get(&authority).ok_or_else(|| not_now("its authority is not ready"))?;
    Ok((authority, signer))
}

fn not_signed(error: MakeError) -> NotIssued {
    match error {
        MakeError::Issue(IssueError::AuthorityKey) => NotIssued::Key,
        other => NotIssued::NotNow(other.to_string()),
    }
}

/// Writes down what is about to leave. `false`: somebody wrote the object in between, and it must be judged again.
async fn write_down(
    ctx: &Context,
    object: &TunnelCertificate,
    issuance: &Issuance,
    seen: &Seen<'_>,
    now: Timestamp,
) -> Result<bool, NotIssued> {
    if !ctx.fence.holds() {
        return Err(NotIssued::NotNow("this operator does not lead any more".to_owned()));
    }
    let recorded = issuance::record(object.status.as_ref(), issuance, seen, now);
    let recorded = recorded.map_err(|full| NotIssued::Refused(Refusal::NoRoom(full)))?;
    // Its conditions too, so that one write tells all.
    let object_after = TunnelCertificate { status: Some(recorded), ..object.clone() };
    let facts = CertificateFacts { delivery: Ok(Delivery::Enrolment), revocation: None, in_use: seen.in_use.clone() };
    let status = status::certificate(&object_after, &facts, now);
    match report::write(ctx, object, &status, Over::ThisVersion).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_conflict() || error.is_gone() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn tell_issued(ctx: &Context, grant: &Grant, leaf: &Leaf, from: &str) {
    let (reason, label) = if grant.used_token.is_some() { ("Enrolled", "enrolled") } else { ("Renewed", "renewed") };
    count(ctx, label);
    let Leaf { serial, not_after, .. } = leaf;
    tracing::info!(certificate = %grant.certificate, endpoint = %grant.endpoint, serial, from, "{label}");
    ctx.wake(Kind::TunnelCertificate, grant.certificate.clone());
    if let Some(object) = ctx.world.certificates.get(&grant.certificate) {
        let note = format!("certificate {serial}, valid until {not_after}, for a request from {from}");
        report::tell(ctx, &*object, EventType::Normal, reason, &note).await;
    }
}

async fn tell_refused(ctx: &Context, asked: &Request, (label, why): (&'static str, &str), from: &str) {
    count(ctx, label);
    let endpoint: String = asked.endpoint.chars().filter(|c| !c.is_control()).take(130).collect();
    tracing::warn!(region = %asked.region, endpoint, from, reason = label, "refused a certificate: {why}");
    let about = enrolment::about(asked, &ctx.world.certificates.snapshot());
    let Some(key) = about.filter(|key| ctx.memory.may_tell_refusal(key, Instant::now())) else { return };
    if let Some(object) = ctx.world.certificates.get(&key) {
        let note = format!("refused a request from {from}: {why}");
        report::tell(ctx, &*object, EventType::Warning, "EnrolmentRefused", &note).await;
    }
}

fn count(ctx: &Context, result: &str) {
    ctx.metrics.enrolments.with_label_values(&[result]).inc();
}
