//! Status of a `TunnelCertificate`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sallyport_api::TunnelCertificate;
use sallyport_api::common::{Enforcement, condition};
use sallyport_api::tunnel_certificate::TunnelCertificateStatus;
use sallyport_pki::inspect::Validity;

use super::Trouble;
use super::conditions::{More, Standing, Verdict, conditions};
use crate::catalogue::ObjectKey;
use crate::enrolment::{TokenStanding, standing, used};
use crate::issuance::{Issuance, Seen, record, use_up};
use crate::revocation::{Leaving, Listed};

/// A certificate that is in its Secret.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Its serial number in hex.
    pub serial: String,
    /// When it is valid.
    pub validity: Validity,
    /// When it is renewed.
    pub renew_at: Timestamp,
    /// Who issued it.
    pub issuer_generation: u32,
}

/// How an endpoint comes by its certificate.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Its agent enrols; status is where it is written down.
    Enrolment,
    /// It is in the Secret that the spec names.
    Secret {
        /// What is in it.
        issued: Issued,
        /// Whose certificate it is.
        authority: ObjectKey,
    },
}

/// What is known of a certificate that is revoked or being deleted.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// What status shows of it.
    pub enforcement: Enforcement,
    /// How the lists and the gateways stand to it.
    pub listed: Listed,
    /// While it is being deleted: what its finalizer waits for.
    pub leaving: Option<Leaving>,
}

/// What is known of a certificate.
#[derive(Clone, Debug)]
pub struct CertificateFacts {
    /// How the endpoint comes by it, or what is in the way.
    pub delivery: Result<Delivery, Trouble>,
    /// Once it is revoked or being deleted.
    pub revocation: Option<Revocation>,
    /// Serial numbers of certificates that its endpoint was seen to use.
    pub in_use: BTreeSet<String>,
}

/// The status of a certificate. In trouble the last certificate stays in the status: it is still the one in use.
pub fn certificate(
    certificate: &TunnelCertificate,
    facts: &CertificateFacts,
    now: Timestamp,
) -> TunnelCertificateStatus {
    let mut status = certificate.status.clone().unwrap_or_default();
    let mut verdict = match &facts.delivery {
        Ok(Delivery::Enrolment) => enrolled(certificate, now),
        Ok(Delivery::Secret { issued, authority }) => {
            in_secret(certificate, &mut status, (issued, authority), &facts.in_use, now)
        }
        Err(trouble) => trouble.into(),
    };
    if let Some(revocation) = &facts.revocation {
        verdict = revoked(certificate, revocation);
        status.renew_at = None;
    }
    if let Some(token) = &certificate.spec.enrolment_token
        && standing(token, certificate, now) == TokenStanding::TooLong
    {
        // Near its end it would look like one of seven days. Where there is no room for it, it is refused until then.
        let _ = use_up(&mut status.used_tokens, &used(token), now);
    }
    status.revocation = facts.revocation.as_ref().map(|revocation| revocation.enforcement.clone());
    let generation = certificate.metadata.generation;
    let more = vec![revoked_condition(facts.revocation.as_ref())];
    status.conditions = conditions(&status.conditions, &verdict, more, generation, now);
    status.observed_generation = generation;
    status
}

fn in_secret(
    certificate: &TunnelCertificate,
    status: &mut TunnelCertificateStatus,
    (issued, authority): (&Issued, &ObjectKey),
    in_use: &BTreeSet<String>,
    now: Timestamp,
) -> Verdict {
    if status.serial.as_deref() != Some(issued.serial.as_str()) {
        // Somebody put an older one back, or an older operator made it: it is in use, so it is written down.
        let issuance = Issuance {
            serial: issued.serial.clone(),
            validity: issued.validity,
            generation: issued.issuer_generation,
            authority: authority.clone(),
            used_token: None,
        };
        match record(Some(status), &issuance, &Seen { in_use, listed: &|_| false }, now) {
            Ok(recorded) => *status = recorded,
            Err(full) => return Verdict::new(Standing::Stalled, "TooManyCertificates", full.to_string()),
        }
    }
    status.renew_at = Some(issued.renew_at.to_string());
    status.authority = Some(authority.to_string());
    let secret = certificate.spec.secret_name.as_deref().unwrap_or_default();
    Verdict::new(Standing::Ready, "Issued", format!("Secret {secret:?} holds the certificate"))
}

fn enrolled(certificate: &TunnelCertificate, now: Timestamp) -> Verdict {
    let not_after = not_after(certificate);
    let endpoint = format!(
        "{}/{}",
        certificate.metadata.namespace.as_deref().unwrap_or_default(),
        certificate.spec.endpoint_ref.name
    );
    let make = format!(
        "make a token with `sallyportctl enrol token {endpoint}` and run `sallyport-agent enrol` with it at the site"
    );
    match not_after {
        Some(end) if end > now => {
            return Verdict::new(Standing::Ready, "Issued", "the agent enrolled for it and renews it");
        }
        Some(_) | None => {}
    }
    let ended = not_after.map(|end| format!("the last certificate ended at {end}; ")).unwrap_or_default();
    let token = certificate.spec.enrolment_token.as_ref().map(|token| standing(token, certificate, now));
    match token {
        Some(TokenStanding::Good { until }) => Verdict::new(
            Standing::Reconciling,
            "WaitingForEnrolment",
            format!("{ended}run `sallyport-agent enrol` with the token at the site, until {until}"),
        ),
        None if ended.is_empty() => {
            Verdict::new(Standing::Reconciling, "WaitingForEnrolment", format!("no certificate yet: {make}"))
        }
        None => Verdict::new(Standing::Stalled, "CertificateExpired", format!("{ended}{make}")),
        Some(TokenStanding::Used) => Verdict::new(
            Standing::Stalled,
            "EnrolmentTokenUsed",
            format!("{ended}the token of spec.enrolmentToken cannot be used any more: {make}"),
        ),
        Some(TokenStanding::Expired(at)) => Verdict::new(
            Standing::Stalled,
            "EnrolmentTokenExpired",
            format!("{ended}the token ended at {at} and was not used: {make}"),
        ),
        Some(TokenStanding::TooLong) => Verdict::new(
            Standing::Stalled,
            "EnrolmentTokenTooLong",
            format!(
                "spec.enrolmentToken.expiresAt: more than seven days ahead, so the token is never accepted; {make}"
            ),
        ),
        Some(TokenStanding::Unreadable) => Verdict::new(
            Standing::Stalled,
            "EnrolmentTokenInvalid",
            format!("spec.enrolmentToken.expiresAt: not a time of RFC 3339 with its zone; {make}"),
        ),
    }
}

fn not_after(certificate: &TunnelCertificate) -> Option<Timestamp> {
    certificate.status.as_ref()?.not_after.as_deref()?.parse().ok()
}

/// When the status of an enrolled certificate changes by time alone.
pub fn enrolment_changes_at(certificate: &TunnelCertificate, now: Timestamp) -> Option<Timestamp> {
    let token = certificate.spec.enrolment_token.as_ref().map(|token| standing(token, certificate, now));
    let token_ends = match token {
        Some(TokenStanding::Good { until }) => Some(until),
        _ => None,
    };
    let certificate_ends = not_after(certificate).filter(|end| *end > now);
    token_ends.into_iter().chain(certificate_ends).min()
}

fn revoked(certificate: &TunnelCertificate, revocation: &Revocation) -> Verdict {
    if let Some(leaving) = &revocation.leaving {
        let message = match leaving {
            Leaving::Release => "its certificates are revoked".to_owned(),
            Leaving::Wait { message, .. } => message.clone(),
        };
        return Verdict::new(Standing::Reconciling, "Revoking", message);
    }
    let (enforced, message) = said(revocation);
    if !enforced {
        return Verdict::new(Standing::Reconciling, "Revoking", message);
    }
    let note = certificate.spec.revoked.as_ref().and_then(|revoked| revoked.note.clone());
    let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
    let message = format!("spec.revoked is set{note}: to let the endpoint back in, create a new TunnelCertificate");
    Verdict::new(Standing::Stalled, "Revoked", message)
}

fn revoked_condition(revocation: Option<&Revocation>) -> More {
    let Some(revocation) = revocation else {
        let message = "spec.revoked is not set".to_owned();
        return More { type_: condition::REVOKED, holds: false, reason: "NotRevoked", message };
    };
    let (holds, message) = said(revocation);
    let reason = match &revocation.listed {
        Listed::AuthorityMissing { .. } | Listed::NoAuthority => "AuthorityNotFound",
        _ if holds => "Revoked",
        _ => "Enforcing",
    };
    More { type_: condition::REVOKED, holds, reason, message }
}

/// Whether nobody gets in with one of its certificates any more, and who says so.
fn said(revocation: &Revocation) -> (bool, String) {
    match &revocation.listed {
        Listed::NothingIssued => (true, "it has no certificate that has not expired".to_owned()),
        Listed::NoAuthority => {
            (false, "the CertificateAuthority that issued it does not exist: nobody can sign a list".to_owned())
        }
        Listed::AuthorityMissing { keys } => (
            false,
            format!("the CertificateAuthority that issued it does not exist, and Secret {keys} with its keys does"),
        ),
        Listed::NotYet => (false, "waiting for the authority's revocation list".to_owned()),
        Listed::Listed(progress) => match &progress.waits_for {
            None => (true, "every gateway refuses its certificates and has cut what used one".to_owned()),
            Some(waits_for) => (false, waits_for.clone()),
        },
    }
}
