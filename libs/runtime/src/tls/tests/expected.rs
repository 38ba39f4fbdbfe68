//! Servers known by identity: only the expected party of the expected region, whoever else the CA vouches for.

use sallyport_core::identity::{Identity, Role};
use sallyport_pki::profile::Profile as Certificate;
use sallyport_testkit::Ca;

use super::*;

/// What the operator does: a gateway with or without its own certificate.
fn attachable(ca: &Ca, trust: &Ca) -> Arc<ClientConfig> {
    let role = |role: &Role| matches!(role, Role::Gateway(_) | Role::GatewayBootstrap);
    let expected = ExpectedServer::new(ca.region().clone(), role);
    client_expecting(expected, Some(&material(&trust.operator())), &trust.bundle(), &[]).unwrap()
}

async fn label(client: Arc<ClientConfig>, own: &Credential) -> &'static str {
    let door = server(&material(own), ClientAuth::None, &[]).unwrap();
    outcome(client, door).await.0
}

#[tokio::test]
async fn both_kinds_of_gateway_are_attached_to_whatever_their_dns_name() {
    let ca = Ca::new("dmz", "eu");
    let elsewhere = sallyport_testkit::ca::host("gateway-1.gateways.dmz.svc");
    let peer = Certificate::GatewayPeer { pod: "gateway-1".parse().unwrap(), dns: elsewhere };
    for own in [ca.gateway("gateway-0"), ca.gateway_bootstrap(), ca.issue(peer)] {
        assert_eq!(label(attachable(&ca, &ca), &own).await, "ok");
    }
}

#[tokio::test]
async fn every_other_party_is_refused() {
    let ca = Ca::new("dmz", "eu");
    // Wrong use: these certificates cannot be a server's. Wrong role: a door names nobody.
    for own in [ca.endpoint("lyon", "ct"), ca.operator(), ca.config_signer(), ca.outer_door("localhost")] {
        assert_eq!(label(attachable(&ca, &ca), &own).await, "wrongCertificate");
    }
}

#[tokio::test]
async fn another_region_another_ca_and_an_expired_gateway_are_refused() {
    let (ca, region) = (Ca::new("dmz", "eu"), Ca::new("dmz", "us"));
    // The region's CA is trusted and vouches for a gateway, but of another region than expected.
    assert_eq!(label(attachable(&ca, &region), &region.gateway("gateway-0")).await, "wrongCertificate");
    let same_name = Ca::new("dmz", "eu");
    let strange = label(attachable(&ca, &ca), &same_name.gateway("gateway-0")).await;
    assert!(["unknownIssuer", "badSignature"].contains(&strange), "{strange}");
    let expired = ca.issue_expired(Certificate::GatewayBootstrap { dns: sallyport_testkit::ca::host("localhost") });
    assert_eq!(label(attachable(&ca, &ca), &expired).await, "expired");
}

#[tokio::test]
async fn exactly_means_one_replica() {
    let ca = Ca::new("dmz", "eu");
    let identity = Identity { region: ca.region().clone(), role: Role::Gateway("gateway-0".parse().unwrap()) };
    let config = client_expecting(ExpectedServer::exactly(identity), None, &ca.bundle(), &[]).unwrap();
    assert_eq!(label(Arc::clone(&config), &ca.gateway("gateway-0")).await, "ok");
    assert_eq!(label(config, &ca.gateway("gateway-1")).await, "wrongCertificate");
}
