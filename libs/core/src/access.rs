//! The access decision: an ordered list of small named checks, from who asks to what the customer allows. The first
//! that fails answers, with a typed reason and a sentence that says what would have to change.
//!
//! The same list decides when a session is asked for and, on every change of the configuration, whether it may go on
//! (invariants I1, I2): there is no second way to be allowed.

mod audit;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Device, Policy, RegionConfig, Service};
use crate::engineer::{Engineer, SessionRequest};
use crate::level::{AccessLevel, DeviceClass};
use crate::name::{DeviceId, EndpointId, Name, PolicyId, SiteId};

pub use audit::{AuditDenied, may_audit};

/// Proof that the decision was made for exactly this request. The value that authorises is the value that routes:
/// endpoint, device and service are read from here, never from the request again. Made only by [`decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorised {
    engineer: Engineer,
    request: SessionRequest,
    site: SiteId,
    endpoint: EndpointId,
    policy: PolicyId,
    max_session: Duration,
}

impl Authorised {
    /// Who was allowed.
    pub fn engineer(&self) -> &Engineer {
        &self.engineer
    }

    /// What was asked, with its reason.
    pub fn request(&self) -> &SessionRequest {
        &self.request
    }

    /// The device to reach.
    pub fn device(&self) -> &DeviceId {
        &self.request.device
    }

    /// The service of that device.
    pub fn service(&self) -> &Name {
        &self.request.service
    }

    /// The customer's site.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// The endpoint whose tunnel leads there.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// The policy that allowed it.
    pub fn policy(&self) -> &PolicyId {
        &self.policy
    }

    /// How long the session may be, counted from its opening.
    pub fn max_session(&self) -> Duration {
        self.max_session
    }
}

/// Why not. The variant is the metric label and the machine-readable code; the text is for the engineer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "code")]
pub enum Denied {
    /// R45, R48: somebody at the site would have to say yes.
    #[error("device {device}: {why}; somebody at the site must approve, and this gateway cannot ask the site")]
    ApprovalRequired {
        /// The device asked for.
        device: DeviceId,
        /// Which rule asks for the approval.
        why: String,
    },
    /// The engineer's certificate ended.
    #[error("the certificate of {user} ended at {not_after}; renew it and ask again")]
    CertificateExpired {
        /// Whose.
        user: String,
        /// When.
        not_after: Timestamp,
    },
    /// R139: the device is suspended.
    #[error("device {device} is suspended")]
    DeviceSuspended {
        /// Which device.
        device: DeviceId,
    },
    /// R92: no policy names the engineer for this device.
    #[error(
        "no AccessPolicy lets {user} ({groups}) reach device {device}; ask the platform team for one that covers it"
    )]
    NoPolicyForDevice {
        /// Who asked.
        user: String,
        /// Their groups, for the one who has to write the policy.
        groups: String,
        /// The device asked for.
        device: DeviceId,
    },
    /// R92: no policy names the engineer at all.
    #[error("no AccessPolicy of this region names {user} or a group of theirs ({groups})")]
    NoPolicyForEngineer {
        /// Who asked.
        user: String,
        /// Their groups.
        groups: String,
    },
    /// R93: policies name the engineer and the device, but not this service.
    #[error("the policies that let {user} reach device {device} allow other services only ({allowed})")]
    NoPolicyForService {
        /// Who asked.
        user: String,
        /// The device asked for.
        device: DeviceId,
        /// What they allow.
        allowed: String,
    },
    /// R139: suspended by the vendor or the customer.
    #[error("site {site} is suspended")]
    SiteSuspended {
        /// Which site.
        site: SiteId,
    },
    /// No such device in this region's configuration.
    #[error("this region has no device {device}")]
    UnknownDevice {
        /// The device asked for.
        device: DeviceId,
    },
    /// The device declares no such service.
    #[error("device {device} declares no service {service:?}, only {declared}", service = service.as_str())]
    UnknownService {
        /// The device asked for.
        device: DeviceId,
        /// The service asked for.
        service: Name,
        /// What it declares.
        declared: String,
    },
}

impl Denied {
    /// A closed set of labels for metrics, logs and exit codes.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ApprovalRequired { .. } => "approvalRequired",
            Self::CertificateExpired { .. } => "certificateExpired",
            Self::DeviceSuspended { .. } => "deviceSuspended",
            Self::NoPolicyForDevice { .. } => "noPolicyForDevice",
            Self::NoPolicyForEngineer { .. } => "noPolicyForEngineer",
            Self::NoPolicyForService { .. } => "noPolicyForService",
            Self::SiteSuspended { .. } => "siteSuspended",
            Self::UnknownDevice { .. } => "unknownDevice",
            Self::UnknownService { .. } => "unknownService",
        }
    }
}

/// Decides. The order is behaviour: an engineer whom no policy names learns nothing about devices, and one whom no
/// policy names for a device learns nothing about its site.
pub fn decide(
    config: &RegionConfig,
    engineer: &Engineer,
    request: &SessionRequest,
    now: Timestamp,
) -> Result<Authorised, Denied> {
    certificate_is_valid(engineer, now)?;
    let mine = policies_for_engineer(config, engineer)?;
    let device = device_is_known(config, request)?;
    let covering = policies_for_device(mine, engineer, request)?;
    let service = service_is_declared(device, request)?;
    let (policy, max_session) = policy_for_service(&covering, engineer, request)?;
    site_is_active(config, device)?;
    device_is_active(device, request)?;
    customer_allows(device, service, request)?;
    Ok(Authorised {
        engineer: engineer.clone(),
        request: request.clone(),
        site: device.site.clone(),
        endpoint: device.endpoint.clone(),
        policy: policy.clone(),
        max_session: max_session.min(config.settings.max_session),
    })
}

/// The devices an engineer may ask for, for a list: those a policy of theirs covers.
pub fn visible<'c>(config: &'c RegionConfig, engineer: &Engineer) -> impl Iterator<Item = (&'c DeviceId, &'c Device)> {
    let mine = policies_for_engineer(config, engineer).unwrap_or_default();
    config.devices.iter().filter(move |(id, _)| mine.iter().any(|(_, policy)| policy.devices.contains(id)))
}

type Named<'c> = Vec<(&'c PolicyId, &'c Policy)>;

fn certificate_is_valid(engineer: &Engineer, now: Timestamp) -> Result<(), Denied> {
    if now < engineer.not_after {
        return Ok(());
    }
    Err(Denied::CertificateExpired { user: engineer.user.to_string(), not_after: engineer.not_after })
}

fn policies_for_engineer<'c>(config: &'c RegionConfig, engineer: &Engineer) -> Result<Named<'c>, Denied> {
    let names = |p: &Policy| p.users.contains(&engineer.user) || !p.groups.is_disjoint(&engineer.groups);
    let mine: Named<'_> = config.policies.iter().filter(|(_, policy)| names(policy)).collect();
    if mine.is_empty() {
        return Err(Denied::NoPolicyForEngineer { user: engineer.user.to_string(), groups: groups(engineer) });
    }
    Ok(mine)
}

fn device_is_known<'c>(config: &'c RegionConfig, request: &SessionRequest) -> Result<&'c Device, Denied> {
    config.devices.get(&request.device).ok_or_else(|| Denied::UnknownDevice { device: request.device.clone() })
}

fn policies_for_device<'c>(
    mut mine: Named<'c>,
    engineer: &Engineer,
    request: &SessionRequest,
) -> Result<Named<'c>, Denied> {
    mine.retain(|(_, policy)| policy.devices.contains(&request.device));
    if mine.is_empty() {
        return Err(Denied::NoPolicyForDevice {
            user: engineer.user.to_string(),
            groups: groups(engineer),
            device: request.device.clone(),
        });
    }
    Ok(mine)
}

fn service_is_declared<'c>(device: &'c Device, request: &SessionRequest) -> Result<&'c Service, Denied> {
    device.services.get(&request.service).ok_or_else(|| Denied::UnknownService {
        device: request.device.clone(),
        service: request.service.clone(),
        declared: list(device.services.keys()),
    })
}

/// Of several policies that allow it, the one with the longest session decides; ties go to the first by name.
fn policy_for_service<'c>(
    covering: &Named<'c>,
    engineer: &Engineer,
    request: &SessionRequest,
) -> Result<(&'c PolicyId, Duration), Denied> {
    let allows = |p: &Policy| p.services.is_empty() || p.services.contains(&request.service);
    let allowing = covering.iter().filter(|(_, policy)| allows(policy));
    allowing
        .rev()
        .max_by_key(|(_, policy)| policy.max_session)
        .map(|(id, policy)| (*id, policy.max_session))
        .ok_or_else(|| {
            let allowed: std::collections::BTreeSet<_> = covering.iter().flat_map(|(_, p)| &p.services).collect();
            Denied::NoPolicyForService {
                user: engineer.user.to_string(),
                device: request.device.clone(),
                allowed: list(allowed),
            }
        })
}

fn site_is_active(config: &RegionConfig, device: &Device) -> Result<(), Denied> {
    match config.endpoints.get(&device.endpoint) {
        Some(endpoint) if !endpoint.suspended => Ok(()),
        Some(_) | None => Err(Denied::SiteSuspended { site: device.site.clone() }),
    }
}

fn device_is_active(device: &Device, request: &SessionRequest) -> Result<(), Denied> {
    if device.suspended { Err(Denied::DeviceSuspended { device: request.device.clone() }) } else { Ok(()) }
}

/// Requirements, decision 1. Until the site console exists nobody can be asked, so what needs asking is refused.
fn customer_allows(device: &Device, service: &Service, request: &SessionRequest) -> Result<(), Denied> {
    let why = match (device.class, device.level) {
        (DeviceClass::InVitro, _) => "a laboratory device needs the local user's approval for every session".to_owned(),
        (DeviceClass::InVivo | DeviceClass::Server, AccessLevel::Full) => return Ok(()),
        (DeviceClass::InVivo | DeviceClass::Server, AccessLevel::PermanentLimited) if service.examination_safe => {
            return Ok(());
        }
        (_, AccessLevel::PermanentLimited) => format!(
            "access level permanentLimited covers only services that do not interfere with examinations, and {} may",
            request.service
        ),
        (_, AccessLevel::None) => "access level none means that the customer is asked every time".to_owned(),
    };
    Err(Denied::ApprovalRequired { device: request.device.clone(), why })
}

fn groups(engineer: &Engineer) -> String {
    if engineer.groups.is_empty() { "no groups".to_owned() } else { list(&engineer.groups) }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
