//! A digest of a configuration, so that an operator and a gateway know without sending it that they mean the same.

use prost::Message as _;
use sallyport_core::config::{Change, Entry, RegionConfig};
use sha2::{Digest as _, Sha256};

use crate::convert::to_wire;
use crate::wire;

/// SHA-256, in hexadecimal, over every entry in order. The endpoints' offers are left out: their content follows from
/// the devices, they are signed anew by each operator process, and [`Settings::offers_period`] says how old they are.
///
/// [`Settings::offers_period`]: sallyport_core::config::Settings::offers_period
pub fn of(config: &RegionConfig) -> String {
    let mut hash = Sha256::new();
    for mut change in RegionConfig::default().diff(config) {
        if let Change::Upsert(Entry::Endpoint(_, endpoint)) = &mut change {
            endpoint.offer = Vec::new();
        }
        hash.update(to_wire(&change).encode_length_delimited_to_vec());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256, in hexadecimal, over a [`wire::Trust`] without its own digest: what a gateway acknowledges.
pub fn of_trust(trust: &wire::Trust) -> String {
    let bare = wire::Trust { digest: String::new(), ..trust.clone() };
    Sha256::digest(bare.encode_to_vec()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The whole configuration as one message, for a gateway's volume.
pub fn encode(generation: u64, config: &RegionConfig) -> Vec<u8> {
    let changes = RegionConfig::default().diff(config).iter().map(to_wire).collect();
    wire::Update { generation, reset: true, changes, last: true }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use sallyport_core::config::{Auditors, Settings};

    use super::*;

    #[test]
    fn who_may_read_the_audit_is_part_of_what_is_in_force() {
        let mut config = RegionConfig { settings: Settings::default(), ..RegionConfig::default() };
        config.settings.outer_host = "outer.example".into();
        let nobody = of(&config);
        config.settings.auditors = Auditors { groups: ["audit".to_owned()].into(), ..Auditors::default() };
        assert_ne!(of(&config), nobody);
        config.settings.auditors = Auditors::default();
        assert_eq!(of(&config), nobody);
    }
}
