//! Access policies: selectors to devices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sallyport_api::{AccessPolicy, CustomerSite, Device};
use sallyport_core::config;
use sallyport_core::name::{DeviceId, Name};

use super::selector::Selector;
use crate::catalogue::{Catalogue, ObjectKey};
use crate::problem::{Problem, field, judge_site};

/// What a policy covers now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Sites it selects.
    pub sites: u32,
    /// Devices it selects.
    pub devices: u32,
}

/// The parts of a policy that depend on no other object.
pub(crate) struct Rules<'a> {
    sites: Selector<'a>,
    devices: Selector<'a>,
    policy: config::Policy,
}

/// Reads a policy's own fields.
pub(crate) fn rules(policy: &AccessPolicy) -> Result<Rules<'_>, Problem> {
    let spec = &policy.spec;
    let sites = Selector::new(&spec.site_selector).map_err(|why| field("spec.siteSelector", why))?;
    let devices = Selector::new(&spec.device_selector).map_err(|why| field("spec.deviceSelector", why))?;
    let users = spec.subjects.users.iter().map(|u| u.parse()).collect::<Result<_, _>>();
    let services = spec.services.iter().map(|s| s.parse::<Name>()).collect::<Result<BTreeSet<_>, _>>();
    if spec.max_session.length().is_zero() {
        return Err(field("spec.maxSession", "must not be 0"));
    }
    let policy = config::Policy {
        users: users.map_err(|e| field("spec.subjects.users", e))?,
        groups: spec.subjects.groups.iter().cloned().collect(),
        devices: BTreeSet::new(),
        services: services.map_err(|e| field("spec.services", e))?,
        max_session: spec.max_session.length(),
    };
    Ok(Rules { sites, devices, policy })
}

/// A policy with the devices it covers among `members`.
pub(super) fn resolve<'a>(
    policy: &AccessPolicy,
    sites: impl Iterator<Item = (&'a ObjectKey, &'a Arc<CustomerSite>)>,
    members: &[(&CustomerSite, &Device, DeviceId)],
    all: &Catalogue,
) -> Result<(config::Policy, Coverage), Problem> {
    let Rules { sites: selects_site, devices: selects_device, mut policy } = rules(policy)?;
    let labels = |labels: &'a Option<BTreeMap<String, String>>| labels.as_ref();
    let sites = sites.filter(|(_, site)| selects_site.matches(labels(&site.metadata.labels)));
    let sites = sites.filter(|(_, site)| judge_site(site, all).is_ok()).count();
    policy.devices = members
        .iter()
        .filter(|(site, _, _)| selects_site.matches(site.metadata.labels.as_ref()))
        .filter(|(_, device, _)| selects_device.matches(device.metadata.labels.as_ref()))
        .map(|(_, _, id)| id.clone())
        .collect();
    let coverage = Coverage { sites: count(sites), devices: count(policy.devices.len()) };
    Ok((policy, coverage))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
