//! Every kind of certificate that the private CA makes, and its revocation list, looked at by zlint, which knows what the
//! RFCs ask of certificates.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_e2e::run::run;
use sallyport_pki::authority::{Authority, AuthoritySubject, LeafRequest, Serial};
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::profile::Profile;
use sallyport_pki::revocation::{Reason, Revocation};
use serde_json::Value;

/// What binds a private CA too: the format's own standards. The others bind authorities that browsers, mail programs,
/// Certificate Transparency or a national supervision trust, and ask for what must not be here: public names, policies
/// of such authorities, OCSP addresses.
const SOURCES: &str = "Community,RFC3279,RFC5280,RFC5480,RFC5891,RFC8813";

/// Lints that do not fit, each with its reason.
const EXCLUDED: [(&str, &str); 0] = [];

const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority(algorithm: KeyAlgorithm, now: Timestamp) -> Authority {
    let subject = AuthoritySubject {
        common_name: "Sallyport Service CA Frankfurt".to_owned(),
        organization: Some("Example Medical Systems".to_owned()),
    };
    let key = PrivateKey::generate(algorithm).unwrap();
    Authority::create(1, &subject, Box::new(key), 3650 * DAY, serial(1), now).unwrap()
}

/// Not random here, and as long as a random one.
fn serial(number: u8) -> Serial {
    Serial::from_random([0xa5 ^ number; 16])
}

fn profiles() -> Vec<(&'static str, Profile)> {
    let host = |name: &str| rustls_pki_types::DnsName::try_from(name.to_owned()).unwrap();
    vec![
        ("config-signer", Profile::ConfigSigner),
        ("endpoint", Profile::Endpoint(EndpointId::parse("site-lyon", "radiology").unwrap())),
        ("gateway-bootstrap", Profile::GatewayBootstrap { dns: host("frankfurt-gateways.dmz-frankfurt.svc") }),
        (
            "gateway-peer",
            Profile::GatewayPeer {
                pod: "frankfurt-gateway-0".parse().unwrap(),
                dns: host("frankfurt-gateway-0.frankfurt-gateways.dmz-frankfurt.svc"),
            },
        ),
        ("inner-door", Profile::InnerDoor { host: host("frankfurt.service.sallyport.example") }),
        ("operator", Profile::Operator),
        ("outer-door", Profile::OuterDoor { host: host("frankfurt.dmz.sallyport.example") }),
    ]
}

/// What zlint says of one file: the lints that applied, and those that found an error.
fn lint(name: &str, pem: &str, folder: &Path) -> (BTreeSet<String>, Vec<String>) {
    let path = folder.join(format!("{name}.pem"));
    std::fs::write(&path, pem).unwrap();
    let excluded = EXCLUDED.map(|(lint, _)| lint).join(",");
    let mut zlint = Command::new("zlint");
    zlint.args(["-includeSources", SOURCES]).arg(&path);
    if !excluded.is_empty() {
        zlint.args(["-excludeNames", &excluded]);
    }
    assert!(Command::new("zlint").arg("-version").output().is_ok(), "zlint is missing: make lab-tools");
    let said: Value = serde_json::from_str(&run(&mut zlint)).unwrap();
    let (mut applied, mut wrong) = (BTreeSet::new(), Vec::new());
    for (lint, outcome) in said.as_object().unwrap() {
        let result = outcome["result"].as_str().unwrap();
        if !matches!(result, "NA" | "NE") {
            applied.insert(lint.clone());
        }
        if matches!(result, "error" | "fatal") {
            wrong.push(format!("{name}: {lint} {outcome}"));
        }
    }
    (applied, wrong)
}

#[test]
fn every_certificate_and_revocation_list_passes_zlint() {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let (mut all, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut look = |name: &str, pem: &str, least: usize| {
        let (applied, found) = lint(name, pem, folder.path());
        say(&format!("{name}: {} lints apply, {} find an error", applied.len(), found.len()));
        // One that applies to nothing would pass whatever it is given.
        assert!(applied.len() >= least, "{name}: only {applied:?} apply");
        all.extend(applied);
        wrong.extend(found);
    };
    for (kind, algorithm) in [("p256", KeyAlgorithm::EcdsaP256), ("p384", KeyAlgorithm::EcdsaP384)] {
        let authority = authority(algorithm, now);
        look(&format!("ca-{kind}"), &authority.certificate_pem(), 40);
        for (number, (name, profile)) in (2u8..).zip(profiles()) {
            let request = LeafRequest {
                region: RegionId::parse("dmz-frankfurt", "frankfurt").unwrap(),
                lifetime: profile.default_lifetime(),
                profile,
                public_key: PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key(),
                serial: serial(number),
            };
            look(&format!("{name}-{kind}"), &authority.issue(&request, now).unwrap().pem, 40);
        }
        let revoked = |number: u8, reason| Revocation { serial_hex: serial(number).to_string(), at: now, reason };
        let revoked = [revoked(2, Reason::KeyCompromise), revoked(3, Reason::Unspecified)];
        for (name, entries) in [("crl-empty", &revoked[..0]), ("crl", &revoked[..])] {
            let next = now.checked_add(SignedDuration::from_hours(7 * 24)).unwrap();
            let der = authority.revocation_list(entries, 1, now, next).unwrap();
            look(&format!("{name}-{kind}"), &pem("X509 CRL", &der), 5);
        }
    }
    say(&format!("lints that applied to at least one: {all:?}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A test of the test: what is wrong is found.
#[test]
fn a_wrong_certificate_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    // Lints bind what was made after their standard.
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2036, 1, 1));
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let (_, wrong) = lint("wrong", &params.self_signed(&key).unwrap().pem(), folder.path());
    assert!(!wrong.is_empty(), "a certificate that may sign others without being a CA's has passed");
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.collect::<Vec<_>>().join("\n"))
}

#[allow(clippy::print_stderr, reason = "the list of lints is the test's report")]
fn say(text: &str) {
    eprintln!("{text}");
}
