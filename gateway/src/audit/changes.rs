//! What a configuration changed for each site (R58, R139), for the sites' logs.

use std::collections::{BTreeMap, BTreeSet};

use sallyport_audit::event::{
    Changed, DeviceResumed, DeviceSuspended, LevelChanged, SiteConfigured, SiteResumed, SiteSuspended,
};
use sallyport_audit::{Event, Person};
use sallyport_core::config::{Policy, RegionConfig};
use sallyport_core::name::{DeviceId, EndpointId, PolicyId, SiteId};

/// The events of a step from one configuration to the next. What says the same as before makes none.
pub fn changes(old: &RegionConfig, next: &RegionConfig, generation: u64) -> Vec<Event<Person>> {
    let mut events: Vec<_> = configured(old, next, generation).into_iter().map(Event::SiteConfigured).collect();
    for (id, now) in &next.endpoints {
        let before = old.endpoints.get(id).is_some_and(|before| before.suspended);
        let (site, endpoint) = (now.site.clone(), id.clone());
        match (before, now.suspended) {
            (false, true) => events.push(Event::SiteSuspended(SiteSuspended { site, endpoint, generation })),
            (true, false) => events.push(Event::SiteResumed(SiteResumed { site, endpoint, generation })),
            (false, false) | (true, true) => {}
        }
    }
    for (id, now) in &next.devices {
        let before = old.devices.get(id).is_some_and(|before| before.suspended);
        let (site, device) = (now.site.clone(), id.clone());
        match (before, now.suspended) {
            (false, true) => events.push(Event::DeviceSuspended(DeviceSuspended { site, device, generation })),
            (true, false) => events.push(Event::DeviceResumed(DeviceResumed { site, device, generation })),
            (false, false) | (true, true) => {}
        }
    }
    events.extend(levels(old, next));
    events
}

/// What the customers allow without being asked (R11, R14 to R19). Here it came with the configuration, so nobody is named.
fn levels(old: &RegionConfig, next: &RegionConfig) -> impl Iterator<Item = Event<Person>> {
    next.devices.iter().filter_map(|(id, now)| {
        let before = old.devices.get(id).map(|before| before.level).filter(|before| *before != now.level)?;
        let (site, device) = (now.site.clone(), Some(id.clone()));
        Some(Event::LevelChanged(LevelChanged { by: None, site, device, before, after: now.level, until: None }))
    })
}

#[derive(Default)]
struct Site {
    endpoints: Names<EndpointId>,
    devices: Names<DeviceId>,
    policies: Names<PolicyId>,
}

/// Names of objects of one kind: new, different, gone.
struct Names<T> {
    added: BTreeSet<T>,
    changed: BTreeSet<T>,
    removed: BTreeSet<T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { added: BTreeSet::new(), changed: BTreeSet::new(), removed: BTreeSet::new() }
    }
}

impl<T: Ord> Names<T> {
    /// Notes an object by what it was and what it is.
    fn note<V: PartialEq>(&mut self, name: T, before: Option<&V>, now: Option<&V>) {
        match (before, now) {
            (None, Some(_)) => self.added.insert(name),
            (Some(before), Some(now)) if before != now => self.changed.insert(name),
            (Some(_), None) => self.removed.insert(name),
            (Some(_), Some(_)) | (None, None) => false,
        };
    }

    fn into_changed(self) -> Changed<T> {
        let Self { added, changed, removed } = self;
        Changed {
            added: added.into_iter().collect(),
            changed: changed.into_iter().collect(),
            removed: removed.into_iter().collect(),
        }
    }
}

fn configured(old: &RegionConfig, next: &RegionConfig, generation: u64) -> Vec<SiteConfigured> {
    let mut sites: BTreeMap<&SiteId, Site> = BTreeMap::new();
    // An object that moved to another site is gone from the one and new at the other.
    for id in names(&old.endpoints, &next.endpoints) {
        let (before, now) = (old.endpoints.get(id), next.endpoints.get(id));
        // The offer is signed anew every month, and what it says stands in the devices.
        let (was, is) = (before.map(|e| (&e.site, e.suspended)), now.map(|e| (&e.site, e.suspended)));
        for site in was.iter().chain(&is).map(|(site, _)| *site).collect::<BTreeSet<_>>() {
            let (was, is) = (was.filter(|e| e.0 == site), is.filter(|e| e.0 == site));
            sites.entry(site).or_default().endpoints.note(id.clone(), was.as_ref(), is.as_ref());
        }
    }
    for id in names(&old.devices, &next.devices) {
        let (was, is) = (old.devices.get(id), next.devices.get(id));
        for site in was.iter().chain(&is).map(|device| &device.site).collect::<BTreeSet<_>>() {
            let (was, is) = (was.filter(|d| d.site == *site), is.filter(|d| d.site == *site));
            sites.entry(site).or_default().devices.note(id.clone(), was, is);
        }
    }
    for id in names(&old.policies, &next.policies) {
        let (before, now) = (old.policies.get(id), next.policies.get(id));
        let (was, is) = (sites_of(old, before), sites_of(next, now));
        for site in was.union(&is).copied() {
            let (before, now) = (before.filter(|_| was.contains(site)), now.filter(|_| is.contains(site)));
            sites.entry(site).or_default().policies.note(id.clone(), before, now);
        }
    }
    let configured = sites.into_iter().map(move |(site, names)| SiteConfigured {
        site: site.clone(),
        generation,
        endpoints: names.endpoints.into_changed(),
        devices: names.devices.into_changed(),
        policies: names.policies.into_changed(),
    });
    let something =
        |site: &SiteConfigured| !(site.endpoints.is_empty() && site.devices.is_empty() && site.policies.is_empty());
    configured.filter(something).collect()
}

fn names<'c, K: Ord, V>(old: &'c BTreeMap<K, V>, next: &'c BTreeMap<K, V>) -> BTreeSet<&'c K> {
    old.keys().chain(next.keys()).collect()
}

/// The sites of the devices that a policy covers.
fn sites_of<'c>(config: &'c RegionConfig, policy: Option<&Policy>) -> BTreeSet<&'c SiteId> {
    let devices = policy.into_iter().flat_map(|policy| &policy.devices);
    devices.filter_map(|device| config.devices.get(device)).map(|device| &device.site).collect()
}

#[cfg(test)]
mod tests {
    use sallyport_core::config::{Device, Endpoint};
    use sallyport_core::level::{AccessLevel, DeviceClass};

    use super::*;

    fn site(name: &str) -> SiteId {
        SiteId::parse("lyon", name).unwrap()
    }

    fn config() -> RegionConfig {
        let endpoint = || Endpoint { site: site("a"), suspended: false, offer: vec![1] };
        let device = |of: &str| Device {
            site: site(of),
            suspended: false,
            endpoint: EndpointId::parse("lyon", "agent").unwrap(),
            customer: String::new(),
            product: String::new(),
            class: DeviceClass::Server,
            level: AccessLevel::Full,
            address: "10.0.0.1".parse().unwrap(),
            services: BTreeMap::new(),
        };
        let policy = Policy {
            users: BTreeSet::new(),
            groups: BTreeSet::new(),
            devices: ["lyon/ct", "lyon/mr"].iter().map(|id| id.parse().unwrap()).collect(),
            services: BTreeSet::new(),
            max_session: std::time::Duration::from_secs(60),
        };
        RegionConfig {
            endpoints: [("lyon/agent".parse().unwrap(), endpoint())].into(),
            devices: [("lyon/ct".parse().unwrap(), device("a")), ("lyon/mr".parse().unwrap(), device("b"))].into(),
            policies: [("dmz/all".parse().unwrap(), policy)].into(),
            ..RegionConfig::default()
        }
    }

    fn told(old: &RegionConfig, next: &RegionConfig) -> Vec<String> {
        changes(old, next, 7).iter().map(|event| format!("{} {}", event.label(), event.scope())).collect()
    }

    #[test]
    fn each_site_is_told_what_is_its_own() {
        let first = changes(&RegionConfig::default(), &config(), 7);
        let [Event::SiteConfigured(a), Event::SiteConfigured(b)] = first.as_slice() else { panic!("{first:?}") };
        assert_eq!((&a.site, &b.site), (&site("a"), &site("b")));
        assert_eq!(a.devices.added.names(), ["lyon/ct".parse().unwrap()]);
        assert_eq!(b.devices.added.names(), ["lyon/mr".parse().unwrap()]);
        assert!(b.endpoints.is_empty());
        assert_eq!(b.policies.added.names(), ["dmz/all".parse().unwrap()]);
    }

    #[test]
    fn the_same_again_and_a_new_signature_are_no_news() {
        let mut signed = config();
        signed.endpoints.values_mut().for_each(|endpoint| endpoint.offer = vec![2]);
        assert!(told(&config(), &signed).is_empty());
    }

    #[test]
    fn a_policy_that_leaves_a_site_is_gone_there_and_changed_elsewhere() {
        let mut next = config();
        next.policies.values_mut().for_each(|policy| policy.devices.retain(|id| id.to_string() == "lyon/ct"));
        let events = changes(&config(), &next, 7);
        let [Event::SiteConfigured(a), Event::SiteConfigured(b)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((a.policies.changed.names().len(), b.policies.removed.names().len()), (1, 1));
    }

    #[test]
    fn another_level_is_told_with_both() {
        let mut next = config();
        next.devices.values_mut().for_each(|device| device.level = AccessLevel::None);
        let events = changes(&config(), &next, 7);
        let levels: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::LevelChanged(e) => Some((e.site.clone(), e.before, e.after)),
                _ => None,
            })
            .collect();
        let both = (AccessLevel::Full, AccessLevel::None);
        assert_eq!(levels, [(site("a"), both.0, both.1), (site("b"), both.0, both.1)]);
    }

    #[test]
    fn what_moves_is_gone_from_one_site_and_new_at_the_other() {
        let mut next = config();
        next.devices.values_mut().for_each(|device| device.site = site("b"));
        let events = changes(&config(), &next, 7);
        let [Event::SiteConfigured(a), Event::SiteConfigured(b)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((a.devices.removed.names().len(), b.devices.added.names().len()), (1, 1));
    }

    #[test]
    fn a_suspension_and_its_end_stand_in_the_sites_log() {
        let mut next = config();
        next.endpoints.values_mut().for_each(|endpoint| endpoint.suspended = true);
        next.devices.values_mut().for_each(|device| device.suspended = device.site == site("b"));
        let (a, b) = ("site/lyon/a", "site/lyon/b");
        let want = |words: [(&str, &str); 4]| words.map(|(word, of)| format!("{word} {of}"));
        let c = "siteConfigured";
        assert_eq!(told(&config(), &next), want([(c, a), (c, b), ("siteSuspended", a), ("deviceSuspended", b)]));
        assert_eq!(told(&next, &config()), want([(c, a), (c, b), ("siteResumed", a), ("deviceResumed", b)]));
    }
}
