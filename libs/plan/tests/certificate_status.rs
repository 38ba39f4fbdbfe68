//! What a `TunnelCertificate`'s status says in each case, as golden YAML.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sallyport_api::TunnelCertificate;
use sallyport_api::tunnel_certificate::UsedToken;
use sallyport_pki::inspect::Validity;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::enforcement::{self, Gateway};
use sallyport_plan::issuance::{self, Issuance, Seen};
use sallyport_plan::revocation::{Listed, leaving};
use sallyport_plan::status::{
    self, CertificateFacts, Delivery, Issued, Revocation, Trouble, enrolment_changes_at, needs_write,
};
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-03-01T10:00:00.7Z".parse().unwrap()
}

fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

fn certificate(more: Value) -> TunnelCertificate {
    let mut spec = json!({ "endpointRef": { "name": "agent" } });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    common::object("TunnelCertificate", "lyon", "agent", spec)
}

fn token(until: Timestamp) -> Value {
    json!({ "enrolmentToken": { "sha256": "07".repeat(32), "expiresAt": until } })
}

/// With a certificate that the agent enrolled for.
fn enrolled(mut certificate: TunnelCertificate) -> TunnelCertificate {
    let issued = Issuance {
        serial: "4a".into(),
        validity: Validity { not_before: now(), not_after: now() + hours(24) },
        generation: 2,
        authority: ObjectKey::new("dmz", "ca"),
        used_token: Some(UsedToken { sha256: "07".repeat(32), expires_at: (now() + hours(24)).to_string() }),
    };
    let seen = Seen { in_use: &BTreeSet::new(), listed: &|_| false };
    certificate.status = Some(issuance::record(None, &issued, &seen, now()).unwrap());
    certificate
}

fn by_enrolment() -> CertificateFacts {
    CertificateFacts { delivery: Ok(Delivery::Enrolment), revocation: None, in_use: BTreeSet::new() }
}

#[derive(Default)]
struct Golden(String);

impl Golden {
    fn add(&mut self, case: &str, certificate: &TunnelCertificate, facts: &CertificateFacts, at: Timestamp) {
        let status = status::certificate(certificate, facts, at);
        let mut again = certificate.clone();
        again.status = Some(status.clone());
        assert!(!needs_write(Some(&status), &status::certificate(&again, facts, at)), "{case}: is not silent");
        self.0 += &format!("# {case}\n{}\n", serde_yaml::to_string(&status).unwrap());
    }
}

#[test]
fn enrolment() {
    let mut golden = Golden::default();
    let facts = by_enrolment();
    golden.add("no token yet", &certificate(json!({})), &facts, now());
    let waiting = certificate(token(now() + hours(24)));
    golden.add("waiting for the agent", &waiting, &facts, now());
    golden.add("the token ended unused", &waiting, &facts, now() + hours(25));
    let long = certificate(token(now() + hours(24 * 30)));
    golden.add("a token of a month, used up unused", &long, &facts, now());
    golden.add(
        "a token that is no time",
        &certificate(json!({ "enrolmentToken": { "sha256": "", "expiresAt": "x" } })),
        &facts,
        now(),
    );
    let done = enrolled(waiting);
    golden.add("enrolled", &done, &facts, now());
    golden.add("the agent did not renew", &done, &facts, now() + hours(25));
    common::check("status-certificate-enrolment.yaml", &golden.0);
}

#[test]
fn a_status_is_looked_at_again_when_it_changes_by_time() {
    let waiting = certificate(token(now() + hours(24)));
    assert_eq!(enrolment_changes_at(&waiting, now()), Some(now() + hours(24)));
    assert_eq!(enrolment_changes_at(&waiting, now() + hours(24)), None);
    let ends = enrolled(waiting).status.unwrap().not_after.unwrap();
    let again = enrolment_changes_at(&enrolled(certificate(json!({}))), now()).unwrap();
    assert_eq!(again.to_string(), ends);
}

#[test]
fn in_a_secret() {
    let mut golden = Golden::default();
    let certificate = certificate(json!({ "secretName": "agent-tunnel" }));
    let validity = Validity { not_before: now(), not_after: now() + hours(24) };
    let issued = Issued { serial: "4b".into(), validity, renew_at: now() + hours(16), issuer_generation: 1 };
    let delivery = Delivery::Secret { issued, authority: ObjectKey::new("dmz", "ca") };
    let facts = CertificateFacts { delivery: Ok(delivery), ..by_enrolment() };
    golden.add("issued", &certificate, &facts, now());
    golden.add("an older one was put back: it is written down", &enrolled(certificate.clone()), &facts, now());
    for trouble in [
        Trouble::NamespaceNotForSites("lyon".into()),
        Trouble::ForeignObject("Secret lyon/agent-tunnel".into()),
        Trouble::SecretClaimed { secret: ObjectKey::new("lyon", "agent-tunnel"), by: "first".into() },
        Trouble::Password("Secret lyon/password does not exist; create it".into()),
        Trouble::AuthorityNotReady(ObjectKey::new("dmz", "ca")),
        Trouble::NotPermitted { what: "apply Secret lyon/agent-tunnel".into(), why: "secrets is forbidden".into() },
    ] {
        golden.add("in trouble", &certificate, &CertificateFacts { delivery: Err(trouble), ..by_enrolment() }, now());
    }
    common::check("status-certificate-secret.yaml", &golden.0);
}

#[test]
fn revocation() {
    let mut golden = Golden::default();
    let revoked = json!({ "revoked": { "reason": "keyCompromise", "note": "laptop stolen" } });
    let certificate = enrolled(certificate(revoked));
    let progress = |states: &[Gateway]| {
        let named = states.iter().enumerate().map(|(n, state)| (format!("eu-gateway-{n}"), *state));
        enforcement::progress(None, Some(now()), &named.collect::<BTreeMap<_, _>>(), now())
    };
    let done = Gateway::Enforces { since: now() + SignedDuration::from_millis(312) };
    let deleted: Timestamp = now();
    for (case, listed) in [
        ("not on the list yet", Listed::NotYet),
        ("on the list, one gateway owes", Listed::Listed(progress(&[done, Gateway::Owes]))),
        ("on the list, one gateway is away", Listed::Listed(progress(&[done, Gateway::Unreachable]))),
        ("enforced", Listed::Listed(progress(&[done, done]))),
        ("nothing was issued", Listed::NothingIssued),
        ("no authority", Listed::NoAuthority),
        ("no authority, but its keys", Listed::AuthorityMissing { keys: ObjectKey::new("dmz", "eu-ca") }),
    ] {
        let enforcement = match &listed {
            Listed::Listed(progress) => progress.status.clone(),
            _ => enforcement::begun(None, Some(now()), now()),
        };
        let revocation = Revocation { enforcement, listed: listed.clone(), leaving: None };
        let facts = CertificateFacts { revocation: Some(revocation.clone()), ..by_enrolment() };
        golden.add(case, &certificate, &facts, now());
        let leaving = Some(leaving(deleted, &listed, now()));
        let facts = CertificateFacts { revocation: Some(Revocation { leaving, ..revocation }), ..by_enrolment() };
        let mut object = certificate.clone();
        object.metadata.deletion_timestamp = Some(serde_json::from_value(json!(deleted.to_string())).unwrap());
        golden.add(&format!("being deleted: {case}"), &object, &facts, now());
    }
    common::check("status-certificate-revocation.yaml", &golden.0);
}
