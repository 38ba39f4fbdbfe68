//! Which API servers are reached without the proxy that `HTTPS_PROXY` names: those of `NO_PROXY`, as kubectl reads it.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether the entries, separated by commas, name the host: `*`, an address, a network (`10.0.0.0/8`), or a domain, which
/// stands for everything under it too.
pub(crate) fn bypasses(no_proxy: &str, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    no_proxy.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        match (entry.as_str(), address) {
            ("*", _) => true,
            (entry, Some(address)) => {
                entry.parse() == Ok(address) || entry.parse::<IpNet>().is_ok_and(|network| network.contains(&address))
            }
            (entry, None) => {
                let domain = entry.trim_start_matches("*.").trim_start_matches('.');
                host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_what_is_under_them_and_networks_for_their_addresses() {
        let no_proxy = "localhost, .corp.example,10.0.0.0/8,fd00::1";
        for host in ["localhost", "k8s.corp.example", "corp.example", "K8S.Corp.Example", "10.96.0.1", "[fd00::1]"] {
            assert!(bypasses(no_proxy, host), "{host}");
        }
        for host in ["notcorp.example", "corp.example.evil.test", "11.0.0.1", "fd00::2", "example"] {
            assert!(!bypasses(no_proxy, host), "{host}");
        }
        assert!(bypasses("*", "anything") && bypasses("*", "1.2.3.4"));
        assert!(!bypasses("", "anything") && !bypasses(" , ", "anything"));
    }
}
