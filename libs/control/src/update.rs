//! Cutting a list of changes into parts that fit a message, and putting parts together again.

use prost::Message as _;
use sallyport_core::config::{Change, RegionConfig};

use crate::convert::{ConvertError, from_wire, to_wire};
use crate::wire;

/// Largest encoded size of one part: far below gRPC's 4 MiB default, large enough that a thousand sites are a few parts.
const PART: usize = 512 * 1024;

/// The parts that carry `changes`. There is at least one, and the last says so.
pub fn parts(generation: u64, snapshot: bool, changes: &[Change]) -> Vec<wire::Update> {
    let mut parts = vec![wire::Update { generation, reset: snapshot, ..Default::default() }];
    let mut size = 0;
    for change in changes.iter().map(to_wire) {
        let length = change.encoded_len();
        if size > 0 && size + length > PART {
            parts.push(wire::Update { generation, ..Default::default() });
            size = 0;
        }
        size += length;
        parts.last_mut().expect("never empty").changes.push(change);
    }
    parts.last_mut().expect("never empty").last = true;
    parts
}

/// Collects parts; nothing takes effect before the last.
#[derive(Debug, Default)]
pub struct Collector {
    pending: Option<(u64, RegionConfig)>,
}

impl Collector {
    /// Takes one part. After the last, the complete new configuration with its generation; `current` is what the
    /// changes apply to. An error drops what was collected: the configuration before stays in force.
    pub fn take(
        &mut self,
        part: wire::Update,
        current: &RegionConfig,
    ) -> Result<Option<(u64, RegionConfig)>, ConvertError> {
        let fresh = || if part.reset { RegionConfig::default() } else { current.clone() };
        let (generation, mut config) = match self.pending.take() {
            Some((generation, config)) if generation == part.generation && !part.reset => (generation, config),
            _ => (part.generation, fresh()),
        };
        for change in part.changes {
            config.apply(from_wire(change)?);
        }
        if part.last {
            return Ok(Some((generation, config)));
        }
        self.pending = Some((generation, config));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use sallyport_core::config::Endpoint;

    use super::*;

    #[test]
    fn a_large_snapshot_is_cut_and_put_together_again() {
        let mut config = RegionConfig::default();
        for n in 0..2000 {
            let endpoint = Endpoint { site: "lyon/site".parse().unwrap(), suspended: false, offer: vec![7; 1000] };
            config.endpoints.insert(format!("lyon/e{n}").parse().unwrap(), endpoint);
        }
        let parts = parts(7, true, &RegionConfig::default().diff(&config));
        assert!(parts.len() > 3 && parts.iter().all(|p| p.encoded_len() < 2 * PART));
        let (mut collector, count) = (Collector::default(), parts.len());
        for (n, part) in parts.into_iter().enumerate() {
            let whole = collector.take(part, &RegionConfig::default()).unwrap();
            assert_eq!(whole.is_some(), n + 1 == count);
            if let Some((generation, whole)) = whole {
                assert_eq!((generation, &whole), (7, &config));
            }
        }
    }

    #[test]
    fn a_wrong_entry_refuses_the_whole_update() {
        let wrong = wire::Change { change: Some(wire::change::Change::RemoveDevice("x".into())) };
        let part = wire::Update { generation: 2, reset: false, changes: vec![wrong], last: true };
        assert!(Collector::default().take(part, &RegionConfig::default()).is_err());
    }

    #[test]
    fn no_change_is_still_one_part() {
        assert_eq!(parts(3, false, &[]), vec![wire::Update { generation: 3, last: true, ..Default::default() }]);
    }
}
