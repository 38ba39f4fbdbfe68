//! What must fail, and with which label.

use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::profile::Profile as Certificate;
use sallyport_testkit::{Ca, EngineersCa};
use tokio::io::AsyncWriteExt;

use super::*;

fn door(ca: &Ca) -> Arc<ServerConfig> {
    server(&material(&ca.outer_door("localhost")), ClientAuth::Required(&ca.bundle()), &[b"http/1.1"]).unwrap()
}

fn dial(ca: &Ca, as_whom: Option<&Credential>) -> Arc<ClientConfig> {
    client(as_whom.map(material).as_ref(), &ca.bundle(), &[]).unwrap()
}

#[tokio::test]
async fn a_client_must_show_a_certificate_that_is_valid_here_and_now() {
    let (ca, other) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu"));
    let endpoint = Certificate::Endpoint(sallyport_core::name::EndpointId::parse("lyon", "ct").unwrap());
    for (label, credential) in [
        ("noCertificate", None),
        ("expired", Some(ca.issue_expired(endpoint))),
        ("wrongCertificate", Some(ca.outer_door("localhost"))), // serverAuth only
        ("wrongCertificate", Some(ca.config_signer())),         // codeSigning only
    ] {
        assert_eq!(outcome(dial(&ca, credential.as_ref()), door(&ca)).await, ("refusedByPeer", label));
    }
    // Another CA, the same name, and an engineer's certificate: nobody vouches.
    for stranger in [other.endpoint("lyon", "ct"), EngineersCa::new().engineer("anna@vendor.example", &[])] {
        let (near, far) = outcome(dial(&ca, Some(&stranger)), door(&ca)).await;
        assert_eq!(near, "refusedByPeer");
        assert!(["unknownIssuer", "badSignature"].contains(&far), "{far}");
    }
}

#[tokio::test]
async fn a_device_is_no_engineer_and_an_engineer_no_device() {
    let (ca, engineers) = (Ca::new("dmz", "eu"), EngineersCa::new());
    // A careless configuration: one door trusts both.
    let both = ca.bundle().union(&engineers.bundle());
    let door = server(&material(&ca.inner_door("localhost")), ClientAuth::Required(&both), &[]).unwrap();
    for (credential, identity, engineer) in [
        (ca.endpoint("lyon", "ct"), true, false),
        (ca.operator(), true, false),
        (engineers.engineer("anna@vendor.example", &["ct"]), false, true),
    ] {
        let (_, far) = handshake(dial(&ca, Some(&credential)), Arc::clone(&door)).await;
        let far = far.unwrap();
        assert_eq!(peer_identity(far.get_ref().1).is_ok(), identity);
        assert_eq!(peer_engineer(far.get_ref().1).is_ok(), engineer);
    }
}

#[tokio::test]
async fn a_client_refuses_another_name_another_ca_and_an_expired_door() {
    let (ca, other) = (Ca::new("dmz", "eu"), Ca::generation("dmz", "eu", 2));
    let expired = ca.issue_expired(Certificate::OuterDoor { host: sallyport_testkit::ca::host("localhost") });
    for (label, own) in [
        ("wrongCertificate", ca.outer_door("elsewhere.example")),
        ("wrongCertificate", ca.endpoint("lyon", "ct")), // clientAuth only
        ("expired", expired),
        ("unknownIssuer", other.outer_door("localhost")),
    ] {
        let door = server(&material(&own), ClientAuth::None, &[]).unwrap();
        assert_eq!(outcome(dial(&ca, None), door).await, (label, "refusedByPeer"));
    }
}

#[tokio::test]
async fn older_tls_and_other_protocols_are_refused() {
    let ca = Ca::new("dmz", "eu");
    let old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    ca.bundle().certificates().for_each(|der| roots.add(der.into_owned()).unwrap());
    let old = Arc::new(old.with_root_certificates(roots).with_no_client_auth());
    assert_eq!(outcome(old, door(&ca)).await, ("refusedByPeer", "protocol"));

    let other_alpn = client(Some(&material(&ca.endpoint("lyon", "ct"))), &ca.bundle(), &[b"h3"]).unwrap();
    assert_eq!(outcome(other_alpn, door(&ca)).await, ("refusedByPeer", "protocol"));
}

#[tokio::test]
async fn plain_text_silence_and_hanging_up_have_their_labels() {
    let ca = Ca::new("dmz", "eu");
    let open = Door::open(door(&ca));

    let (mut near, far) = pair().await;
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(open.accept(far, DEADLINE).await.unwrap_err().label(), "protocol");

    let (near, far) = pair().await;
    drop(near);
    assert_eq!(open.accept(far, DEADLINE).await.unwrap_err().label(), "closed");

    let (_silent, far) = pair().await;
    assert_eq!(open.accept(far, Duration::from_millis(1)).await.unwrap_err().label(), "timeout");

    let (_near, far) = pair().await;
    assert_eq!(Door::closed().accept(far, DEADLINE).await.unwrap_err().label(), "notReady");
}

#[test]
fn unusable_ingredients_are_refused() {
    let ca = Ca::new("dmz", "eu");
    let (own, other) = (material(&ca.outer_door("localhost")), material(&ca.endpoint("lyon", "ct")));
    let mixed = KeyMaterial { chain_pem: own.chain_pem.clone(), key_pem: other.key_pem.clone() };
    assert!(matches!(server(&mixed, ClientAuth::None, &[]), Err(TlsError::Refused(_))));
    let no_chain = KeyMaterial { chain_pem: String::new(), key_pem: own.key_pem.clone() };
    assert!(matches!(server(&no_chain, ClientAuth::None, &[]), Err(TlsError::Chain)));
    let no_key = KeyMaterial { chain_pem: own.chain_pem.clone(), key_pem: String::new().into() };
    assert!(matches!(server(&no_key, ClientAuth::None, &[]), Err(TlsError::Key)));
    // Trust in nobody is an error, never "anybody".
    let nobody = TrustBundle::empty();
    assert!(matches!(server(&own, ClientAuth::Required(&nobody), &[]), Err(TlsError::Trust)));
    assert!(matches!(client(None, &nobody, &[]), Err(TlsError::Trust)));
    assert!(!format!("{own:?}").contains("PRIVATE"));
}
