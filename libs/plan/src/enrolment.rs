//! Who gets a certificate over EST. An ordered list of small checks; the first that fails is the answer.
//!
//! Until the token or the certificate was found to be one of ours the answer tells nothing: an unknown endpoint and a
//! wrong token look alike from outside ([`Refusal::code`]).

mod refusal;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::TunnelCertificate;
use sallyport_api::tunnel_certificate::{EnrolmentToken, UsedToken};
use sallyport_core::name::{EndpointId, RegionId};

use crate::catalogue::{Catalogue, ObjectKey, Objects};
use crate::issuance::{self, Seen};
use crate::problem::judge_endpoint;
use crate::revocation;

pub use refusal::Refusal;

/// The longest life of a token, and what is forgiven to a clock that is ahead.
pub const LONGEST_TOKEN: SignedDuration = SignedDuration::from_hours(7 * 24);
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What an endpoint shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A certificate.
    Certificate {
        /// Its serial number in hex.
        serial: String,
        /// Whose word says that it is the endpoint's.
        possession: Possession,
    },
    /// SHA-256 of a one-time token.
    Token(Vec<u8>),
}

/// Whether who asks for a renewal holds the key of the certificate that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Possession {
    /// The request is signed with it ([`sallyport_pki::reenrol`]), and the certificate was verified here.
    Proven,
    /// A gateway says so, and nothing else does.
    Unproven,
}

/// A request for a certificate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Region of the gateway that it came to.
    pub region: RegionId,
    /// `NAMESPACE/NAME` of the endpoint, as it says.
    pub endpoint: String,
    /// What it shows.
    pub proof: Proof,
}

/// Leave to issue one certificate, once what is issued has been written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where it is written down.
    pub certificate: ObjectKey,
    /// Whom it names.
    pub endpoint: EndpointId,
    /// How long it lasts.
    pub lifetime: Duration,
    /// The token that it uses up; nothing for a renewal.
    pub used_token: Option<UsedToken>,
    /// Serial numbers that the endpoint was seen to use: the one it shows, and the one that its agent proved last.
    pub in_use: BTreeSet<String>,
}

/// Decides. The answer is good for the objects as they are: what is issued must be written down with the resource
/// version of the object that `certificates` holds.
///
/// # Errors
/// See [`Refusal`].
pub fn decide(
    request: &Request,
    all: &Catalogue,
    certificates: &Objects<TunnelCertificate>,
    now: Timestamp,
) -> Result<Grant, Refusal> {
    let endpoint = endpoint(request, all)?;
    let (key, certificate) = shown(&request.proof, &endpoint, certificates)?;
    let used_token = token_is_good(&request.proof, key, certificate, now)?;
    not_revoked(key, certificate)?;
    not_by_secret(&endpoint, certificate)?;
    site_is_active(&endpoint, all)?;
    prepared(key, certificate)?;
    let proved = proved(&endpoint, all);
    possession_is_proven(&request.proof, key, certificate)?;
    not_superseded(&request.proof, certificate, proved)?;
    let mut in_use: BTreeSet<_> = proved.map(str::to_owned).into_iter().collect();
    in_use.extend(shown_serial(&request.proof).map(str::to_owned));
    has_room(certificate, used_token.as_ref(), &in_use, now)?;
    let (certificate, lifetime) = (key.clone(), certificate.spec.lifetime.length());
    Ok(Grant { certificate, endpoint, lifetime, used_token, in_use })
}

/// The object that the endpoint's proof belongs to, for an event about a refusal.
pub fn about(request: &Request, certificates: &Objects<TunnelCertificate>) -> Option<ObjectKey> {
    let endpoint = request.endpoint.parse().ok()?;
    let found = shown(&request.proof, &endpoint, certificates).ok().map(|(key, _)| key.clone());
    found.or_else(|| of_endpoint(&endpoint, certificates).next().map(|(key, _)| key.clone()))
}

fn endpoint(request: &Request, all: &Catalogue) -> Result<EndpointId, Refusal> {
    let unknown = || Refusal::UnknownEndpoint(request.endpoint.chars().take(130).collect());
    let id: EndpointId = request.endpoint.parse().map_err(|_| unknown())?;
    let key = ObjectKey::new(id.0.namespace.as_str(), id.0.name.as_str());
    let object = all.endpoints.get(&key).ok_or_else(unknown)?;
    match judge_endpoint(object, all) {
        Ok((id, _, region)) if region == request.region => Ok(id),
        Ok(_) | Err(_) => Err(unknown()),
    }
}

type Found<'a> = (&'a ObjectKey, &'a TunnelCertificate);

fn of_endpoint<'a>(
    endpoint: &EndpointId,
    certificates: &'a Objects<TunnelCertificate>,
) -> impl Iterator<Item = Found<'a>> {
    let (namespace, name) = (endpoint.0.namespace.to_string(), endpoint.0.name.to_string());
    certificates
        .range(ObjectKey::new(namespace.as_str(), "")..)
        .take_while(move |(key, _)| key.namespace == namespace)
        .filter(move |(_, certificate)| certificate.spec.endpoint_ref.name == name)
        .map(|(key, certificate)| (key, &**certificate))
}

fn shown<'a>(
    proof: &Proof,
    endpoint: &EndpointId,
    certificates: &'a Objects<TunnelCertificate>,
) -> Result<Found<'a>, Refusal> {
    let mut all = of_endpoint(endpoint, certificates);
    match proof {
        Proof::Certificate { serial, .. } => all.find(|(_, c)| has_serial(c, serial)).ok_or(Refusal::SerialUnknown),
        Proof::Token(hash) => {
            all.find(|(_, c)| has_token(c, hash)).ok_or_else(|| Refusal::TokenUnknown(endpoint.clone()))
        }
    }
}

fn has_serial(certificate: &TunnelCertificate, serial: &str) -> bool {
    let Some(status) = &certificate.status else { return false };
    status.serial.as_deref() == Some(serial) || status.earlier.iter().any(|earlier| earlier.serial == serial)
}

/// Every digit is compared, wherever the first difference is: how long it takes tells nothing of the hash.
fn has_token(certificate: &TunnelCertificate, hash: &[u8]) -> bool {
    let Some(token) = &certificate.spec.enrolment_token else { return false };
    let shown = hex(hash);
    let (wanted, shown) = (token.sha256.as_bytes(), shown.as_bytes());
    let differences = wanted.iter().zip(shown).fold(0u8, |all, (a, b)| all | (a ^ b));
    wanted.len() == 64 && shown.len() == 64 && differences == 0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn token_is_good(
    proof: &Proof,
    key: &ObjectKey,
    certificate: &TunnelCertificate,
    now: Timestamp,
) -> Result<Option<UsedToken>, Refusal> {
    let (Proof::Token(_), Some(token)) = (proof, &certificate.spec.enrolment_token) else { return Ok(None) };
    match standing(token, certificate, now) {
        TokenStanding::Good { .. } => Ok(Some(used(token))),
        TokenStanding::Expired(at) => Err(Refusal::TokenExpired(at)),
        TokenStanding::TooLong => Err(Refusal::TokenTooLong),
        TokenStanding::Unreadable => Err(Refusal::TokenUnreadable(key.clone())),
        TokenStanding::Used => Err(Refusal::TokenUsed),
    }
}

/// A token, as it is remembered once it was used.
pub fn used(token: &EnrolmentToken) -> UsedToken {
    UsedToken { sha256: token.sha256.clone(), expires_at: token.expires_at.clone() }
}

/// How a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStanding {
    /// Its time is over.
    Expired(Timestamp),
    /// It can be used.
    Good {
        /// Until then.
        until: Timestamp,
    },
    /// It lasts longer than seven days.
    TooLong,
    /// Its end is no time.
    Unreadable,
    /// It was used, or refused for good.
    Used,
}

/// How the token of an object stands.
pub fn standing(token: &EnrolmentToken, certificate: &TunnelCertificate, now: Timestamp) -> TokenStanding {
    let used = certificate.status.iter().flat_map(|status| &status.used_tokens).any(|used| used.sha256 == token.sha256);
    let Ok(until) = token.expires_at.parse::<Timestamp>() else { return TokenStanding::Unreadable };
    let longest = now.saturating_add(LONGEST_TOKEN.saturating_add(CLOCK_SKEW)).unwrap_or(now);
    if until > longest {
        TokenStanding::TooLong
    } else if used {
        TokenStanding::Used
    } else if until <= now {
        TokenStanding::Expired(until)
    } else {
        TokenStanding::Good { until }
    }
}

fn not_revoked(key: &ObjectKey, certificate: &TunnelCertificate) -> Result<(), Refusal> {
    if revocation::is_revoked(certificate) { Err(Refusal::Revoked(key.clone())) } else { Ok(()) }
}

fn not_by_secret(endpoint: &EndpointId, certificate: &TunnelCertificate) -> Result<(), Refusal> {
    match certificate.spec.secret_name {
        Some(_) => Err(Refusal::DeliveredBySecret(endpoint.clone())),
        None => Ok(()),
    }
}

fn site_is_active(endpoint: &EndpointId, all: &Catalogue) -> Result<(), Refusal> {
    match all.site_of(&ObjectKey::new(endpoint.0.namespace.as_str(), endpoint.0.name.as_str())) {
        Some(site) if !site.spec.suspended => Ok(()),
        Some(_) | None => Err(Refusal::Suspended(endpoint.clone())),
    }
}

/// Without the finalizer the object could be deleted and its certificate would outlive it.
fn prepared(key: &ObjectKey, certificate: &TunnelCertificate) -> Result<(), Refusal> {
    let finalizers = certificate.metadata.finalizers.iter().flatten();
    let has = finalizers.into_iter().any(|finalizer| finalizer == revocation::FINALIZER);
    if has { Ok(()) } else { Err(Refusal::NotPrepared(key.clone())) }
}

fn possession_is_proven(proof: &Proof, key: &ObjectKey, certificate: &TunnelCertificate) -> Result<(), Refusal> {
    match proof {
        Proof::Certificate { possession: Possession::Unproven, .. } if !certificate.spec.unproven_renewal => {
            Err(Refusal::ProofRequired(key.clone()))
        }
        Proof::Certificate { .. } | Proof::Token(_) => Ok(()),
    }
}

/// The certificate that an endpoint's agent proved to use last: on each of its tunnels, or a later one.
fn proved<'a>(endpoint: &EndpointId, all: &'a Catalogue) -> Option<&'a str> {
    let key = ObjectKey::new(endpoint.0.namespace.as_str(), endpoint.0.name.as_str());
    Some(all.endpoints.get(&key)?.status.as_ref()?.agent.as_ref()?.serial.as_str())
}

fn shown_serial(proof: &Proof) -> Option<&str> {
    match proof {
        Proof::Certificate { serial, .. } => Some(serial),
        Proof::Token(_) => None,
    }
}

/// Whoever has a copy of an old certificate and its key could otherwise renew it beside the endpoint, for ever and unseen.
fn not_superseded(proof: &Proof, certificate: &TunnelCertificate, proved: Option<&str>) -> Result<(), Refusal> {
    let (Some(serial), Some(status)) = (shown_serial(proof), &certificate.status) else { return Ok(()) };
    let current = status.serial.as_deref();
    let in_order = || status.earlier.iter().map(|earlier| earlier.serial.as_str()).chain(current);
    let place = |serial: &str| in_order().position(|other| other == serial);
    let was_replaced = status.earlier.iter().any(|earlier| earlier.serial == serial && earlier.superseded.is_some());
    if was_replaced || proved.and_then(place) > place(serial) { Err(Refusal::Superseded) } else { Ok(()) }
}

fn has_room(
    certificate: &TunnelCertificate,
    token: Option<&UsedToken>,
    in_use: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(), Refusal> {
    // Whether lists have what was superseded is asked when it is written down.
    issuance::has_room(certificate.status.as_ref(), &Seen { in_use, listed: &|_| true }, now)?;
    if let (Some(token), Some(status)) = (token, &certificate.status) {
        issuance::use_up(&mut status.used_tokens.clone(), token, now)?;
    }
    Ok(())
}
