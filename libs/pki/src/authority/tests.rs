//! What a CA issues: never more than the profile says, never beyond its own end.

use proptest::prelude::*;
use sallyport_core::name::EndpointId;
use x509_parser::extensions::GeneralName;

use super::*;
use crate::bundle::BundleError;
use crate::key::{KeyAlgorithm, PrivateKey};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn now() -> Timestamp {
    "2026-11-24T08:00:00.123Z".parse().unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

fn boxed() -> Box<dyn AuthorityKey> {
    Box::new(key())
}

/// The same key once more.
fn again(key: &PrivateKey) -> Box<dyn AuthorityKey> {
    Box::new(PrivateKey::from_pem(&key.to_pem()).unwrap())
}

fn subject(common_name: &str) -> AuthoritySubject {
    AuthoritySubject { common_name: common_name.to_owned(), organization: Some("Vendor".to_owned()) }
}

fn authority() -> Authority {
    Authority::create(3, &subject("Sallyport frankfurt"), boxed(), YEAR, Serial::from_random([7; 16]), now()).unwrap()
}

fn request(profile: Profile, lifetime: Duration) -> LeafRequest {
    let region = RegionId::parse("dmz-eu", "frankfurt").unwrap();
    LeafRequest { region, profile, public_key: key().public_key(), lifetime, serial: Serial::from_random([9; 16]) }
}

fn profiles() -> Vec<Profile> {
    let host = |name: &str| rustls_pki_types::DnsName::try_from(name.to_owned()).unwrap();
    vec![
        Profile::ConfigSigner,
        Profile::Endpoint(EndpointId::parse("lyon", "ct-room-2").unwrap()),
        Profile::GatewayBootstrap { dns: host("gateways.dmz.svc") },
        Profile::GatewayPeer { pod: "gateway-0".parse().unwrap(), dns: host("gateway-0.gateways.dmz.svc") },
        Profile::InnerDoor { host: host("inner.vendor.example") },
        Profile::Operator,
        Profile::OuterDoor { host: host("service.vendor.example") },
    ]
}

#[test]
fn a_leaf_says_exactly_what_its_profile_says() {
    let ca = authority();
    for profile in profiles() {
        let request = request(profile.clone(), profile.default_lifetime());
        let leaf = ca.issue(&request, now()).unwrap();
        let certificate = inspect::parse(&leaf.der).unwrap();
        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        let uri = profile.identity(&request.region).map(|identity| identity.to_string());
        let dns = profile.dns_name().map(|name| name.as_ref().to_owned());
        let mut expected: Vec<GeneralName<'_>> = uri.iter().map(|uri| GeneralName::URI(uri)).collect();
        expected.extend(dns.iter().map(|name| GeneralName::DNSName(name)));
        assert_eq!(*names, expected, "{profile:?}");
        assert!(!certificate.basic_constraints().unwrap().unwrap().value.ca);
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.flags == 1, "digitalSignature alone");
        assert_eq!(certificate.subject().to_string(), format!("CN={}", profile.common_name()));
        assert_eq!(certificate.public_key().raw, request.public_key.spki_der());
        assert_eq!(inspect::serial_hex(&leaf.der).unwrap(), leaf.serial);
        certificate.verify_signature(Some(inspect::parse(&ca.der).unwrap().public_key())).unwrap();
    }
}

#[test]
fn extended_key_usages_keep_the_roles_apart() {
    let ca = authority();
    let usages = |profile: &Profile| {
        let leaf = ca.issue(&request(profile.clone(), YEAR), now()).unwrap();
        let certificate = inspect::parse(&leaf.der).unwrap();
        let eku = certificate.extended_key_usage().unwrap().unwrap().value.clone();
        assert!(!eku.any && eku.other.is_empty());
        (eku.client_auth, eku.server_auth, eku.code_signing)
    };
    for profile in profiles() {
        let expected = match profile {
            Profile::ConfigSigner => (false, false, true),
            Profile::Endpoint(_) | Profile::Operator => (true, false, false),
            Profile::GatewayPeer { .. } => (true, true, false),
            Profile::GatewayBootstrap { .. } | Profile::InnerDoor { .. } | Profile::OuterDoor { .. } => {
                (false, true, false)
            }
        };
        assert_eq!(usages(&profile), expected, "{profile:?}");
    }
}

#[test]
fn doors_tell_the_internet_nothing_but_their_host() {
    let ca = authority();
    for profile in profiles().into_iter().filter(|p| p.identity(&request(p.clone(), YEAR).region).is_none()) {
        let leaf = ca.issue(&request(profile, YEAR), now()).unwrap();
        for secret in ["dmz-eu", "gateway-0", "sallyport://"] {
            assert!(!leaf.der.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret}");
        }
        assert!(matches!(inspect::identity(&leaf.der), Err(inspect::IdentityRefused::None)));
    }
}

#[test]
fn a_ca_is_a_ca_for_leaves_only() {
    let ca = authority();
    let certificate = inspect::parse(&ca.der).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    assert_eq!(certificate.subject().to_string(), "O=Vendor, CN=Sallyport frankfurt G3");
    assert_eq!(ca.not_before().to_string(), "2026-11-24T07:55:00Z");
    assert_eq!(ca.not_after().to_string(), "2027-11-24T08:00:00Z");
    assert_eq!(ca.generation().fingerprint, ca.fingerprint());
}

#[test]
fn a_stored_ca_issues_the_same_chain() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
        let key = PrivateKey::generate(algorithm).unwrap();
        let serial = Serial::from_random([1; 16]);
        let made = Authority::create(1, &subject("Zürich"), again(&key), YEAR, serial, now()).unwrap();
        let loaded = Authority::load(1, &made.certificate_pem(), Box::new(key)).unwrap();
        assert_eq!(loaded.generation(), made.generation());
        let leaf = loaded.issue(&request(Profile::Operator, YEAR), now()).unwrap();
        let issuer = inspect::parse(&made.der).unwrap();
        let certificate = inspect::parse(&leaf.der).unwrap();
        assert_eq!(certificate.issuer().as_raw(), issuer.subject().as_raw());
        certificate.verify_signature(Some(issuer.public_key())).unwrap();
    }
}

/// The key of a token that is not reached any more.
#[derive(Debug)]
struct Lost(PrivateKey);

impl rcgen::PublicKeyData for Lost {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        rcgen::PublicKeyData::algorithm(&self.0)
    }
}

impl rcgen::SigningKey for Lost {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Err(rcgen::Error::RemoteKeyError)
    }
}

impl AuthorityKey for Lost {}

#[test]
fn a_token_that_does_not_sign_is_an_error_each_time() {
    let serial = Serial::from_random([7; 16]);
    let create = |key| Authority::create(1, &subject("CA"), key, YEAR, serial, now());
    let refused = create(Box::new(Lost(key()))).unwrap_err();
    assert_eq!(refused, AuthorityError::Key(KeyError::Sign));
    let own = key();
    let made = create(again(&own)).unwrap();
    let lost = Authority::load(1, &made.certificate_pem(), Box::new(Lost(own))).unwrap();
    assert_eq!(lost.issue(&request(Profile::Operator, YEAR), now()).unwrap_err(), IssueError::Sign);
    let list = lost.revocation_list(&[], 1, now(), now() + SignedDuration::from_hours(1));
    assert_eq!(list.unwrap_err(), ListError::Sign);
}

/// A token's key of a kind that is not ours.
#[derive(Debug)]
struct Foreign(rcgen::KeyPair);

impl rcgen::PublicKeyData for Foreign {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        rcgen::PublicKeyData::algorithm(&self.0)
    }
}

impl rcgen::SigningKey for Foreign {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

impl AuthorityKey for Foreign {}

#[test]
fn what_is_no_ca_is_not_loaded() {
    let (own, other, serial) = (key(), authority(), Serial::from_random([7; 16]));
    let ca = Authority::create(3, &subject("Sallyport frankfurt"), again(&own), YEAR, serial, now()).unwrap();
    let leaf = ca.issue(&request(Profile::Operator, YEAR), now()).unwrap();
    let load = |certificate: &str, key| Authority::load(1, certificate, key).unwrap_err();
    assert_eq!(load(&ca.certificate_pem(), boxed()), AuthorityError::ForeignKey);
    let ed = Box::new(Foreign(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()));
    assert_eq!(load(&ca.certificate_pem(), ed), AuthorityError::Key(KeyError::Algorithm { found: "Ed25519" }));
    assert_eq!(load(&leaf.pem, again(&own)), AuthorityError::Bundle(BundleError::NotAuthority { position: 1 }));
    let two = ca.certificate_pem() + &other.certificate_pem();
    assert_eq!(load(&two, again(&own)), AuthorityError::Several);
    assert_eq!(load(&(ca.certificate_pem() + &ca.certificate_pem()), again(&own)), AuthorityError::Several);
}

#[test]
fn a_foreign_ca_or_one_with_a_rich_subject_is_not_loaded() {
    let (own, root) = (key(), key());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::from_params(&params, root.pair());
    let mut subordinate = params.clone();
    subordinate.distinguished_name.push(DnType::CommonName, "subordinate");
    let cross = subordinate.signed_by(own.pair(), &issuer).unwrap();
    assert_eq!(Authority::load(1, &cross.pem(), again(&own)).unwrap_err(), AuthorityError::NotSelfSigned);
    params.distinguished_name.push(DnType::OrganizationalUnitName, "one");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 11]), "two");
    let rich = params.self_signed(own.pair()).unwrap();
    assert_eq!(Authority::load(1, &rich.pem(), again(&own)).unwrap_err(), AuthorityError::Subject);
}

#[test]
fn nothing_is_issued_outside_the_cas_validity_or_for_its_own_key() {
    let ca = authority();
    let operator = request(Profile::Operator, YEAR);
    let late = ca.issue(&operator, ca.not_after()).unwrap_err();
    assert_eq!(late, IssueError::Expired { generation: 3, not_after: ca.not_after() });
    let early = ca.issue(&operator, now() - SignedDuration::from_hours(1)).unwrap_err();
    assert_eq!(early, IssueError::NotYetValid { generation: 3, not_before: ca.not_before() });
    let own = LeafRequest { public_key: ca.public_key.clone(), ..operator.clone() };
    assert_eq!(ca.issue(&own, now()).unwrap_err(), IssueError::AuthorityKey);
    let endless = LeafRequest { lifetime: Duration::MAX, ..operator };
    assert_eq!(ca.issue(&endless, now()).unwrap_err(), IssueError::Lifetime);
    let host = rustls_pki_types::DnsName::try_from("under_score.example".to_owned()).unwrap();
    assert_eq!(ca.issue(&request(Profile::OuterDoor { host }, YEAR), now()).unwrap_err(), IssueError::Name);
}

#[test]
fn subjects_that_a_certificate_cannot_carry_are_refused() {
    for common_name in ["", " ca", "c\na", &"x".repeat(49)] {
        let made = Authority::create(1, &subject(common_name), boxed(), YEAR, Serial::from_random([1; 16]), now());
        assert_eq!(made.unwrap_err(), AuthorityError::Subject, "{common_name:?}");
    }
}

#[test]
fn a_clock_that_makes_no_sense_makes_no_ca() {
    let create = |now| Authority::create(1, &subject("CA"), boxed(), YEAR, Serial::from_random([1; 16]), now).map(drop);
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        assert_eq!(create(now), Err(AuthorityError::Lifetime), "{now}");
    }
    assert_eq!(create(now()), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// "No outliving": a leaf lies within its issuer's validity, covers now, and ends with its lifetime if it can.
    #[test]
    fn no_leaf_outlives_its_issuer(
        ca_days in 1u64..4000,
        leaf_seconds in 1u64..400_000_000,
        after in 0i64..400_000_000,
        nanos in 0i32..1_000_000_000,
    ) {
        let lifetime = Duration::from_secs(ca_days * 24 * 3600);
        let serial = Serial::from_random([1; 16]);
        let ca = Authority::create(1, &subject("CA"), boxed(), lifetime, serial, now()).unwrap();
        let at = Timestamp::new(now().as_second() + after, nanos).unwrap();
        let asked = Duration::from_secs(leaf_seconds);
        match ca.issue(&request(Profile::Operator, asked), at) {
            Ok(leaf) => {
                let written = inspect::validity(&leaf.der).unwrap();
                prop_assert_eq!((written.not_before, written.not_after), (leaf.not_before, leaf.not_after));
                prop_assert!(leaf.not_before >= ca.not_before() && leaf.not_after <= ca.not_after());
                prop_assert!(leaf.not_before <= at && leaf.not_after.as_second() >= at.as_second());
                let full = at.as_second() + i64::try_from(leaf_seconds).unwrap();
                prop_assert_eq!(leaf.not_after.as_second(), full.min(ca.not_after().as_second()));
            }
            Err(error) => {
                prop_assert!(at >= ca.not_after());
                let expired = IssueError::Expired { generation: 1, not_after: ca.not_after() };
                prop_assert_eq!(error, expired);
            }
        }
    }

    #[test]
    fn any_random_bytes_make_a_positive_serial_of_full_length(bytes in any::<[u8; 16]>()) {
        let ca = authority();
        let serial = Serial::from_random(bytes);
        let leaf = ca.issue(&LeafRequest { serial, ..request(Profile::Operator, YEAR) }, now()).unwrap();
        let certificate = inspect::parse(&leaf.der).unwrap();
        prop_assert_eq!(certificate.raw_serial().len(), 16);
        prop_assert!(certificate.raw_serial()[0] < 0x80);
        prop_assert_eq!(&certificate.raw_serial()[1..], &bytes[1..]);
    }
}
