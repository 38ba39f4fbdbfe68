//! What must work, and with exactly the parameters of the table.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion};
use sallyport_core::identity::Role;
use sallyport_testkit::{Ca, EngineersCa};

use super::*;

#[tokio::test]
async fn an_agent_reaches_the_outer_door_and_is_known_by_its_certificate() {
    let ca = Ca::new("dmz", "eu");
    let door = server(&material(&ca.outer_door("localhost")), ClientAuth::Required(&ca.bundle()), &[b"http/1.1"]);
    let agent = ca.endpoint("lyon", "ct-room-2");
    let dial = client(Some(&material(&agent)), &ca.bundle(), &[b"http/1.1"]);
    let (near, far) = handshake(dial.unwrap(), door.unwrap()).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    let peer = peer_identity(far.get_ref().1).unwrap();
    assert_eq!(peer.to_string(), "sallyport://dmz.eu/endpoint/lyon/ct-room-2");
    assert_eq!(peer_leaf(far.get_ref().1).unwrap().as_ref(), agent.der);
    assert_eq!(far.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // The door's certificate names nobody.
    assert!(matches!(peer_identity(near.get_ref().1), Err(PeerRefused::Identity(_))));
}

#[tokio::test]
async fn an_engineer_is_known_by_address_and_groups() {
    let (ca, engineers) = (Ca::new("dmz", "eu"), EngineersCa::new());
    let door = server(&material(&ca.inner_door("localhost")), ClientAuth::Required(&engineers.bundle()), &[]);
    let anna = material(&engineers.engineer("anna@vendor.example", &["ct"]));
    let (near, far) = handshake(client(Some(&anna), &ca.bundle(), &[]).unwrap(), door.unwrap()).await;
    near.unwrap();
    let engineer = peer_engineer(far.unwrap().get_ref().1).unwrap();
    assert_eq!(engineer.user.to_string(), "anna@vendor.example");
    assert!(engineer.groups.contains("ct"));
}

#[tokio::test]
async fn the_operator_attaches_to_a_gateway_by_identity_not_by_name() {
    let ca = Ca::new("dmz", "eu");
    let gateway = server(&material(&ca.gateway("gateway-0")), ClientAuth::Required(&ca.bundle()), &[b"h2"]);
    let expected = ExpectedServer::new(ca.region().clone(), |role| matches!(role, Role::Gateway(_)));
    let dial = client_expecting(expected, Some(&material(&ca.operator())), &ca.bundle(), &[b"h2"]);
    let (near, far) = pair().await;
    let door = Door::open(gateway.unwrap());
    let name = ServerName::try_from("another.example").unwrap();
    let (near, far) = tokio::join!(connect(dial.unwrap(), name, near, DEADLINE), door.accept(far, DEADLINE));
    assert_eq!(peer_identity(near.unwrap().get_ref().1).unwrap().role.label(), "gateway");
    let far = far.unwrap();
    assert_eq!(peer_identity(far.get_ref().1).unwrap().role, Role::Operator);
    assert_eq!(far.get_ref().1.server_name(), None);
}

#[tokio::test]
async fn parameters_are_those_of_the_table() {
    let ca = Ca::new("dmz", "eu");
    for (profile, group) in [(Profile::Strict, NamedGroup::secp256r1), (Profile::Hybrid, NamedGroup::X25519MLKEM768)] {
        let door = profile.server(&material(&ca.outer_door("localhost")), ClientAuth::None, &[]).unwrap();
        let (near, far) = handshake(profile.client(None, &ca.bundle(), &[]).unwrap(), door).await;
        far.unwrap();
        let near = near.unwrap();
        let connection = near.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(connection.negotiated_cipher_suite().unwrap().suite(), CipherSuite::TLS13_AES_256_GCM_SHA384);
        assert_eq!(connection.negotiated_key_exchange_group().unwrap().name(), group);
    }
}

#[test]
fn the_table_holds_nothing_else() {
    for profile in [Profile::Strict, Profile::Hybrid] {
        let provider = profile.provider();
        let suites: Vec<_> = provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
        assert_eq!(suites, [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256]);
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        assert_eq!(schemes, [SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::ECDSA_NISTP256_SHA256]);
    }
    let groups: Vec<_> = Profile::Strict.provider().kx_groups.iter().map(|group| group.name()).collect();
    assert_eq!(groups, [NamedGroup::secp256r1, NamedGroup::secp384r1]);
}

#[tokio::test]
async fn no_connection_is_resumed() {
    let ca = Ca::new("dmz", "eu");
    let door = server(&material(&ca.outer_door("localhost")), ClientAuth::Required(&ca.bundle()), &[]).unwrap();
    // A client that would like to resume: rustls' own default store.
    let mut eager = (*client(Some(&material(&ca.endpoint("lyon", "ct"))), &ca.bundle(), &[]).unwrap()).clone();
    eager.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let eager = Arc::new(eager);
    for _ in 0..2 {
        let (near, far) = handshake(Arc::clone(&eager), Arc::clone(&door)).await;
        assert_eq!(near.unwrap().get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(far.unwrap().get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    assert_eq!((door.send_tls13_tickets, door.max_early_data_size), (0, 0));
    assert!(!door.session_storage.can_cache() && !door.ticketer.enabled());
}

#[tokio::test]
async fn a_replaced_configuration_counts_from_the_next_handshake() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::generation("dmz", "eu", 2));
    let door = Door::open(server(&material(&old.outer_door("localhost")), ClientAuth::None, &[]).unwrap());
    let trusts_new = client(None, &new.bundle(), &[]).unwrap();
    for expected in ["unknownIssuer", "ok"] {
        let (near, far) = pair().await;
        let dial = connect(Arc::clone(&trusts_new), localhost(), near, DEADLINE);
        let (near, _) = tokio::join!(dial, door.accept(far, DEADLINE));
        assert_eq!(near.as_ref().map_or_else(HandshakeFailure::label, |_| "ok"), expected);
        door.replace(server(&material(&new.outer_door("localhost")), ClientAuth::None, &[]).unwrap());
    }
}
