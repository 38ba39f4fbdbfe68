//! The site's own allow-list. It can only narrow what the signed offer allows, with one exception: an address that no
//! device may have (loopback, say) is reached if an entry names exactly that address, because the site then said so.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;

/// What the site lets the agent reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// No list is configured: whatever is offered.
    AllOffered,
    /// A list.
    Listed(Vec<Entry>),
    /// A list is configured but cannot be read: nothing.
    Nothing,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// An address, a network, or a host name.
    host: Host,
    /// TCP ports, at least one.
    ports: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Host {
    Name(String),
    Network(IpNet),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    allow: Vec<Entry>,
}

impl Allow {
    /// The list of a file, or everything offered if none is configured. An unreadable file allows nothing.
    pub fn load(path: Option<&Path>) -> (Self, Option<AllowError>) {
        let Some(path) = path else { return (Self::AllOffered, None) };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return (Self::Nothing, Some(AllowError::at(path, error.to_string()))),
        };
        match Self::parse(&text) {
            Ok(list) => (list, None),
            Err(why) => (Self::Nothing, Some(AllowError::at(path, why))),
        }
    }

    /// `allow: [{host: 10.77.0.0/24, ports: [22, 443]}]`
    pub fn parse(text: &str) -> Result<Self, String> {
        let File { allow } = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        match allow.iter().find(|entry| entry.ports.is_empty() || entry.ports.contains(&0)) {
            Some(entry) => Err(format!("{}: ports must be a list of 1 to 65535", entry.host)),
            None => Ok(Self::Listed(allow)),
        }
    }

    /// Whether a target may be reached at an address. `name` is what the offer calls it, if that was a name.
    pub fn permits(&self, name: Option<&str>, ip: IpAddr, port: u16) -> bool {
        self.any(port, |host| match host {
            Host::Name(listed) => name.is_some_and(|name| name.eq_ignore_ascii_case(listed)),
            Host::Network(network) => network.contains(&ip.to_canonical()),
        }) || *self == Self::AllOffered
    }

    /// Whether an entry names exactly this address, which lifts the ban on addresses that no device may have.
    pub fn names_literally(&self, ip: IpAddr, port: u16) -> bool {
        let ip = ip.to_canonical();
        self.any(port, |host| matches!(host, Host::Network(network) if *network == IpNet::from(ip)))
    }

    fn any(&self, port: u16, matches: impl Fn(&Host) -> bool) -> bool {
        match self {
            Self::Listed(entries) => entries.iter().any(|entry| entry.ports.contains(&port) && matches(&entry.host)),
            Self::AllOffered | Self::Nothing => false,
        }
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Network(ip.to_canonical().into()));
        }
        match rustls_pki_types::DnsName::try_from(text.as_str()) {
            Ok(_) => Ok(Self::Name(text)),
            Err(_) => Err(format!("{text:?} is neither an address, a network nor a host name")),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// Why nothing is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allow-list {path}: {why}; until it is repaired every connection is refused")]
pub struct AllowError {
    path: String,
    why: String,
}

impl AllowError {
    fn at(path: &Path, why: String) -> Self {
        Self { path: path.display().to_string(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_names_and_ports_narrow() {
        let list = "allow:\n- {host: 10.77.0.0/24, ports: [22, 443]}\n- {host: ct-2.example, ports: [104]}\n";
        let allow = Allow::parse(list).unwrap();
        assert!(allow.permits(None, ip("10.77.0.9"), 22));
        assert!(allow.permits(None, ip("::ffff:10.77.0.9"), 22));
        assert!(!allow.permits(None, ip("10.77.0.9"), 23));
        assert!(!allow.permits(None, ip("10.78.0.9"), 22));
        assert!(allow.permits(Some("CT-2.example"), ip("192.168.0.1"), 104));
        assert!(!allow.permits(Some("ct-3.example"), ip("192.168.0.1"), 104));
    }

    #[test]
    fn only_the_exact_address_lifts_the_ban() {
        let allow =
            Allow::parse("allow: [{host: 127.0.0.1, ports: [22]}, {host: 169.254.0.0/16, ports: [80]}]").unwrap();
        assert!(allow.names_literally(ip("127.0.0.1"), 22));
        assert!(allow.names_literally(ip("::ffff:127.0.0.1"), 22));
        assert!(!allow.names_literally(ip("127.0.0.2"), 22));
        assert!(!allow.names_literally(ip("169.254.169.254"), 80));
        assert!(!Allow::AllOffered.names_literally(ip("127.0.0.1"), 22));
    }

    #[test]
    fn what_cannot_be_read_allows_nothing() {
        for text in [
            "",
            "allow: 3",
            "allow: [{host: a}]",
            "allow: [{host: a b, ports: [1]}]",
            "allow: [{host: a, ports: []}]",
            "alow: []",
        ] {
            assert!(Allow::parse(text).is_err(), "{text:?}");
        }
        let (allow, error) = Allow::load(Some(Path::new("/nowhere")));
        assert_eq!(allow, Allow::Nothing);
        assert!(error.unwrap().to_string().contains("/nowhere"));
        assert!(!allow.permits(None, ip("10.0.0.1"), 22));
        assert_eq!(Allow::load(None), (Allow::AllOffered, None));
    }
}
