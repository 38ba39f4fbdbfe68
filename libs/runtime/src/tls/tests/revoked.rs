//! Doors that go by revocation lists: revoked, unknown and outdated all mean refused, and a list is never left out.

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::profile::Profile as Certificate;
use sallyport_pki::revocation::ListRefused;
use sallyport_testkit::Ca;
use sallyport_testkit::ca::start;

use super::*;

fn door(ca: &Ca, trust: &TrustBundle, lists: &[Vec<u8>]) -> Arc<ServerConfig> {
    server(&material(&ca.outer_door("localhost")), ClientAuth::Checked { trust, lists }, &[]).unwrap()
}

fn dial(ca: &Ca, as_whom: Option<&Credential>) -> Arc<ClientConfig> {
    client(as_whom.map(material).as_ref(), &ca.bundle(), &[]).unwrap()
}

fn chain(credential: &Credential) -> [CertificateDer<'_>; 1] {
    [CertificateDer::from(credential.der.as_slice())]
}

fn at(time: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.as_second()).unwrap()))
}

fn today() -> UnixTime {
    at(start() + SignedDuration::from_hours(24 * 365))
}

#[tokio::test]
async fn the_revoked_is_refused_and_its_neighbour_is_not() {
    let ca = Ca::new("dmz", "eu");
    let (bad, good) = (ca.endpoint("lyon", "ct"), ca.endpoint("lyon", "mr"));
    let lists = [ca.revocation_list(2, &[&bad])];
    for (credential, expected) in [(&bad, ("refusedByPeer", "revoked")), (&good, ("ok", "ok"))] {
        assert_eq!(outcome(dial(&ca, Some(credential)), door(&ca, &ca.bundle(), &lists)).await, expected);
    }
    let none = outcome(dial(&ca, None), door(&ca, &ca.bundle(), &lists)).await;
    assert_eq!(none, ("refusedByPeer", "noCertificate"));
}

#[tokio::test]
async fn without_a_list_that_is_in_force_nobody_is_known() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu").next());
    let both = old.bundle_with(&new);
    let (of_old, of_new) = (old.endpoint("lyon", "ct"), new.endpoint("lyon", "ct"));
    for (lists, old_is, new_is) in [
        (vec![], "revocationUnknown", "revocationUnknown"),
        (vec![old.revocation_list(1, &[])], "ok", "revocationUnknown"),
        (vec![new.revocation_list(1, &[]), old.expired_revocation_list(1, &[])], "revocationListExpired", "ok"),
        (vec![old.revocation_list(1, &[&of_old]), new.revocation_list(1, &[])], "revoked", "ok"),
        // The same serial of another issuer is somebody else's.
        (vec![old.revocation_list(1, &[&of_new]), new.revocation_list(1, &[&of_old])], "ok", "ok"),
    ] {
        for (credential, label) in [(&of_old, old_is), (&of_new, new_is)] {
            let (_, far) = outcome(dial(&old, Some(credential)), door(&old, &both, &lists)).await;
            assert_eq!(far, label);
        }
    }
}

#[tokio::test]
async fn of_two_lists_the_newer_counts_in_any_order() {
    let ca = Ca::new("dmz", "eu");
    let bad = ca.endpoint("lyon", "ct");
    let (before, after) = (ca.revocation_list(7, &[]), ca.revocation_list(8, &[&bad]));
    for lists in [[before.clone(), after.clone()], [after, before]] {
        let (_, far) = outcome(dial(&ca, Some(&bad)), door(&ca, &ca.bundle(), &lists)).await;
        assert_eq!(far, "revoked");
    }
}

#[tokio::test]
async fn a_door_may_let_in_whoever_shows_nothing_but_nobody_who_shows_something_bad() {
    let (ca, other) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu").next());
    let (bad, good) = (ca.endpoint("lyon", "ct"), ca.endpoint("lyon", "mr"));
    let expired = ca.issue_expired(Certificate::Operator);
    let (trust, lists) = (ca.bundle(), [ca.revocation_list(1, &[&bad])]);
    let clients = ClientAuth::CheckedIfShown { trust: &trust, lists: &lists };
    let door = server(&material(&ca.outer_door("localhost")), clients, &[]).unwrap();
    let (near, far) = handshake(dial(&ca, None), Arc::clone(&door)).await;
    near.unwrap();
    assert!(peer_leaf(far.unwrap().get_ref().1).is_none());
    let (near, far) = handshake(dial(&ca, Some(&good)), Arc::clone(&door)).await;
    near.unwrap();
    assert_eq!(peer_leaf(far.unwrap().get_ref().1).unwrap().as_ref(), good.der);
    for (credential, label) in [(bad, "revoked"), (expired, "expired"), (other.endpoint("lyon", "ct"), "unknownIssuer")]
    {
        assert_eq!(outcome(dial(&ca, Some(&credential)), Arc::clone(&door)).await, ("refusedByPeer", label));
    }
}

#[test]
fn a_list_that_cannot_be_used_refuses_the_whole() {
    let (ca, stranger) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu"));
    let (trust, own) = (ca.bundle(), material(&ca.outer_door("localhost")));
    let mut damaged = ca.revocation_list(1, &[]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for (bad, why) in [
        (stranger.revocation_list(1, &[]), ListRefused::Untrusted),
        (damaged, ListRefused::Untrusted),
        (b"junk".to_vec(), ListRefused::Unreadable),
    ] {
        let lists = [ca.revocation_list(1, &[]), bad];
        let refused = server(&own, ClientAuth::Checked { trust: &trust, lists: &lists }, &[]).unwrap_err();
        assert!(matches!(refused, TlsError::RevocationList(found) if found == why), "{refused:?}");
        let credential = ca.endpoint("lyon", "ct");
        let answer = admits_checked(&trust, &lists, &chain(&credential), today());
        assert_eq!(answer, Err(Reason::RevocationUnknown));
    }
}

#[test]
fn a_connection_that_stands_is_asked_for_the_same() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu").next());
    let (bad, good, late) = (old.endpoint("a", "a"), old.endpoint("b", "b"), old.issue_expired(Certificate::Operator));
    let lists = [old.revocation_list(3, &[&bad])];
    let admission = Admission::checked(&old.bundle_with(&new), &lists).unwrap();
    let cases = [
        (&good, Ok(())),
        (&bad, Err("revoked")),
        (&late, Err("expired")),
        (&new.endpoint("lyon", "ct"), Err("revocationUnknown")),
        (&Ca::generation("dmz", "eu", 9).endpoint("lyon", "ct"), Err("untrusted")),
        (&old.outer_door("localhost"), Err("untrusted")), // serverAuth only
    ];
    for (credential, expected) in cases {
        let answer = admission.check(&chain(credential), today()).map_err(Reason::label);
        assert_eq!(answer, expected);
        let trust = old.bundle_with(&new);
        assert_eq!(admits_checked(&trust, &lists, &chain(credential), today()).map_err(Reason::label), expected);
    }
    assert_eq!(admission.check(&[], today()), Err(Reason::Untrusted));
    assert_eq!(admits_checked(&TrustBundle::empty(), &[], &chain(&good), today()), Err(Reason::Untrusted));
    // What is revoked is still of a trusted CA: who does not ask lets it in.
    assert!(admits(&old.bundle(), &chain(&bad), today()));
}

#[test]
fn time_passes_while_a_door_stands() {
    let ca = Ca::new("dmz", "eu");
    let good = ca.endpoint("lyon", "ct");
    let list = ca.revocation_list_for(1, &[], Duration::from_secs(3600));
    let admission = Admission::checked(&ca.bundle(), &[list]).unwrap();
    let century = SignedDuration::from_hours(24 * 365 * 100);
    for (after, expected) in [
        (SignedDuration::from_mins(1), Ok(())),
        (SignedDuration::from_hours(1), Err(Reason::RevocationListExpired)),
        (century + SignedDuration::from_hours(1), Err(Reason::Untrusted)), // the CA has ended
        (SignedDuration::from_mins(1), Ok(())),                            // a clock that was set back
    ] {
        assert_eq!(admission.check(&chain(&good), at(start() + after)), expected, "{after}");
    }
}
