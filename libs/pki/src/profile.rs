//! What each kind of certificate says: names, usages, default lifetime. One table, so that the question "can this
//! certificate be used for that?" is answered in one place.
//!
//! | profile | URI identity | DNS name | extended key usage |
//! |---|---|---|---|
//! | `ConfigSigner` | yes | - | codeSigning (so: no TLS) |
//! | `Endpoint` | yes | - | clientAuth |
//! | `GatewayBootstrap` | yes | yes | serverAuth |
//! | `GatewayPeer` | yes | yes | clientAuth, serverAuth |
//! | `InnerDoor`, `OuterDoor` | **no** | yes | serverAuth |
//! | `Operator` | yes | - | clientAuth |
//!
//! The doors' certificates are seen by anybody who connects, so they name neither region, namespace nor pod.

use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use rustls_pki_types::DnsName;
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{EndpointId, Name, RegionId};

/// A kind of leaf certificate and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The key that signs what agents obey; useless for TLS.
    ConfigSigner,
    /// An agent, as client of the outer door.
    Endpoint(EndpointId),
    /// Every replica's certificate until it has its own: it may only be attached to by the operator.
    GatewayBootstrap {
        /// Name of the headless Service.
        dns: DnsName<'static>,
    },
    /// One replica, towards the operator and its peers.
    GatewayPeer {
        /// Which replica.
        pod: Name,
        /// Its name behind the headless Service.
        dns: DnsName<'static>,
    },
    /// The door that engineers connect to.
    InnerDoor {
        /// The public name of the inner door.
        host: DnsName<'static>,
    },
    /// The operator, as client of the gateways' control port.
    Operator,
    /// The door that agents connect to.
    OuterDoor {
        /// The public name of the outer door.
        host: DnsName<'static>,
    },
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Profile {
    /// The identity it certifies, if any.
    pub fn identity(&self, region: &RegionId) -> Option<Identity> {
        let role = match self {
            Self::ConfigSigner => Role::ConfigSigner,
            Self::Endpoint(endpoint) => Role::Endpoint(endpoint.clone()),
            Self::GatewayBootstrap { .. } => Role::GatewayBootstrap,
            Self::GatewayPeer { pod, .. } => Role::Gateway(pod.clone()),
            Self::Operator => Role::Operator,
            Self::InnerDoor { .. } | Self::OuterDoor { .. } => return None,
        };
        Some(Identity { region: region.clone(), role })
    }

    /// The DNS name it certifies, if any.
    pub fn dns_name(&self) -> Option<&DnsName<'static>> {
        match self {
            Self::GatewayBootstrap { dns } | Self::GatewayPeer { dns, .. } => Some(dns),
            Self::InnerDoor { host } | Self::OuterDoor { host } => Some(host),
            Self::ConfigSigner | Self::Endpoint(_) | Self::Operator => None,
        }
    }

    /// How long it lasts unless an object says otherwise. Renewal is due when a third is left, so an endpoint may be
    /// away for 30 days (R75) and a region's operator for 10 before anything stops; offers are kept by
    /// agents that restart without the operator, so their signer lasts as long as an endpoint.
    pub fn default_lifetime(&self) -> Duration {
        match self {
            Self::ConfigSigner | Self::Endpoint(_) | Self::GatewayBootstrap { .. } => 90 * DAY,
            Self::GatewayPeer { .. } | Self::InnerDoor { .. } | Self::Operator | Self::OuterDoor { .. } => 30 * DAY,
        }
    }

    /// The certificate's common name: the role, for a human's eye. Nothing decides on it.
    pub fn common_name(&self) -> &'static str {
        match self {
            Self::ConfigSigner => "sallyport config signer",
            Self::Endpoint(_) => "sallyport endpoint",
            Self::GatewayBootstrap { .. } => "sallyport gateway bootstrap",
            Self::GatewayPeer { .. } => "sallyport gateway",
            Self::InnerDoor { .. } => "sallyport inner door",
            Self::Operator => "sallyport operator",
            Self::OuterDoor { .. } => "sallyport outer door",
        }
    }

    /// RFC 5280 section 4.2.1.12.
    pub(crate) fn extended_key_usages(&self) -> Vec<ExtendedKeyUsagePurpose> {
        use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
        match self {
            Self::ConfigSigner => vec![CodeSigning],
            Self::Endpoint(_) | Self::Operator => vec![ClientAuth],
            Self::GatewayBootstrap { .. } | Self::InnerDoor { .. } | Self::OuterDoor { .. } => vec![ServerAuth],
            Self::GatewayPeer { .. } => vec![ClientAuth, ServerAuth],
        }
    }

    /// RFC 5280 section 4.2.1.3. An ECDSA key in TLS 1.3 only ever signs.
    pub(crate) fn key_usages(&self) -> Vec<KeyUsagePurpose> {
        vec![KeyUsagePurpose::DigitalSignature]
    }

    /// RFC 5280 section 4.2.1.6; nothing when a name cannot be written as IA5 text.
    pub(crate) fn subject_alt_names(&self, region: &RegionId) -> Option<Vec<SanType>> {
        let mut names = Vec::new();
        if let Some(identity) = self.identity(region) {
            names.push(SanType::URI(identity.to_string().try_into().ok()?));
        }
        if let Some(dns) = self.dns_name() {
            names.push(SanType::DnsName(dns.as_ref().try_into().ok()?));
        }
        Some(names)
    }
}
