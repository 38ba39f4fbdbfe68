//! Where this process stands: its region, its name, its files and its ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{Name, RegionId};

/// Invariant I9 says that a gateway starts with the operator gone, I2 that what is revoked gets in nowhere. An operator
/// that runs attaches within seconds of a start and says first what counts, so this long nobody loses anything and no old
/// revocation list opens a door; when none comes, a region without an operator is worth more than the revocations of the
/// time in which this gateway was away.
pub const HOLD: Duration = Duration::from_secs(15);

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
    /// How long after a start the doors for agents and peers wait for an operator to say what counts now; zero is not at
    /// all. [`HOLD`], but in tests.
    pub hold: Duration,
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
