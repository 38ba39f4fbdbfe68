//! Objects to configuration: everything that may attach to a region, with references resolved and text parsed. What
//! has a problem is left out; its own status says so ([`crate::problem`]).

mod policy;
mod selector;

use std::collections::{BTreeMap, BTreeSet};

use sallyport_api::device::Product;
use sallyport_api::{CustomerSite, Device, DmzRegion, TunnelEndpoint};
use sallyport_core::config::{self, Auditors, RegionConfig, Service, Settings};
use sallyport_core::level::AccessLevel;
use sallyport_core::name::{DeviceId, EndpointId, Name, PolicyId, SiteId};
use sallyport_core::offer::{OfferedDevice, OfferedService};

use crate::audit;
use crate::catalogue::{Catalogue, ObjectKey};
use crate::names;
use crate::problem::{Problem, field, judge_device, judge_endpoint, judge_policy, judge_site};

pub use policy::Coverage;
pub(crate) use policy::rules as policy_rules;

/// The configuration of one region, and what is not in it.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What the gateways enforce. The endpoints' offers are empty: whoever holds the signing key fills them.
    pub config: RegionConfig,
    /// What each endpoint's agent may connect to.
    pub offers: BTreeMap<EndpointId, Vec<OfferedDevice>>,
    /// What each policy covers.
    pub coverage: BTreeMap<PolicyId, Coverage>,
    /// Sites in the configuration.
    pub sites: BTreeSet<SiteId>,
    /// Why the settings are not complete, if so.
    pub settings_problem: Option<Problem>,
}

/// The engineers' authorities as found in the ConfigMap that the region names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorities<'a> {
    /// The key's content.
    Found(&'a str),
    /// There is no such ConfigMap.
    NoConfigMap,
    /// The ConfigMap has no such key.
    NoKey,
}

/// Compiles the configuration of a region.
pub fn compile(
    key: &ObjectKey,
    region: &DmzRegion,
    authorities: Authorities<'_>,
    offers_period: u64,
    all: &Catalogue,
) -> Compiled {
    let (authorities, settings_problem) = match engineers(region, authorities) {
        Ok(pem) => (pem, None),
        Err(problem) => (String::new(), Some(problem)),
    };
    let (auditors, unread) = match audit::auditors(region) {
        Ok(auditors) => (auditors, None),
        Err(problem) => (Auditors::default(), Some(problem)),
    };
    let settings_problem = settings_problem.or(unread).or_else(|| audit::witnesses(region).1);
    let mut compiled = Compiled { settings_problem, ..Compiled::default() };
    compiled.config.settings = Settings { offers_period, auditors, ..settings(key, region, authorities) };
    let mut sites = BTreeMap::new();
    for (site_key, site) in all.sites_of(key) {
        let Ok((id, _)) = judge_site(site, all) else { continue };
        compiled.sites.insert(id);
        sites.insert(site_key, &**site);
    }
    // One pass over all endpoints and devices, not one per site: a namespace may hold a thousand of each.
    let site_of = |namespace: &str, name: &str| sites.get(&ObjectKey::new(namespace, name)).copied();
    for (endpoint_key, endpoint) in all.endpoints.iter() {
        if let Some(site) = site_of(&endpoint_key.namespace, &endpoint.spec.site_ref.name) {
            add_endpoint(&mut compiled, site, endpoint, all);
        }
    }
    let mut members: Vec<(&CustomerSite, &Device, DeviceId)> = Vec::new();
    for (device_key, device) in all.devices.iter() {
        if let Some(site) = site_of(&device_key.namespace, &device.spec.site_ref.name) {
            members.extend(add_device(&mut compiled, site, device, all).map(|id| (site, &**device, id)));
        }
    }
    for (_, policy) in all.policies_of(key) {
        let Ok((id, _)) = judge_policy(policy, all) else { continue };
        let Ok((policy, coverage)) = policy::resolve(policy, all.sites_of(key), &members, all) else { continue };
        compiled.config.policies.insert(id.clone(), policy);
        compiled.coverage.insert(id, coverage);
    }
    compiled
}

/// The certificates of the engineers' authorities. Unreadable means nobody is let in, and says so.
fn engineers(region: &DmzRegion, found: Authorities<'_>) -> Result<String, Problem> {
    const FIELD: &str = "spec.engineers.clientCertificates.authoritiesRef";
    let wanted = &region.spec.engineers.client_certificates.authorities_ref;
    let text = match found {
        Authorities::Found(text) => text,
        Authorities::NoConfigMap => {
            return Err(field(
                FIELD,
                format!("ConfigMap {:?} does not exist; until it does no engineer is let in", wanted.name),
            ));
        }
        Authorities::NoKey => {
            let why =
                format!("ConfigMap {:?} has no key {:?}; until it has no engineer is let in", wanted.name, wanted.key);
            return Err(field(FIELD, why));
        }
    };
    let bundle = sallyport_pki::bundle::TrustBundle::from_pem(text);
    bundle.map(|bundle| bundle.to_pem()).map_err(|error| {
        let why = format!("key {:?} of ConfigMap {:?}: {error}; no engineer is let in", wanted.key, wanted.name);
        field(FIELD, why)
    })
}

fn settings(key: &ObjectKey, region: &DmzRegion, engineer_authorities: String) -> Settings {
    let spec = &region.spec;
    Settings {
        gateways: (0..spec.replicas).filter_map(|n| names::pod(&key.name, n).parse().ok()).collect(),
        outer_host: spec.outer.host.clone(),
        inner_host: spec.inner.host.clone(),
        engineer_authorities,
        idle_timeout: spec.sessions.idle_timeout.length(),
        max_session: spec.sessions.max_session.length(),
        drain_grace: spec.sessions.drain_grace.length(),
        ..Settings::default()
    }
}

fn add_endpoint(compiled: &mut Compiled, site: &CustomerSite, endpoint: &TunnelEndpoint, all: &Catalogue) {
    let Ok((id, site_id, _)) = judge_endpoint(endpoint, all) else { return };
    compiled.offers.entry(id.clone()).or_default();
    let entry = config::Endpoint { site: site_id, suspended: site.spec.suspended, offer: Vec::new() };
    compiled.config.endpoints.insert(id, entry);
}

fn add_device(compiled: &mut Compiled, site: &CustomerSite, device: &Device, all: &Catalogue) -> Option<DeviceId> {
    let judged = judge_device(device, all).ok()?;
    let spec = &device.spec;
    let services: BTreeMap<Name, _> = spec
        .services
        .iter()
        .filter_map(|s| {
            let service = Service { port: s.port, protocol: s.protocol, examination_safe: s.examination_safe };
            Some((s.name.parse().ok()?, service))
        })
        .collect();
    let offered = services.iter().map(|(name, s)| OfferedService { name: name.clone(), port: s.port }).collect();
    let offered = OfferedDevice { id: judged.id.clone(), address: judged.address.clone(), services: offered };
    compiled.offers.entry(judged.endpoint.clone()).or_default().push(offered);
    let entry = config::Device {
        site: judged.site,
        suspended: spec.suspended,
        endpoint: judged.endpoint,
        customer: site.spec.customer.name.clone(),
        product: product(&spec.product),
        class: spec.product.class,
        level: effective_access(site, device),
        address: judged.address,
        services,
    };
    compiled.config.devices.insert(judged.id.clone(), entry);
    Some(judged.id)
}

/// The level that applies to a device: the strictest of the site's and its own.
pub fn effective_access(site: &CustomerSite, device: &Device) -> AccessLevel {
    AccessLevel::effective([site.spec.access.ceiling, device.spec.access.ceiling])
}

fn product(product: &Product) -> String {
    let manufacturer = product.manufacturer.as_deref().map(|m| format!("{m} ")).unwrap_or_default();
    format!("{manufacturer}{} ({})", product.model, product.serial_number)
}

/// Seconds of a period in which offers are signed: 30 days, a third of their signer's life (`docs/design/contracts.md`).
const OFFERS_PERIOD: i64 = 30 * 86_400;

/// The period in which offers signed now fall, and the time at which the next begins.
pub fn signing_period(now: jiff::Timestamp) -> (u64, jiff::Timestamp) {
    let period = now.as_second().max(0) / OFFERS_PERIOD;
    let next = jiff::Timestamp::from_second((period + 1).saturating_mul(OFFERS_PERIOD)).unwrap_or(jiff::Timestamp::MAX);
    (period.unsigned_abs(), next)
}
