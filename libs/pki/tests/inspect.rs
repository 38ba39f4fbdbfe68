//! Who a certificate stands for, with hostile ones: a device is never an engineer, and a doubt is never resolved.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, DnValue, SanType};
use sallyport_core::identity::Role;
use sallyport_pki::inspect::{self, CertificateError, EngineerRefused, IdentityRefused};
use sallyport_testkit::engineers::engineer;
use sallyport_testkit::{Ca, EngineersCa};

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn mail(text: &str) -> SanType {
    SanType::Rfc822Name(text.try_into().unwrap())
}

/// An engineer's certificate, changed.
fn changed(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = engineer("anna@vendor.example", &["ct", "mr"], 2124);
    change(&mut params);
    EngineersCa::new().issue(params).der
}

#[test]
fn each_role_is_read_back() {
    let ca = Ca::new("dmz", "eu");
    for (credential, role) in [
        (ca.operator(), Role::Operator),
        (ca.config_signer(), Role::ConfigSigner),
        (ca.gateway_bootstrap(), Role::GatewayBootstrap),
        (ca.gateway("gateway-0"), Role::Gateway("gateway-0".parse().unwrap())),
    ] {
        let identity = inspect::identity(&credential.der).unwrap();
        assert_eq!((identity.role, &identity.region), (role, ca.region()));
    }
}

#[test]
fn no_certificate_of_the_private_ca_is_an_engineers() {
    let ca = Ca::new("dmz", "eu");
    for machine in [ca.endpoint("lyon", "ct"), ca.operator(), ca.gateway("gateway-0"), ca.config_signer()] {
        assert_eq!(inspect::engineer(&machine.der), Err(EngineerRefused::Machine));
    }
    // The doors name no identity, and their common name is no user id.
    for door in [ca.inner_door("inner.example"), ca.outer_door("outer.example")] {
        assert_eq!(inspect::engineer(&door.der), Err(EngineerRefused::User));
    }
    // Nor does an e-mail address make a machine a human.
    let both = changed(|p| p.subject_alt_names.push(uri("sallyport://dmz.eu/endpoint/lyon/ct")));
    assert_eq!(inspect::engineer(&both), Err(EngineerRefused::Machine));
}

#[test]
fn an_identity_is_one_uri_and_nothing_else() {
    let none = changed(|p| p.distinguished_name.push(DnType::CommonName, "sallyport://dmz.eu/operator"));
    assert_eq!(inspect::identity(&none), Err(IdentityRefused::None));
    let dns = changed(|p| p.subject_alt_names = vec![SanType::DnsName("operator.dmz.eu".try_into().unwrap())]);
    assert_eq!(inspect::identity(&dns), Err(IdentityRefused::None));
    let two = changed(|p| {
        p.subject_alt_names = vec![uri("sallyport://dmz.eu/operator"), uri("https://vendor.example/")];
    });
    assert_eq!(inspect::identity(&two), Err(IdentityRefused::Several { count: 2 }));
    for text in
        ["https://vendor.example/", "sallyport://dmz.eu/root", "sallyport://DMZ.eu/operator", "sallyport:operator"]
    {
        let other = changed(|p| p.subject_alt_names = vec![uri(text)]);
        assert!(matches!(inspect::identity(&other), Err(IdentityRefused::Unparsable(_))), "{text}");
    }
}

#[test]
fn an_engineer_is_named_once() {
    let anna = inspect::engineer(&changed(|_| {})).unwrap();
    assert_eq!(anna.user.to_string(), "anna@vendor.example");
    assert_eq!(anna.not_after.to_string(), "2124-01-01T00:00:00Z");
    let by_name = inspect::engineer(&changed(|p| {
        p.subject_alt_names.clear();
        p.distinguished_name.push(DnType::CommonName, "B12345");
    }));
    assert_eq!(by_name.unwrap().user.to_string(), "b12345");
    let nobody = changed(|p| {
        p.subject_alt_names.clear();
        p.distinguished_name.remove(DnType::CommonName);
    });
    assert_eq!(inspect::engineer(&nobody), Err(EngineerRefused::NoUser));
    let two = changed(|p| p.subject_alt_names.push(mail("eve@vendor.example")));
    assert_eq!(inspect::engineer(&two), Err(EngineerRefused::SeveralUsers));
    let two_names = changed(|p| {
        p.subject_alt_names.clear();
        p.distinguished_name.push(DnType::CommonName, "anna");
        p.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "eve");
    });
    assert_eq!(inspect::engineer(&two_names), Err(EngineerRefused::SeveralUsers));
    let spaced = changed(|p| p.subject_alt_names = vec![mail("anna vendor")]);
    assert_eq!(inspect::engineer(&spaced), Err(EngineerRefused::User));
}

#[test]
fn groups_are_plain_text() {
    for unit in ["", " ct", "c\0t", "c\nt", &"x".repeat(129)] {
        let der = changed(|p| p.distinguished_name.push(DnType::OrganizationalUnitName, unit));
        assert_eq!(inspect::engineer(&der), Err(EngineerRefused::Groups), "{unit:?}");
    }
    let none = changed(|p| p.distinguished_name = rcgen::DistinguishedName::new());
    assert!(inspect::engineer(&none).unwrap().groups.is_empty());
    let odd = changed(|p| {
        let utf32 = DnValue::UniversalString(rcgen::string::UniversalString::try_from("ct").unwrap());
        p.distinguished_name.push(DnType::OrganizationalUnitName, utf32);
    });
    assert!(inspect::engineer(&odd).is_err());
}

#[test]
fn descriptions_are_for_human_eyes() {
    let der = changed(|p| p.distinguished_name.push(DnType::CommonName, "An\nEngineer\u{1b}[31m"));
    let text = inspect::describe(&der).unwrap().to_string();
    assert!(text.contains("issued by CN=Engineers test CA") && !text.contains(char::is_control), "{text}");
    let ca = Ca::new("dmz", "eu");
    let own = ca.operator();
    assert_eq!(inspect::serial_hex(&own.der).unwrap(), own.serial);
    assert_eq!(inspect::public_key(&own.der).unwrap(), own.key().public_key());
    assert_eq!(inspect::fingerprint(ca.authority().certificate_der()), ca.authority().fingerprint());
    let validity = inspect::validity(&own.der).unwrap();
    assert!(validity.contains(validity.not_before) && validity.contains(validity.not_after));
}

#[test]
fn a_certificate_has_nothing_after_it() {
    let mut der = Ca::new("dmz", "eu").operator().der;
    der.push(0);
    assert_eq!(inspect::identity(&der), Err(IdentityRefused::Certificate(CertificateError::Unreadable)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(inspect::identity(&bytes).is_err());
        prop_assert!(inspect::engineer(&bytes).is_err());
        prop_assert!(inspect::describe(&bytes).is_err());
    }

    #[test]
    fn damaged_certificates_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut der = changed(|_| {});
        let at = at.index(der.len());
        der[at] = byte;
        let _ = (inspect::identity(&der), inspect::engineer(&der), inspect::describe(&der).map(|d| d.to_string()));
        let _ = (inspect::validity(&der), inspect::serial_hex(&der), inspect::public_key(&der));
    }
}
