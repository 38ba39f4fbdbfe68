//! What a gateway enforces: the resolved configuration of one region. The operator compiles it from the objects,
//! sends it as a snapshot and then as changes; a gateway keeps it on its own volume and starts from it (I9).
//!
//! All references are resolved and all text is parsed: whatever the gateway reads here it may act on.

mod change;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::address::TargetAddress;
use crate::engineer::UserId;
use crate::level::{AccessLevel, DeviceClass};
use crate::name::{DeviceId, EndpointId, Name, PolicyId, SiteId};

pub use change::{Change, Entry, Key};

/// The whole configuration of one region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionConfig {
    /// Settings of the region itself.
    pub settings: Settings,
    /// Who may hold a tunnel.
    pub endpoints: BTreeMap<EndpointId, Endpoint>,
    /// What can be reached through them.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Who may reach what.
    pub policies: BTreeMap<PolicyId, Policy>,
}

/// Settings of the region itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The replicas of the region, by pod name: the peers to ask for a tunnel.
    pub gateways: BTreeSet<Name>,
    /// The host name agents dial; the outer door's certificate carries it.
    pub outer_host: String,
    /// The host name engineers dial; the inner door's certificate carries it.
    pub inner_host: String,
    /// Certificates (PEM) of the authorities whose engineers the inner door admits. Empty: nobody (closed by default).
    pub engineer_authorities: String,
    /// A session without traffic for this long ends (R23). Default 15 min.
    pub idle_timeout: Duration,
    /// No session is longer than this, whatever a policy says. Default 4 h.
    pub max_session: Duration,
    /// How long live sessions may go on when a gateway is told to stop. Default 60 s.
    pub drain_grace: Duration,
    /// Number of the 30-day period (since 1970) in which the endpoints' offers were signed. Offers live 90 days, so
    /// when it changes the operator signs and sends all of them anew.
    pub offers_period: u64,
    /// Who of the vendor's staff may read the region's audit records. Empty: nobody (closed by default).
    pub auditors: Auditors,
}

/// Engineers who may read audit records at the inner door, by user id or group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auditors {
    /// Users.
    pub users: BTreeSet<UserId>,
    /// Groups, each spelled exactly as in certificates.
    pub groups: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateways: BTreeSet::new(),
            outer_host: String::new(),
            inner_host: String::new(),
            engineer_authorities: String::new(),
            idle_timeout: Duration::from_secs(15 * 60),
            max_session: Duration::from_secs(4 * 3600),
            drain_grace: Duration::from_secs(60),
            offers_period: 0,
            auditors: Auditors::default(),
        }
    }
}

/// A tunnel endpoint of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its site.
    pub site: SiteId,
    /// The site or the endpoint is suspended (R139): no tunnel is accepted, live ones are cut.
    pub suspended: bool,
    /// The signed [`crate::offer::Offer`] for its agent, as `sallyport-pki` encodes it. Opaque to the gateway.
    pub offer: Vec<u8>,
}

/// A device behind an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its site.
    pub site: SiteId,
    /// It is suspended (R139): no session is opened, live ones are cut.
    pub suspended: bool,
    /// The endpoint it is behind.
    pub endpoint: EndpointId,
    /// The customer's name, for people.
    pub customer: String,
    /// The product, for people: "Manufacturer Model (serial)".
    pub product: String,
    /// Decides who must approve.
    pub class: DeviceClass,
    /// The strictest level of site and device.
    pub level: AccessLevel,
    /// Where it is behind the endpoint.
    pub address: TargetAddress,
    /// What it offers.
    pub services: BTreeMap<Name, Service>,
}

/// A declared service of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// TCP port.
    pub port: u16,
    /// What is spoken on it; tells the CLI and the console how to present it.
    pub protocol: Protocol,
    /// Using it does not interfere with examinations (R15).
    pub examination_safe: bool,
}

/// What is spoken on a service's port.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// A web page over TLS.
    Https,
    /// A secure shell.
    Ssh,
    /// Anything else over TCP.
    Tcp,
    /// A screen (RFB).
    Vnc,
}

impl Protocol {
    /// The spelling used in YAML and tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Ssh => "ssh",
            Self::Tcp => "tcp",
            Self::Vnc => "vnc",
        }
    }
}

/// An access policy with its selectors resolved to devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Users it names.
    pub users: BTreeSet<UserId>,
    /// Groups it names.
    pub groups: BTreeSet<String>,
    /// Devices it covers now.
    pub devices: BTreeSet<DeviceId>,
    /// Services it allows; empty means every declared service.
    pub services: BTreeSet<Name>,
    /// The longest session it grants.
    pub max_session: Duration,
}
