//! When a certificate of the gateway's own is renewed.

use sallyport_testkit::Ca;

use super::*;

fn trust(authorities: [&Ca; 2], issuer: &Ca, renew_within_s: u64) -> Trust {
    let mut message = wire::Trust {
        sequence: 1,
        certificates: authorities.iter().map(|ca| ca.authority().certificate_pem()).collect(),
        issuer: issuer.authority().fingerprint(),
        renew_within_s,
        revocation_lists: authorities.iter().map(|ca| ca.revocation_list(1, &[])).collect(),
        ..wire::Trust::default()
    };
    message.digest = sallyport_control::digest::of_trust(&message);
    Trust::parse(message).unwrap()
}

#[test]
fn a_certificate_moves_to_the_authority_that_signs_within_the_spread() {
    let old = Ca::new("dmz", "frankfurt");
    let new = old.next();
    let (of_old, of_new) = (old.authority().fingerprint(), new.authority().fingerprint());
    let now = Timestamp::now();
    let mut moves = Vec::new();
    let mut at = |issuer: &str, trust: &Trust| moves_at(&mut moves, Purpose::Peer, issuer, trust, now);

    let calm = trust([&old, &new], &new, 3600);
    assert_eq!(at(&of_new, &calm), Timestamp::MAX);
    let planned = at(&of_old, &calm);
    assert!(planned >= now && planned <= now + SignedDuration::from_hours(1), "{planned}");
    assert_eq!(at(&of_old, &calm), planned, "drawn once");
    assert_eq!(at("", &calm), now, "what no authority vouches for moves at once");

    let emergency = trust([&old, &new], &new, 0);
    assert_eq!(at(&of_old, &emergency), now);
    let back = trust([&old, &new], &old, 3600);
    assert_eq!(at(&of_old, &back), Timestamp::MAX);
}

#[test]
fn a_certificate_ages_at_two_thirds_of_its_life_and_up_to_a_tenth_later() {
    let credential = Ca::new("dmz", "frankfurt").gateway("frankfurt-gateway-0");
    let mut held = Held::new(credential.chain_pem, credential.key_pem.to_string(), String::new());
    assert!((0.0..1.0).contains(&held.jitter));
    let in_use = held.in_use(&TrustBundle::empty()).unwrap();
    let life = in_use.not_after.duration_since(in_use.not_before);
    held.jitter = 0.0;
    assert_eq!(held.ages_at(), in_use.two_thirds());
    held.jitter = 1.0;
    let latest = held.ages_at().duration_since(in_use.two_thirds());
    assert!((latest.as_secs() - life.as_secs() / 10).abs() <= 1, "{latest}");
    held.chain = "no certificate".to_owned();
    assert_eq!(held.ages_at(), Timestamp::MIN);
}

#[test]
fn the_operator_is_shown_the_certificate_that_it_can_verify() {
    let old = Ca::new("dmz", "frankfurt");
    let new = old.next();
    let material = |credential: sallyport_testkit::Credential| KeyMaterial {
        chain_pem: credential.chain_pem,
        key_pem: credential.key_pem,
    };
    let peer = material(old.gateway("frankfurt-gateway-0"));
    let profile = sallyport_pki::profile::Profile::Operator;
    let ended = material(old.issue_expired(profile));
    let mounted = |ca: &Ca| Mounted { bootstrap: material(ca.gateway_bootstrap()), trust: ca.bundle() };
    let (fresh, slept) = (mounted(&old), mounted(&new));
    let now = Timestamp::now();
    let shown = |mounted: &Mounted, peer: Option<&KeyMaterial>, published: &TrustBundle| {
        mounted.for_control(peer, published, now).chain_pem.clone()
    };
    assert_eq!(shown(&fresh, None, &fresh.trust), fresh.bootstrap.chain_pem);
    assert_eq!(shown(&fresh, Some(&peer), &fresh.trust), peer.chain_pem);
    assert_eq!(shown(&fresh, Some(&ended), &fresh.trust), fresh.bootstrap.chain_pem);
    assert_eq!(shown(&slept, Some(&peer), &slept.trust), slept.bootstrap.chain_pem);
    // What is mounted lags behind, and says nothing of either: the replica's own is the newer.
    assert_eq!(shown(&fresh, Some(&peer), &TrustBundle::empty()), peer.chain_pem);
}

#[test]
fn an_answer_to_an_earlier_request_is_told_from_one_that_is_no_good() {
    let ca = Ca::new("dmz", "frankfurt");
    let credential = ca.gateway("frankfurt-gateway-0");
    let asked = PrivateKey::from_pem(&credential.key_pem).unwrap();
    assert!(!held::is_for_another(&credential.chain_pem, &asked), "the answer");
    let earlier = ca.gateway("frankfurt-gateway-0");
    assert!(held::is_for_another(&earlier.chain_pem, &asked), "the answer to another key");
    assert!(
        !held::is_for_another("no certificate", &asked),
        "whose it is cannot be told: it is refused as what was asked for"
    );
}
