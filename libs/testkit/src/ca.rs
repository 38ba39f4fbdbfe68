//! A throw-away private CA of one region. It needs no clock: everything is valid from 2024 for a century, except what is
//! asked to be expired.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::DnsName;
use sallyport_core::name::{EndpointId, Name, RegionId};
use sallyport_pki::authority::{Authority, AuthoritySubject, LeafRequest, Serial};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::profile::Profile;
use sallyport_pki::revocation::{Reason, Revocation};
use zeroize::Zeroizing;

const HOUR: Duration = Duration::from_secs(3600);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A certificate with its key.
#[derive(Clone)]
pub struct Credential {
    /// The leaf.
    pub der: Vec<u8>,
    /// The leaf as PEM: the whole chain, since the CA issues it directly.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: Zeroizing<String>,
    /// Serial number in hex.
    pub serial: String,
}

impl Credential {
    /// The key, for signing.
    pub fn key(&self) -> PrivateKey {
        PrivateKey::from_pem(&self.key_pem).expect("a key that this crate made")
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.serial)
    }
}

/// The CA of one region.
#[derive(Debug)]
pub struct Ca {
    authority: Authority,
    key_pem: Zeroizing<String>,
    region: RegionId,
}

impl Ca {
    /// A new CA, with a key of its own, for a region.
    pub fn new(namespace: &str, region: &str) -> Self {
        Self::generation(namespace, region, 1)
    }

    /// Another generation of the CA, with a key of its own.
    pub fn generation(namespace: &str, region: &str, number: u32) -> Self {
        Self::of(RegionId::parse(namespace, region).expect("names"), number)
    }

    fn of(region: RegionId, number: u32) -> Self {
        let subject = AuthoritySubject { common_name: "Sallyport test CA".to_owned(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
        let key_pem = key.to_pem();
        let authority = Authority::create(number, &subject, Box::new(key), CENTURY, serial(), start()).expect("a CA");
        Self { authority, key_pem, region }
    }

    /// The generation after this one, for the same region: another key, another subject.
    #[must_use]
    pub fn next(&self) -> Self {
        let number = self.authority.generation().number + 1;
        Self::of(self.region.clone(), number)
    }

    /// Its region.
    pub fn region(&self) -> &RegionId {
        &self.region
    }

    /// The CA itself, for what is not wrapped here.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The CA's key, PKCS#8, as an operator keeps it in a Secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Trust in this CA alone.
    pub fn bundle(&self) -> TrustBundle {
        self.authority.bundle()
    }

    /// Trust in this generation and another.
    pub fn bundle_with(&self, other: &Self) -> TrustBundle {
        self.bundle().union(&other.bundle())
    }

    /// The revocation list (DER) that revokes these, valid for a century.
    pub fn revocation_list(&self, number: u64, revoked: &[&Credential]) -> Vec<u8> {
        self.revocation_list_for(number, revoked, CENTURY)
    }

    /// The same, valid for one hour in 2024.
    pub fn expired_revocation_list(&self, number: u64, revoked: &[&Credential]) -> Vec<u8> {
        self.revocation_list_for(number, revoked, HOUR)
    }

    /// The same, valid from 2024 for this long.
    pub fn revocation_list_for(&self, number: u64, revoked: &[&Credential], lifetime: Duration) -> Vec<u8> {
        let revocation = |credential: &&Credential| Revocation {
            serial_hex: credential.serial.clone(),
            at: start(),
            reason: Reason::KeyCompromise,
        };
        let revoked: Vec<_> = revoked.iter().map(revocation).collect();
        let end = start() + jiff::SignedDuration::try_from(lifetime).expect("a lifetime");
        self.authority.revocation_list(&revoked, number, start(), end).expect("a revocation list")
    }

    /// Any profile, valid for a century.
    pub fn issue(&self, profile: Profile) -> Credential {
        self.issue_for(profile, CENTURY)
    }

    /// Any profile, valid for one hour in 2024.
    pub fn issue_expired(&self, profile: Profile) -> Credential {
        self.issue_for(profile, HOUR)
    }

    /// Any profile for a key that the caller made, valid for a century.
    pub fn issue_to(&self, key: &PrivateKey, profile: Profile) -> Credential {
        self.issue_to_for(key, profile, CENTURY)
    }

    fn issue_for(&self, profile: Profile, lifetime: Duration) -> Credential {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
        self.issue_to_for(&key, profile, lifetime)
    }

    fn issue_to_for(&self, key: &PrivateKey, profile: Profile, lifetime: Duration) -> Credential {
        let request = LeafRequest {
            region: self.region.clone(),
            profile,
            public_key: key.public_key(),
            lifetime,
            serial: serial(),
        };
        let leaf = self.authority.issue(&request, start()).expect("a certificate");
        Credential { der: leaf.der, chain_pem: leaf.pem, key_pem: key.to_pem(), serial: leaf.serial }
    }

    /// The config signer's certificate.
    pub fn config_signer(&self) -> Credential {
        self.issue(Profile::ConfigSigner)
    }

    /// An agent's certificate.
    pub fn endpoint(&self, namespace: &str, name: &str) -> Credential {
        self.issue(Profile::Endpoint(EndpointId::parse(namespace, name).expect("names")))
    }

    /// A replica's own certificate, valid for `localhost`.
    pub fn gateway(&self, pod: &str) -> Credential {
        self.issue(Profile::GatewayPeer { pod: name(pod), dns: host("localhost") })
    }

    /// The certificate that every replica begins with, valid for `localhost`.
    pub fn gateway_bootstrap(&self) -> Credential {
        self.issue(Profile::GatewayBootstrap { dns: host("localhost") })
    }

    /// The inner door's certificate.
    pub fn inner_door(&self, name: &str) -> Credential {
        self.issue(Profile::InnerDoor { host: host(name) })
    }

    /// The operator's certificate.
    pub fn operator(&self) -> Credential {
        self.issue(Profile::Operator)
    }

    /// The outer door's certificate.
    pub fn outer_door(&self, name: &str) -> Credential {
        self.issue(Profile::OuterDoor { host: host(name) })
    }
}

/// When everything of this crate begins to be valid.
pub fn start() -> Timestamp {
    "2024-01-01T00:00:00Z".parse().expect("a timestamp")
}

/// A DNS name.
pub fn host(name: &str) -> DnsName<'static> {
    DnsName::try_from(name.to_owned()).expect("a host name")
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Unlike any other of this process; a test needs no more.
fn serial() -> Serial {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Serial::from_random(bytes)
}
