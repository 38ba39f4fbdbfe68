//! What came from the operator and is in force: configuration and trust (R58, R139).

use sallyport_core::name::{DeviceId, EndpointId, PolicyId, SiteId};
use serde::{Deserialize, Serialize};

use super::kind::kind;
use crate::text::{Listed, Text};

kind! {
    /// A configuration is in force (R58). What changed for a site stands in the site's log: [`SiteConfigured`].
    ConfigurationApplied {
        /// Its generation.
        generation: u64,
        /// Its digest, in hex.
        digest: Text,
        /// Endpoints in it.
        endpoints: u64,
        /// Devices in it.
        devices: u64,
        /// Policies in it.
        policies: u64,
    }
}

kind! {
    /// R139: no session to this device from now on.
    DeviceSuspended {
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// By which configuration.
        generation: u64,
    }
}

kind! {
    /// R139: the device is reachable again.
    DeviceResumed {
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// By which configuration.
        generation: u64,
    }
}

kind! {
    /// What a configuration changed for this site (R58).
    SiteConfigured {
        /// Which site.
        site: SiteId,
        /// By which configuration.
        generation: u64,
        /// Its endpoints.
        endpoints: Changed<EndpointId>,
        /// Its devices.
        devices: Changed<DeviceId>,
        /// Policies that cover, or covered, a device of it.
        policies: Changed<PolicyId>,
    }
}

kind! {
    /// R139: an endpoint of the site may hold no tunnel from now on.
    SiteSuspended {
        /// Which site.
        site: SiteId,
        /// Which endpoint.
        endpoint: EndpointId,
        /// By which configuration.
        generation: u64,
    }
}

kind! {
    /// R139: an endpoint of the site may hold a tunnel again.
    SiteResumed {
        /// Which site.
        site: SiteId,
        /// Which endpoint.
        endpoint: EndpointId,
        /// By which configuration.
        generation: u64,
    }
}

kind! {
    /// Trust is in force: what it does not allow is cut.
    TrustApplied {
        /// Its digest.
        digest: Text,
        /// Its sequence number.
        sequence: u64,
        /// Certificates that its revocation lists name.
        revoked: u64,
    }
}

/// What became of the objects of one kind, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(bound(serialize = "T: Clone + Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Changed<T> {
    /// New.
    pub added: Listed<T>,
    /// Different.
    pub changed: Listed<T>,
    /// Gone.
    pub removed: Listed<T>,
}

impl<T> Default for Changed<T> {
    fn default() -> Self {
        Self { added: Listed::default(), changed: Listed::default(), removed: Listed::default() }
    }
}

impl<T> Changed<T> {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        [&self.added, &self.changed, &self.removed].into_iter().all(Listed::is_empty)
    }
}
