//! The difference between two configurations, as messages carry it. `diff` and `apply` are inverse: whatever two
//! configurations, applying their difference to the first gives the second.

use std::collections::BTreeMap;

use super::{Device, Endpoint, Policy, RegionConfig, Settings};
use crate::name::{DeviceId, EndpointId, PolicyId};

/// One step from a configuration to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The entry is gone.
    Remove(Key),
    /// The entry is new or different.
    Upsert(Entry),
}

/// An entry with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// See [`RegionConfig::devices`].
    Device(DeviceId, Device),
    /// See [`RegionConfig::endpoints`].
    Endpoint(EndpointId, Endpoint),
    /// See [`RegionConfig::policies`].
    Policy(PolicyId, Policy),
    /// See [`RegionConfig::settings`]; it can change but not go.
    Settings(Settings),
}

/// An entry by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// See [`RegionConfig::devices`].
    Device(DeviceId),
    /// See [`RegionConfig::endpoints`].
    Endpoint(EndpointId),
    /// See [`RegionConfig::policies`].
    Policy(PolicyId),
}

impl RegionConfig {
    /// What has to be said to someone who has `self` so that they have `next`. Withdrawals come first, so that a
    /// reader who acts on each step never allows more than either configuration does.
    pub fn diff(&self, next: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(gone(&self.policies, &next.policies).map(|k| Change::Remove(Key::Policy(k))));
        changes.extend(gone(&self.devices, &next.devices).map(|k| Change::Remove(Key::Device(k))));
        changes.extend(gone(&self.endpoints, &next.endpoints).map(|k| Change::Remove(Key::Endpoint(k))));
        if self.settings != next.settings {
            changes.push(Change::Upsert(Entry::Settings(next.settings.clone())));
        }
        changes.extend(new(&self.endpoints, &next.endpoints).map(|(k, v)| Change::Upsert(Entry::Endpoint(k, v))));
        changes.extend(new(&self.devices, &next.devices).map(|(k, v)| Change::Upsert(Entry::Device(k, v))));
        changes.extend(new(&self.policies, &next.policies).map(|(k, v)| Change::Upsert(Entry::Policy(k, v))));
        changes
    }

    /// Takes one step.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Remove(Key::Device(id)) => drop(self.devices.remove(&id)),
            Change::Remove(Key::Endpoint(id)) => drop(self.endpoints.remove(&id)),
            Change::Remove(Key::Policy(id)) => drop(self.policies.remove(&id)),
            Change::Upsert(Entry::Device(id, device)) => drop(self.devices.insert(id, device)),
            Change::Upsert(Entry::Endpoint(id, endpoint)) => drop(self.endpoints.insert(id, endpoint)),
            Change::Upsert(Entry::Policy(id, policy)) => drop(self.policies.insert(id, policy)),
            Change::Upsert(Entry::Settings(settings)) => self.settings = settings,
        }
    }
}

fn gone<K: Ord + Clone, V>(old: &BTreeMap<K, V>, next: &BTreeMap<K, V>) -> impl Iterator<Item = K> {
    old.keys().filter(|k| !next.contains_key(k)).cloned()
}

fn new<K: Ord + Clone, V: Clone + Eq>(old: &BTreeMap<K, V>, next: &BTreeMap<K, V>) -> impl Iterator<Item = (K, V)> {
    next.iter().filter(|(k, v)| old.get(k) != Some(v)).map(|(k, v)| (k.clone(), v.clone()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::name::{ObjectId, SiteId};

    fn id() -> impl Strategy<Value = ObjectId> {
        ("[ab]", "[a-d]").prop_map(|(ns, name)| ObjectId::parse(&ns, &name).unwrap())
    }

    fn endpoint() -> impl Strategy<Value = Endpoint> {
        (id(), any::<bool>(), any::<u8>()).prop_map(|(site, suspended, offer)| Endpoint {
            site: SiteId(site),
            suspended,
            offer: vec![offer],
        })
    }

    fn config() -> impl Strategy<Value = RegionConfig> {
        let policy = btree_map(id(), Just(()), 0..3).prop_map(|devices| Policy {
            users: Default::default(),
            groups: Default::default(),
            devices: devices.into_keys().map(DeviceId).collect(),
            services: Default::default(),
            max_session: std::time::Duration::from_secs(60),
        });
        (
            btree_map(id().prop_map(EndpointId), endpoint(), 0..5),
            btree_map(id().prop_map(PolicyId), policy, 0..5),
            "[a-c]",
        )
            .prop_map(|(endpoints, policies, outer_host)| RegionConfig {
                settings: Settings { outer_host, ..Settings::default() },
                endpoints,
                policies,
                ..RegionConfig::default()
            })
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_next(old in config(), next in config()) {
            let mut now = old.clone();
            for change in old.diff(&next) {
                now.apply(change);
            }
            prop_assert_eq!(&now, &next);
            prop_assert!(now.diff(&next).is_empty());
        }
    }
}
