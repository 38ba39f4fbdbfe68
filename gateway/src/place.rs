//! Where this process stands: its region, its name, its files and its ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{Name, RegionId};

/// What is fixed for the life of the process.
#[derive(Clone)]
pub struct Place {
    /// The region.
    pub region: RegionId,
    /// The pod's name, which is the gateway's name.
    pub gateway: Name,
    /// Own volume: audit records, last configuration, keys and certificates.
    pub volume: PathBuf,
    /// `tls.crt` and `tls.key` of the bootstrap certificate.
    pub bootstrap: PathBuf,
    /// `ca.crt`, the trust bundle.
    pub trust: PathBuf,
    /// Where the doors listen.
    pub listen: Listen,
    /// Under which `host:port` a replica's peer port is dialled.
    pub peer_address: Arc<dyn Fn(&Name) -> String + Send + Sync>,
}

/// Listening addresses.
#[derive(Clone, Debug)]
pub struct Listen {
    /// For agents.
    pub outer: SocketAddr,
    /// For engineers.
    pub inner: SocketAddr,
    /// For the operator.
    pub control: SocketAddr,
    /// For the other replicas.
    pub peer: SocketAddr,
    /// Metrics and health.
    pub admin: SocketAddr,
}

impl Place {
    /// Number at the end of the pod's name, which session ids begin with.
    pub fn ordinal(&self) -> &str {
        ordinal(self.gateway.as_str())
    }

    /// Whether an identity is another replica of this region.
    pub fn is_peer(&self, identity: &Identity) -> bool {
        identity.region == self.region && matches!(identity.role, Role::Gateway(_))
    }

    /// The identity of a replica.
    pub fn peer_identity(&self, gateway: &Name) -> Identity {
        Identity { region: self.region.clone(), role: Role::Gateway(gateway.clone()) }
    }
}

/// Number at the end of a gateway's name.
pub fn ordinal(gateway: &str) -> &str {
    gateway.rsplit('-').next().unwrap_or(gateway)
}
