//! A CA that has ended vouches for nobody, even for a certificate that says it lasts longer, as the holder of a stolen
//! key could make it.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use sallyport_core::identity::Role;
use sallyport_core::name::RegionId;
use sallyport_pki::bundle::TrustBundle;
use sallyport_testkit::Ca;

use super::*;

/// A CA with its bundle, valid until a year, and a leaf of it that says it lasts until 2124.
fn thief(until: i32) -> (TrustBundle, KeyMaterial) {
    let (ca_key, key, mut ca) =
        (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), CertificateParams::default());
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.distinguished_name.push(DnType::CommonName, "An old generation");
    ca.not_after = date_time_ymd(until, 1, 1);
    let bundle = TrustBundle::from_pem(&ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let mut leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    leaf.not_after = date_time_ymd(2124, 1, 1);
    leaf.subject_alt_names.push(SanType::URI("sallyport://dmz.eu/gateway/gateway-0".try_into().unwrap()));
    let chain_pem = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap().pem();
    (bundle, KeyMaterial { chain_pem, key_pem: key.serialize_pem().into() })
}

fn expecting(trust: &TrustBundle) -> Arc<ClientConfig> {
    let region = RegionId::parse("dmz", "eu").unwrap();
    let gateways = ExpectedServer::new(region, |role| matches!(role, Role::Gateway(_)));
    client_expecting(gateways, None, trust, &[]).unwrap()
}

#[tokio::test]
async fn a_server_of_an_ended_ca_is_refused() {
    let current = Ca::new("dmz", "eu").bundle();
    for (until, label) in [(2100, "ok"), (2025, "unknownIssuer")] {
        let (bundle, own) = thief(until);
        let door = || server(&own, ClientAuth::None, &[]).unwrap();
        // Alone, and beside the current generation.
        for trust in [bundle.clone(), bundle.union(&current)] {
            assert_eq!(outcome(client(None, &trust, &[]).unwrap(), door()).await.0, label);
            assert_eq!(outcome(expecting(&trust), door()).await.0, label);
        }
    }
}

#[tokio::test]
async fn a_client_of_an_ended_ca_is_refused_and_the_current_ones_are_not() {
    let ca = Ca::new("dmz", "eu");
    let good = material(&ca.endpoint("lyon", "ct"));
    for (until, label) in [(2100, "ok"), (2025, "unknownIssuer")] {
        let (bundle, stolen) = thief(until);
        let both = bundle.union(&ca.bundle());
        for (trust, own, label) in [(&bundle, &stolen, label), (&both, &stolen, label), (&both, &good, "ok")] {
            let door = server(&material(&ca.outer_door("localhost")), ClientAuth::Required(trust), &[]).unwrap();
            let dial = client(Some(own), &ca.bundle(), &[]).unwrap();
            assert_eq!(outcome(dial, door).await.1, label, "{until}");
        }
    }
}
