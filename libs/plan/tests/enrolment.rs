//! Who gets a certificate over EST: each refusal once, and what each tells to whom.

#![allow(clippy::unwrap_used)]

mod common;

use common::{catalogue, object, objects, site};
use jiff::{SignedDuration, Timestamp};
use sallyport_api::TunnelCertificate;
use sallyport_api::tunnel_certificate::EarlierCertificate;
use sallyport_plan::catalogue::{Catalogue, ObjectKey};
use sallyport_plan::enrolment::{Grant, LONGEST_TOKEN, Proof, Refusal, Request, TokenStanding, decide, standing};
use sallyport_plan::issuance::MOST_EARLIER;
use sallyport_plan::revocation::FINALIZER;
use serde_json::json;

fn now() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

const TOKEN: [u8; 32] = [7; 32];

fn certificate(name: &str) -> TunnelCertificate {
    let token = json!({ "sha256": "07".repeat(32), "expiresAt": now() + SignedDuration::from_hours(24) });
    let spec = json!({ "endpointRef": { "name": "agent" }, "enrolmentToken": token, "lifetime": "30d" });
    let mut certificate: TunnelCertificate = object("TunnelCertificate", "lyon", name, spec);
    certificate.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    certificate
}

/// One that has issued `4b`, and `4a` before.
fn enrolled() -> TunnelCertificate {
    let mut certificate = certificate("agent");
    let status = json!({
        "serial": "4b", "notAfter": now() + SignedDuration::from_hours(24), "issuerGeneration": 1,
        "usedToken": "07".repeat(32),
        "earlier": [{ "serial": "4a", "notAfter": now() + SignedDuration::from_hours(12), "issuerGeneration": 1 }],
    });
    certificate.status = Some(serde_json::from_value(status).unwrap());
    certificate
}

fn by_token() -> Request {
    let region = "dmz/eu".parse().unwrap();
    Request { region, endpoint: "lyon/agent".into(), proof: Proof::Token(TOKEN.to_vec()) }
}

fn by_serial(serial: &str) -> Request {
    Request { proof: Proof::Certificate(serial.into()), ..by_token() }
}

fn asked(request: &Request, certificates: Vec<TunnelCertificate>) -> Result<Grant, Refusal> {
    decide(request, &catalogue(), &objects(certificates), now())
}

fn refused(request: &Request, change: impl FnOnce(&mut TunnelCertificate)) -> &'static str {
    let mut certificate = if matches!(request.proof, Proof::Token(_)) { certificate("agent") } else { enrolled() };
    change(&mut certificate);
    asked(request, vec![certificate]).unwrap_err().label()
}

#[test]
fn a_token_and_a_certificate_each_get_one() {
    let grant = asked(&by_token(), vec![certificate("agent")]).unwrap();
    assert_eq!(grant.certificate, ObjectKey::new("lyon", "agent"));
    assert_eq!(grant.used_token, Some("07".repeat(32)));
    assert_eq!(grant.lifetime.as_secs(), 30 * 86_400);
    for serial in ["4b", "4a"] {
        let grant = asked(&by_serial(serial), vec![enrolled()]).unwrap();
        assert_eq!((grant.endpoint.to_string().as_str(), grant.used_token), ("lyon/agent", None));
    }
}

#[test]
fn the_object_with_the_token_answers_whatever_others_there_are() {
    let mut old = enrolled();
    old.metadata.name = Some("old".into());
    old.spec.enrolment_token = None;
    old.spec.revoked = Some(serde_json::from_value(json!({ "reason": "keyCompromise" })).unwrap());
    let grant = asked(&by_token(), vec![old, certificate("renewed")]).unwrap();
    assert_eq!(grant.certificate.name, "renewed");
}

#[test]
fn each_refusal_has_its_cause() {
    let (token, renewal) = (by_token(), by_serial("4b"));
    let none = |_: &mut TunnelCertificate| {};
    let stranger = Request { endpoint: "lyon/other".into(), ..token.clone() };
    let hostile = Request { endpoint: "../../x".into(), ..token.clone() };
    let elsewhere = Request { region: "dmz/us".parse().unwrap(), ..token.clone() };
    for request in [&stranger, &hostile, &elsewhere] {
        assert_eq!(refused(request, none), "unknownEndpoint");
    }
    let wrong = Request { proof: Proof::Token([8; 32].to_vec()), ..token.clone() };
    let short = Request { proof: Proof::Token(TOKEN[..31].to_vec()), ..token.clone() };
    let empty = Request { proof: Proof::Token(Vec::new()), ..token.clone() };
    for request in [&wrong, &short, &empty] {
        assert_eq!(refused(request, none), "tokenUnknown");
    }
    assert_eq!(refused(&token, |c| c.spec.enrolment_token = None), "tokenUnknown");
    assert_eq!(refused(&by_serial("4c"), none), "serialUnknown");
    let ends = |at: String| move |c: &mut TunnelCertificate| c.spec.enrolment_token.as_mut().unwrap().expires_at = at;
    assert_eq!(refused(&token, ends(now().to_string())), "tokenExpired");
    assert_eq!(refused(&token, ends("tomorrow".into())), "tokenUnreadable");
    let long = now() + LONGEST_TOKEN + SignedDuration::from_mins(6);
    assert_eq!(refused(&token, ends(long.to_string())), "tokenTooLong");
    assert_eq!(refused(&token, |c| c.status = enrolled().status), "tokenUsed");
    let revoke = |c: &mut TunnelCertificate| {
        c.spec.revoked = Some(serde_json::from_value(json!({ "reason": "unspecified" })).unwrap());
    };
    assert_eq!((refused(&token, revoke), refused(&renewal, revoke)), ("revoked", "revoked"));
    let delete = |c: &mut TunnelCertificate| {
        c.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-03-01T09:00:00Z")).unwrap());
    };
    assert_eq!((refused(&token, delete), refused(&renewal, delete)), ("revoked", "revoked"));
    assert_eq!(refused(&renewal, |c| c.spec.secret_name = Some("x".into())), "deliveredBySecret");
    assert_eq!(refused(&renewal, |c| c.metadata.finalizers = None), "notPrepared");
    let fill = |c: &mut TunnelCertificate| {
        let one = c.status.as_ref().unwrap().earlier[0].clone();
        let many = (0..MOST_EARLIER).map(|n| EarlierCertificate { serial: format!("{n}"), ..one.clone() });
        c.status.as_mut().unwrap().earlier = many.collect();
    };
    assert_eq!(refused(&renewal, fill), "noRoom");
}

#[test]
fn a_suspended_site_gets_none() {
    let all = Catalogue { sites: objects(vec![site("lyon", "hospital", json!({ "suspended": true }))]), ..catalogue() };
    let refusal = decide(&by_token(), &all, &objects(vec![certificate("agent")]), now()).unwrap_err();
    assert_eq!((refusal.label(), refusal.code(&by_token().proof)), ("suspended", "suspended"));
}

/// Trying out tokens tells neither which endpoints there are nor how near one was.
#[test]
fn without_a_good_token_every_answer_is_the_same() {
    let answer = |request: &Request, certificate: TunnelCertificate| {
        let refusal = asked(request, vec![certificate]).unwrap_err();
        (refusal.code(&request.proof), refusal.message(&request.proof))
    };
    let stranger = Request { endpoint: "lyon/other".into(), ..by_token() };
    let wrong = Request { proof: Proof::Token([8; 32].to_vec()), ..by_token() };
    let used = answer(&by_token(), enrolled());
    assert_eq!(used.0, "tokenRefused");
    assert_eq!(answer(&stranger, certificate("agent")), used);
    assert_eq!(answer(&wrong, certificate("agent")), used);
}

#[test]
fn a_token_that_is_too_long_is_used_up_for_good() {
    let mut certificate = certificate("agent");
    let token = certificate.spec.enrolment_token.as_mut().unwrap();
    token.expires_at = (now() + SignedDuration::from_hours(24 * 30)).to_string();
    let token = token.clone();
    assert_eq!(standing(&token, &certificate, now()), TokenStanding::TooLong);
    // The operator wrote that it was used up; near its end it must not become good.
    certificate.status = enrolled().status;
    let later = now() + SignedDuration::from_hours(24 * 29);
    assert_eq!(standing(&token, &certificate, later), TokenStanding::Used);
}
