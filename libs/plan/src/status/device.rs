//! Status of a `Device`.

use jiff::Timestamp;
use sallyport_api::Device;
use sallyport_api::common::condition;
use sallyport_api::device::DeviceStatus;
use sallyport_core::level::AccessLevel;

use super::conditions::{More, Standing, Verdict, conditions, suspended};
use crate::enforcement::Progress;
use crate::problem::Problem;

/// What is known of a device.
#[derive(Clone, Debug)]
pub struct DeviceFacts {
    /// Whether it is in the configuration, and with which level.
    pub judged: Result<AccessLevel, Problem>,
    /// Its endpoint has a tunnel.
    pub connected: bool,
    /// While `spec.suspended` is set: how far that is enforced.
    pub suspension: Option<Progress>,
}

/// The status of a device.
pub fn device(device: &Device, facts: &DeviceFacts, now: Timestamp) -> DeviceStatus {
    let verdict = match &facts.judged {
        Ok(_) => Verdict::new(Standing::Ready, "Admitted", "the device is in the region's configuration"),
        Err(problem) => problem.into(),
    };
    let (reason, message) = if facts.connected {
        ("TunnelUp", "the device's endpoint has a tunnel")
    } else {
        ("NoTunnel", "the device's endpoint has no tunnel")
    };
    let connected = More { type_: condition::CONNECTED, holds: facts.connected, reason, message: message.to_owned() };
    let old = device.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    DeviceStatus {
        observed_generation: device.metadata.generation,
        conditions: conditions(
            old,
            &verdict,
            vec![connected, suspended(facts.suspension.as_ref(), CUT)],
            device.metadata.generation,
            now,
        ),
        effective_access: facts.judged.as_ref().ok().copied(),
        suspension: facts.suspension.as_ref().map(|progress| progress.status.clone()),
    }
}

/// What a device's suspension means once it is enforced.
const CUT: &str = "spec.suspended is true: sessions with the device are cut and none is opened";
