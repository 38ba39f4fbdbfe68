//! Where a device listens behind its endpoint. An address that would turn the agent into a way to somewhere else
//! (itself, a metadata service, a broadcast domain) cannot be expressed (R63, R118).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host on the site's network: an IP address, or a DNS name that the agent resolves there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TargetAddress {
    /// A literal address, already checked by [`refusal`].
    Ip(IpAddr),
    /// A host name: what it resolves to is checked by the agent, with [`refusal`], at every connection.
    Name(String),
}

impl FromStr for TargetAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return match refusal(ip) {
                None => Ok(Self::Ip(ip)),
                Some(why) => Err(AddressError::Refused { ip, why }),
            };
        }
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        // A name of digits and dots only would be read as an address by some resolvers ("127.1").
        let numeric_end =
            text.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()) || l.starts_with("0x"));
        if text.len() > 253 || !text.split('.').all(label) || numeric_end {
            return Err(AddressError::NotAHost { text: text.chars().take(80).collect() });
        }
        let name = text.to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return Err(AddressError::Refused { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), why: Refusal::Loopback });
        }
        Ok(Self::Name(name))
    }
}

impl TryFrom<String> for TargetAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<TargetAddress> for String {
    fn from(address: TargetAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Why an address can never be a device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 255.255.255.255.
    #[error("a broadcast address")]
    Broadcast,
    /// 169.254.0.0/16 and fe80::/10, which hold cloud metadata services.
    #[error("a link-local address")]
    LinkLocal,
    /// 127.0.0.0/8 and ::1: the agent's own host.
    #[error("a loopback address")]
    Loopback,
    /// The metadata addresses outside link-local (fd00:ec2::254, 100.100.100.200).
    #[error("a cloud metadata address")]
    Metadata,
    /// 224.0.0.0/4 and ff00::/8.
    #[error("a multicast address")]
    Multicast,
    /// 0.0.0.0/8 and ::.
    #[error("an unspecified address")]
    Unspecified,
}

/// Whether an address is refused as a target, and why. IPv4-mapped IPv6 is judged as the IPv4 it stands for.
pub fn refusal(ip: IpAddr) -> Option<Refusal> {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Some(Refusal::Unspecified),
        IpAddr::V4(ip) if ip.is_loopback() => Some(Refusal::Loopback),
        IpAddr::V4(ip) if ip.is_link_local() => Some(Refusal::LinkLocal),
        IpAddr::V4(ip) if ip.is_multicast() => Some(Refusal::Multicast),
        IpAddr::V4(ip) if ip.is_broadcast() => Some(Refusal::Broadcast),
        IpAddr::V4(ip) if ip == Ipv4Addr::new(100, 100, 100, 200) => Some(Refusal::Metadata),
        IpAddr::V6(ip) if ip.is_unspecified() => Some(Refusal::Unspecified),
        IpAddr::V6(ip) if ip.is_loopback() => Some(Refusal::Loopback),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(Refusal::LinkLocal),
        IpAddr::V6(ip) if ip.is_multicast() => Some(Refusal::Multicast),
        IpAddr::V6(ip) if ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) => Some(Refusal::Metadata),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The text is no address a device may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither an IP address nor a host name.
    #[error("{text:?} is neither an IP address nor a host name")]
    NotAHost {
        /// What was written, shortened.
        text: String,
    },
    /// An address that is not a device's by its nature.
    #[error("{ip} is {why}, which no device behind an endpoint can have")]
    Refused {
        /// The address meant.
        ip: IpAddr,
        /// Its nature.
        why: Refusal,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cannot_be_the_agent_itself_or_a_metadata_service() {
        for text in [
            "127.0.0.1",
            "127.1.2.3",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "fd00:ec2::254",
            "100.100.100.200",
            "localhost",
            "x.localhost",
            "LOCALHOST",
            "127.1",
            "0x7f000001",
            "2130706433",
            "",
            "a b",
            "a/b",
            "a..b",
            "-a",
            "evil\nhost",
        ] {
            assert!(text.parse::<TargetAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn addresses_and_names_on_the_site_are_fine() {
        for text in ["10.77.0.10", "192.168.1.5", "fd12::5", "ct-2.radiology.example", "ct2"] {
            assert_eq!(text.parse::<TargetAddress>().unwrap().to_string(), text);
        }
    }
}
