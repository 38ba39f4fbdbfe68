//! What the network says, one step further each time, over the one path the agent itself will use.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use rustls::CertificateError;
use sallyport_pki::inspect;
use sallyport_runtime::tls::HandshakeFailure;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::files::Ready;
use super::witness::Witness;
use super::{Report, chain};
use crate::config::Gateway;
use crate::dial::{self, Answer, DialError};
use crate::surroundings::Surroundings;

const PROXY_VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Certificates are issued 5 minutes back, so a clock that is wrong by more refuses fresh ones.
const CLOCK_WARNING: u64 = 60;
const CLOCK_FAILURE: u64 = 5 * 60;

pub(super) async fn check(
    ready: &Ready,
    surroundings: &Surroundings,
    variable: impl Fn(&str) -> Option<String>,
    report: &mut Report,
) {
    proxy(variable, report);
    let gateway = &ready.config.gateway;
    let Some(addresses) = name(gateway, surroundings, report).await else { return };
    let Some(stream) = port(gateway, &addresses, report).await else { return };
    let Some(stream) = handshake(ready, stream, report).await else { return };
    answer(gateway, stream, surroundings, report).await;
}

fn proxy(variable: impl Fn(&str) -> Option<String>, report: &mut Report) {
    const NAME: &str = "direct route";
    let set: Vec<_> =
        PROXY_VARIABLES.into_iter().filter(|name| variable(name).is_some_and(|v| !v.is_empty())).collect();
    if set.is_empty() {
        return report.ok(NAME, "no proxy is configured for this process");
    }
    let seen = format!("{} is set, but the agent does not use proxies: it connects directly", set.join(", "));
    report.warning(NAME, seen, "allow this host a direct outgoing connection to the gateway's port");
}

async fn name(gateway: &Gateway, surroundings: &Surroundings, report: &mut Report) -> Option<Vec<SocketAddr>> {
    const NAME: &str = "gateway name resolves";
    match dial::addresses(gateway, surroundings).await {
        Ok(found) => {
            let list = found.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>().join(", ");
            let how = if gateway.address.is_some() { " (gateway.address of the configuration)" } else { "" };
            report.ok(NAME, format!("{} is {list}{how}", gateway.host));
            Some(found)
        }
        Err(error) => {
            let remedy = "add the name to this site's DNS, or write the gateway's address as gateway.address in the configuration";
            report.failed(NAME, chain(&error), remedy);
            None
        }
    }
}

async fn port(gateway: &Gateway, addresses: &[SocketAddr], report: &mut Report) -> Option<TcpStream> {
    const NAME: &str = "gateway port reachable";
    match dial::tcp(addresses).await {
        Ok(stream) => {
            let peer = stream.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
            report.ok(NAME, format!("connected to {peer}"));
            Some(stream)
        }
        Err(error) => {
            let kind = match &error {
                DialError::Tcp { source, .. } => source.kind(),
                _ => ErrorKind::Other,
            };
            report.failed(NAME, chain(&error), no_connection(kind, gateway.port));
            None
        }
    }
}

fn no_connection(kind: ErrorKind, port: u16) -> String {
    match kind {
        ErrorKind::TimedOut => {
            format!("a firewall swallows the packets: allow outgoing TCP to port {port} of this address")
        }
        ErrorKind::ConnectionRefused => {
            format!("something answers that port {port} is closed: a firewall that rejects, or a wrong address or port")
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "this host has no route to the address: check its default gateway and IP version".to_owned()
        }
        _ => format!("allow outgoing TCP to port {port} of this address"),
    }
}

async fn handshake(ready: &Ready, stream: TcpStream, report: &mut Report) -> Option<TlsStream<TcpStream>> {
    const NAME: &str = "tls handshake";
    let host = &ready.config.gateway.host;
    let config = match ready.files.tls(&ready.trust) {
        Ok(config) => config,
        Err(error) => {
            report.failed(NAME, chain(&error), "repair the certificate files first");
            return None;
        }
    };
    let Some((witness, config)) = Witness::watch(&ready.trust, &config) else {
        report.failed(NAME, "the trust file cannot be used", "repair the certificate files first");
        return None;
    };
    match dial::tls(stream, host, &Arc::new(config)).await {
        Ok(stream) => {
            report.ok(NAME, format!("TLS 1.3, and the certificate of {host} is of the expected authority"));
            Some(stream)
        }
        Err(error) => {
            let (seen, remedy) = match witness.testimony() {
                Some((leaf, Some(rustls::Error::InvalidCertificate(fault)))) => wrong_certificate(&leaf, &fault, host),
                _ => (chain(&error), no_handshake(&error)),
            };
            report.failed(NAME, seen, remedy);
            None
        }
    }
}

/// What a certificate that is not the gateway's tells about who stands between.
fn wrong_certificate(leaf: &[u8], fault: &CertificateError, host: &str) -> (String, String) {
    let (subject, issuer, validity) = match inspect::describe(leaf) {
        Ok(d) => (d.subject, d.issuer, format!("{} to {}", d.validity.not_before, d.validity.not_after)),
        Err(error) => ("an unreadable certificate".to_owned(), error.to_string(), "unknown".to_owned()),
    };
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            format!("the other side showed {subject}, issued by {issuer}, which is not in the trust file"),
            format!(
                "probably a firewall or proxy of this site opens TLS (\"inspection\"): exempt {host} from it. If no such device exists, the trust file is not this region's"
            ),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the other side showed {subject}, which is not valid for {host}"),
            "another server of the vendor answers: check gateway.host, gateway.address and the DNS of this site"
                .to_owned(),
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => (
            format!("the gateway's certificate is valid {validity}, which is not now by this host's clock"),
            "check this host's clock first; if it is right, tell the vendor".to_owned(),
        ),
        other => (
            format!("the certificate of {subject}, issued by {issuer}, is refused: {other}"),
            "tell the vendor".to_owned(),
        ),
    }
}

fn no_handshake(error: &DialError) -> String {
    match error {
        DialError::Tls(HandshakeFailure::Timeout | HandshakeFailure::Closed(_)) => {
            "something between closed or swallowed the handshake: a firewall that lets only known protocols or names pass; allow TLS 1.3 to the gateway"
        }
        DialError::Tls(HandshakeFailure::Protocol(_)) => {
            "what answers does not speak TLS 1.3: a captive portal, an older proxy, or a wrong port"
        }
        _ => "tell the vendor",
    }
    .to_owned()
}

/// What the gateway answers to `GET /v1/preflight`.
#[derive(Deserialize)]
struct Preflight {
    gateway: String,
    endpoint: String,
    suspended: bool,
}

async fn answer(gateway: &Gateway, stream: TlsStream<TcpStream>, surroundings: &Surroundings, report: &mut Report) {
    const NAME: &str = "gateway accepts this endpoint";
    match dial::preflight(stream, &gateway.host).await {
        Ok((status, headers, body)) => {
            clock(dial::date(&headers), surroundings.now(), report);
            match serde_json::from_slice::<Preflight>(&body) {
                Ok(preflight) if status == StatusCode::OK => accepted(&preflight, report),
                _ => {
                    let answer = Answer::of(status, &headers);
                    report.failed(NAME, format!("it answered {answer}"), refused(&answer));
                }
            }
        }
        // In TLS 1.3 a server refuses a client's certificate after the client's handshake is done.
        Err(error) => {
            let remedy = "the gateway closed the connection after seeing this certificate: it is revoked, expired, or of another region. Ask the vendor for a new one";
            report.failed(NAME, chain(&error), remedy);
        }
    }
}

fn accepted(preflight: &Preflight, report: &mut Report) {
    const NAME: &str = "gateway accepts this endpoint";
    let seen = format!("gateway {} knows endpoint {}", preflight.gateway, preflight.endpoint);
    match preflight.suspended {
        false => report.ok(NAME, seen),
        true => report.failed(NAME, format!("{seen}, but it is suspended"), SUSPENDED),
    }
}

const SUSPENDED: &str = "the vendor or the customer suspended this site: ask the vendor's service desk";

fn refused(answer: &Answer) -> String {
    match (answer.status, answer.reason.as_str()) {
        (StatusCode::FORBIDDEN, "suspended") => SUSPENDED.to_owned(),
        (StatusCode::FORBIDDEN, "unknownEndpoint") => {
            "the region has no such endpoint (any more): ask the vendor whether this certificate is the current one"
                .to_owned()
        }
        (StatusCode::SERVICE_UNAVAILABLE, _) => "this gateway starts or stops: try again in a minute".to_owned(),
        _ => "what answers is not the vendor's gateway, or a newer one: tell the vendor".to_owned(),
    }
}

fn clock(gateway: Option<Timestamp>, now: Timestamp, report: &mut Report) {
    const NAME: &str = "clock";
    let Some(theirs) = gateway else {
        return report.warning(
            NAME,
            "the gateway's answer has no date to compare with",
            "check this host's clock by hand",
        );
    };
    let off = now.duration_since(theirs).abs().as_secs().unsigned_abs();
    // HTTP dates have whole seconds.
    let here = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let seen = format!("{off} s from the gateway's: here {here}, there {theirs}");
    match off {
        CLOCK_FAILURE.. => {
            report.failed(NAME, seen, "set this host's clock, best by NTP: certificates are refused like this");
        }
        CLOCK_WARNING.. => report.warning(NAME, seen, "synchronise this host's clock by NTP"),
        _ => report.ok(NAME, seen),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::check::Outcome;

    fn only(check: impl FnOnce(&mut Report)) -> super::super::Finding {
        let mut report = Report::default();
        check(&mut report);
        report.findings.remove(0)
    }

    #[test]
    fn the_clock_is_judged_by_its_distance() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (theirs, outcome) in [
            ("Tue, 24 Nov 2026 12:00:30 GMT", Outcome::Ok),
            ("Tue, 24 Nov 2026 11:58:30 GMT", Outcome::Warning),
            ("Tue, 24 Nov 2026 12:06:00 GMT", Outcome::Failed),
            ("yesterday", Outcome::Warning),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::DATE, theirs.parse().unwrap());
            assert_eq!(only(|report| clock(dial::date(&headers), now, report)).outcome, outcome, "{theirs}");
        }
    }

    #[test]
    fn a_proxy_in_the_environment_is_named() {
        let finding =
            only(|report| proxy(|name| (name == "HTTPS_PROXY").then(|| "http://proxy:3128".to_owned()), report));
        assert_eq!(finding.outcome, Outcome::Warning);
        assert!(finding.seen.contains("HTTPS_PROXY"));
        assert!(!finding.seen.contains("3128"), "the value may hold a password");
    }

    #[test]
    fn each_way_of_not_connecting_has_its_own_remedy() {
        let kinds =
            [ErrorKind::TimedOut, ErrorKind::ConnectionRefused, ErrorKind::NetworkUnreachable, ErrorKind::Other];
        let remedies: std::collections::BTreeSet<_> = kinds.iter().map(|kind| no_connection(*kind, 443)).collect();
        assert_eq!(remedies.len(), kinds.len());
    }
}
