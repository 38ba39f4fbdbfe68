//! What an endpoint's agent may connect to: the operator writes it, its config signer signs it, gateways carry it
//! unopened, the agent obeys it (and narrows it by its local allow-list). A taken-over gateway therefore cannot
//! point an agent at another machine of the hospital (R63, R118).

use serde::{Deserialize, Serialize};

use crate::address::TargetAddress;
use crate::name::{DeviceId, EndpointId, Name};

/// The signed text, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// For whom. An agent refuses an offer for another endpoint.
    pub endpoint: EndpointId,
    /// Milliseconds since 1970 when it was signed. An agent refuses one older than the newest it has seen.
    pub issued_at_ms: u64,
    /// Sorted by id.
    pub devices: Vec<OfferedDevice>,
}

/// One device behind the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfferedDevice {
    /// Which.
    pub id: DeviceId,
    /// Where, as seen from the agent.
    pub address: TargetAddress,
    /// Sorted by name.
    pub services: Vec<OfferedService>,
}

/// One port of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfferedService {
    /// The name an engineer asks for.
    pub name: Name,
    /// TCP port, 1 to 65535.
    pub port: u16,
}

impl Offer {
    /// The address and port of a declared service, or nothing.
    pub fn target(&self, device: &DeviceId, service: &Name) -> Option<(&TargetAddress, u16)> {
        let device = self.devices.iter().find(|d| d.id == *device)?;
        let service = device.services.iter().find(|s| s.name == *service)?;
        Some((&device.address, service.port))
    }

    /// Whether two offers say the same, whenever they were signed.
    pub fn same_content(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.devices == other.devices
    }
}
