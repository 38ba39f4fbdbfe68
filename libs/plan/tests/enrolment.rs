//! Who gets a certificate over EST: each refusal once, and what each tells to whom.

#![allow(clippy::unwrap_used)]

mod common;

use common::{catalogue, object, objects, site};
use jiff::{SignedDuration, Timestamp};
use sallyport_api::TunnelCertificate;
use sallyport_api::TunnelEndpoint;
use sallyport_api::tunnel_certificate::{EarlierCertificate, UsedToken};
use sallyport_plan::catalogue::{Catalogue, ObjectKey};
use sallyport_plan::enrolment::{
    Grant, LONGEST_TOKEN, Possession, Proof, Refusal, Request, TokenStanding, decide, standing,
};
use sallyport_plan::issuance::{MOST_EARLIER, MOST_USED_TOKENS};
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
        "usedTokens": [
            { "sha256": "06".repeat(32), "expiresAt": now() },
            { "sha256": "07".repeat(32), "expiresAt": now() },
            { "sha256": "08".repeat(32), "expiresAt": now() },
        ],
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
    Request { proof: Proof::Certificate { serial: serial.into(), possession: Possession::Proven }, ..by_token() }
}

fn unproven(serial: &str) -> Request {
    Request { proof: Proof::Certificate { serial: serial.into(), possession: Possession::Unproven }, ..by_token() }
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
    assert_eq!(grant.used_token.unwrap().sha256, "07".repeat(32));
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
    let many_tokens = |c: &mut TunnelCertificate| {
        c.status = enrolled().status;
        let used = &mut c.status.as_mut().unwrap().used_tokens;
        let one = used[0].clone();
        *used = (0..MOST_USED_TOKENS).map(|n| UsedToken { sha256: format!("{n}"), ..one.clone() }).collect();
    };
    assert_eq!(refused(&token, many_tokens), "noRoom");
    assert_eq!(refused(&unproven("4b"), none), "proofRequired");
    assert_eq!(refused(&by_serial("4a"), superseded), "superseded");
}

fn superseded(certificate: &mut TunnelCertificate) {
    certificate.status.as_mut().unwrap().earlier[0].superseded = Some(now().to_string());
}

/// A gateway ends the endpoint's TLS: what it says that it saw there gives it no certificate of anybody.
#[test]
fn a_gateways_word_alone_renews_only_what_its_owner_lets_it() {
    let refusal = asked(&unproven("4b"), vec![enrolled()]).unwrap_err();
    assert_eq!(refusal.code(&unproven("4b").proof), "proofRequired");
    let mut lenient = enrolled();
    lenient.spec.unproven_renewal = true;
    assert!(asked(&unproven("4b"), vec![lenient.clone()]).is_ok());
    assert_eq!(asked(&unproven("4c"), vec![lenient]).unwrap_err().label(), "serialUnknown");
}

/// Nobody who has an old key renews beside the endpoint once that has moved on; while it has not, both count.
#[test]
fn a_certificate_whose_successor_is_in_use_is_not_renewed() {
    let using = |serial: &str| {
        let mut all = catalogue();
        let key = ObjectKey::new("lyon", "agent");
        let mut endpoint: TunnelEndpoint = (*all.endpoints[&key]).clone();
        let agent = json!({ "serial": serial, "issuer": "g1", "notAfter": now() });
        endpoint.status = Some(serde_json::from_value(json!({ "agent": agent })).unwrap());
        all.endpoints = objects(vec![endpoint]);
        all
    };
    let decided = |serial: &str, all: Catalogue| {
        decide(&by_serial(serial), &all, &objects(vec![enrolled()]), now()).map_err(|refusal| refusal.label())
    };
    assert_eq!(decided("4a", using("4b")).unwrap_err(), "superseded");
    assert!(decided("4b", using("4b")).is_ok() && decided("4b", using("4a")).is_ok());
    assert!(decided("4a", using("4a")).is_ok() && decided("4a", using("of another object")).is_ok());
    let grant = decided("4b", using("4a")).unwrap();
    assert_eq!(grant.in_use.into_iter().collect::<Vec<_>>(), ["4a", "4b"]);
}

/// An agent that could not keep what it was given comes again and again, and is never locked out.
#[test]
fn there_is_room_as_long_as_one_of_many_was_never_used() {
    let mut full = enrolled();
    let one = full.status.as_ref().unwrap().earlier[0].clone();
    let many = (0..MOST_EARLIER).map(|n| EarlierCertificate { serial: format!("{n}"), ..one.clone() });
    full.status.as_mut().unwrap().earlier = many.collect();
    assert!(asked(&by_serial("4b"), vec![full]).is_ok());
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
