use std::sync::Arc;

use sallyport_pki::authority::Authority;
use sallyport_pki::rotation::Stage;
use serde_json::json;

use super::*;
use crate::reconcile::authority::sample;
use crate::run::idle;

fn key() -> ObjectKey {
    ObjectKey::new("dmz", "ca")
}

fn turn(authority: &Arc<Authority>, published: &str, trouble: Option<Trouble>) -> Turn {
    let object = serde_json::from_value(json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "CertificateAuthority",
        "metadata": { "name": "ca", "namespace": "dmz" }, "spec": { "subject": { "commonName": "EU" } },
    }));
    Turn {
        object: object.unwrap(),
        state: Some(sample::state(&[(&**authority, Stage::Issuing)])),
        ring: Arc::new(sample::ring(&[(authority, true)])),
        published: published::read(&json!({ "data": { "ca.crt": published } }), clock()),
        peers: BTreeMap::new(),
        waiting: None,
        wake_at: None,
        trouble,
    }
}

fn restored() -> Trouble {
    let object = |name: &str| ObjectKey::new("dmz", name);
    Trouble::AuthorityRestored { config_map: object("ca-ca-trust"), secret: object("ca-ca"), fingerprints: "x".into() }
}

/// Somebody adds a certificate to the ConfigMap, or an older backup is restored, and the operator begins: until a person
/// decides, gateways go on being told what to enforce and whom to refuse.
#[tokio::test]
async fn what_is_known_is_enforced_while_a_person_decides() {
    let (ctx, known, foreign) = (idle(), Arc::new(sample::authority(1)), sample::authority(2));
    let published = known.bundle().union(&foreign.bundle()).to_pem();
    let turn = turn(&known, &published, Some(restored()));
    let outcome = all(&ctx, &key(), &turn).await;
    assert!(outcome.digest.is_none() && outcome.trouble.is_none(), "nothing was written");

    let signer = ctx.authorities.get(&key()).unwrap();
    assert_eq!((signer.trust.clone(), signer.sequence), (known.bundle().to_pem(), 7));
    assert_eq!((signer.lists.len(), signer.standing), (1, Standing::Undecided));
    assert!(signer.vouches().is_err() && signer.issuing().is_ok(), "its own certificate holds the streams");
    assert!(!ctx.authorities.is_settled(&key()), "the ConfigMap is still to be decided about");
}

/// What could not be written is not remembered; what was found is.
#[tokio::test]
async fn a_revocation_that_was_found_counts_as_remembered() {
    let (ctx, known) = (idle(), Arc::new(sample::authority(1)));
    let reason = sallyport_pki::revocation::Reason::KeyCompromise;
    let revoked =
        |serial: &str| sallyport_pki::revocation::Revocation { serial_hex: serial.into(), at: clock(), reason };
    let week = jiff::SignedDuration::from_hours(168);
    let list = |serials: &[&str], number| {
        let entries: Vec<_> = serials.iter().map(|serial| revoked(serial)).collect();
        let der = known.revocation_list(&entries, number, clock(), clock() + week).unwrap();
        RevocationList::parse(&der).unwrap()
    };
    let turn = turn(&known, &known.bundle().to_pem(), None);
    let mut found = turn.published.clone();
    found.lists = vec![(known.fingerprint(), list(&["4a"], 1))];
    let turn = Turn { published: found, ..turn };
    let mut lists = Lists::default();
    lists.by_issuer.insert(known.fingerprint(), list(&["4a", "4b"], 2));
    let state = turn.state.clone().unwrap();
    assert!(tell(&ctx, &key(), &turn, &state, &known.bundle(), &lists, Memory::NotWritten));
    let signer = ctx.authorities.get(&key()).unwrap();
    assert!(signer.revokes("4a") && !signer.revokes("4b"));
}
