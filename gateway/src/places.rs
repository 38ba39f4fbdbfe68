//! Places for those who have shown nothing yet, counted in all and for each source (faults F16, F17).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// Where something comes from, as far as one party can choose its address: an IPv4 address, or the /64 that a customer
/// of an IPv6 provider has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl From<SocketAddr> for Source {
    fn from(from: SocketAddr) -> Self {
        Self(match from.ip().to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        })
    }
}

/// A bounded number of places. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places {
    most: usize,
    most_each: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: BTreeMap<Source, usize>,
}

impl Places {
    /// `most` in all, `most_each` for one source.
    pub fn new(most: usize, most_each: usize) -> Self {
        Self { most, most_each, taken: Arc::default() }
    }

    /// A place, until it is dropped; none when all are taken, or all of this source's.
    pub fn take(&self, from: SocketAddr) -> Option<Place> {
        let source = Source::from(from);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.each.get(&source).copied().unwrap_or_default();
        if own >= self.most_each || taken.all >= self.most {
            return None;
        }
        taken.all += 1;
        taken.each.insert(source, own + 1);
        drop(taken);
        Some(Place { source, places: self.clone() })
    }
}

/// One place.
#[derive(Debug)]
pub struct Place {
    source: Source,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        match taken.each.get_mut(&self.source) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.each.remove(&self.source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1000)
    }

    #[test]
    fn a_source_is_an_address_or_a_64() {
        let source = |text: &str| Source::from(from(text));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.2"), source("192.0.2.1"));
    }

    #[test]
    fn one_source_leaves_places_to_others_and_all_come_back() {
        let places = Places::new(3, 2);
        let (one, two) = (places.take(from("192.0.2.1")).unwrap(), places.take(from("192.0.2.1")).unwrap());
        assert!(places.take(from("192.0.2.1")).is_none(), "its two are taken");
        let three = places.take(from("192.0.2.2")).unwrap();
        assert!(places.take(from("192.0.2.3")).is_none(), "all three are taken");
        drop(one);
        assert!(places.take(from("192.0.2.3")).is_some());
        drop((two, three));
        let taken = places.taken.lock().unwrap();
        assert!(taken.each.is_empty() && taken.all == 0);
    }
}
