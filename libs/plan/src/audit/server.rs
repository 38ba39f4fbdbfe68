//! The server that a URL names, as far as objects may name one: HTTPS, no user name, no query.

/// The host of an `https://HOST[:PORT][/PATH]`, or what is wrong with it and what to write.
pub(super) fn host_of(url: &str) -> Result<&str, &'static str> {
    let Some(rest) = url.strip_prefix("https://") else { return Err("only https:// is used; write https://HOST/PATH") };
    if rest.contains(['@', '?', '#', '\\']) {
        return Err("leave out user name, query and fragment; write https://HOST/PATH");
    }
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("only printable ASCII without spaces; encode the rest with %");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let port_is_fine =
        port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && matches!(port.parse(), Ok(1..=u16::MAX)));
    if !port_is_fine {
        return Err("the port is none; use 1 to 65535");
    }
    if host.len() > 253 || !host.split('.').all(is_label) {
        return Err("the host is no host name; use lower-case letters, digits, hyphens and dots");
    }
    Ok(host)
}

fn is_label(label: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
}

/// Whether resolvers read a host as an address, in whichever notation: then its last label begins with a digit, which no
/// top-level domain does.
pub(super) fn is_address(host: &str) -> bool {
    host.rsplit('.').next().is_none_or(|last| last.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_servers_by_host() {
        for (url, host) in [
            ("https://audit.example", "audit.example"),
            ("https://audit.example:8443/a/b%20c", "audit.example"),
            ("https://10.0.0.1/x", "10.0.0.1"),
        ] {
            assert_eq!(host_of(url), Ok(host));
        }
        for url in [
            "http://a.example",
            "https://u:p@a.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:+1",
            "https://a.example:",
            "https://A.example",
            "https://",
            "https://a..example",
            "https://[::1]/",
            "https://-a.example",
            "https://a.example/ü",
            "https://a.example\\b",
        ] {
            assert!(host_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn addresses_in_every_notation() {
        for host in ["127.0.0.1", "2130706433", "0x7f.0.0.1", "127.1", "1.2.3.0x4"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["1.2.3.4.example", "localhost", "7.a"] {
            assert!(!is_address(host), "{host}");
        }
    }
}
