//! Requests to servers that objects name: HTTPS only, one request for each connection, no redirects, a few seconds, and
//! not into private networks unless that was allowed. Whoever writes an object must not make the operator speak to what
//! only the operator can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use sallyport_runtime::tls;
use tokio::net::TcpStream;

/// All of a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of an answer: a cosignature is a line.
const MOST_ANSWER: usize = 64 * 1024;

/// Where the operator may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Networks {
    /// Anywhere.
    Any,
    /// Not into private or special networks.
    Public,
}

/// A request by `POST`.
#[derive(Debug)]
pub(super) struct Post<'a> {
    /// `https://HOST[:PORT][/PATH]`.
    pub(super) url: &'a str,
    /// Authorities of the server's certificate, PEM; those of the system if none are named.
    pub(super) authorities: Option<&'a str>,
    pub(super) networks: Networks,
    pub(super) content_type: &'static str,
    /// More headers.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// What a server answered, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Post<'_> {
    /// Sends it.
    ///
    /// # Errors
    /// See [`HttpsError`].
    pub(super) async fn send(self) -> Result<Answer, HttpsError> {
        tokio::time::timeout(PATIENCE, self.attempt()).await.map_err(|_| HttpsError::Timeout)?
    }

    async fn attempt(self) -> Result<Answer, HttpsError> {
        let uri: Uri = self.url.parse().map_err(|_| HttpsError::Url)?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or(HttpsError::Url)?.to_owned();
        let authority = uri.authority().ok_or(HttpsError::Url)?.to_string();
        let path = uri.path().to_owned();
        let config = config(self.authorities)?;
        let tcp = connect(&host, uri.port_u16().unwrap_or(443), self.networks).await?;
        let name = ServerName::try_from(host).map_err(|_| HttpsError::Url)?;
        let stream = tls::connect(config, name, tcp, PATIENCE).await.map_err(|e| HttpsError::Tls(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::post(path)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::USER_AGENT, concat!("sallyport-operator/", env!("CARGO_PKG_VERSION")));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body))).map_err(|_| HttpsError::Url)?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MOST_ANSWER).collect().await;
        connection.abort();
        Ok(Answer { status, body: body.map_err(|_| HttpsError::Answer)?.to_bytes() })
    }
}

/// TLS 1.3 only, as everywhere; RSA certificates are taken, because the server is not ours.
fn config(authorities: Option<&str>) -> Result<Arc<ClientConfig>, HttpsError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|_| HttpsError::Authorities)?;
                roots.add(certificate).map_err(|_| HttpsError::Authorities)?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err(HttpsError::Authorities);
    }
    let builder = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Connects to one of the host's addresses. Looked at after resolution: what a name means is the attacker's to say.
async fn connect(host: &str, port: u16, networks: Networks) -> Result<TcpStream, HttpsError> {
    let addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await.map_err(HttpsError::Connect)?.collect();
    if networks == Networks::Public && addresses.iter().any(|address| !is_public(address.ip())) {
        return Err(HttpsError::Private);
    }
    TcpStream::connect(addresses.as_slice()).await.map_err(HttpsError::Connect)
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224 // multicast, reserved, broadcast
        || (a == 100 && (64..128).contains(&b)) // carriers' translation
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (18..20).contains(&b))) // benchmarks
}

/// Global unicast, without the blocks of it that lead back to IPv4 or to nowhere.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    (a & 0xe000) == 0x2000
        && a != 0x2002 // 6to4
        && !(a == 0x2001 && b < 0x0200) // Teredo, ORCHID, benchmarks
        && !(a == 0x2001 && b == 0x0db8)
        && !(a == 0x3fff && b < 0x1000)
}

/// Why a server was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpsError {
    /// Too long, or cut.
    #[error("its answer cannot be read")]
    Answer,
    /// The bundle, or the system has none.
    #[error("there are no authorities to check its certificate by: see caBundle")]
    Authorities,
    /// DNS or TCP.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// HTTP.
    #[error("it does not speak HTTP as it should: {0}")]
    Http(#[from] hyper::Error),
    /// Not a public address.
    #[error(
        "its name means an address in a private network, which needs the operator's flag --webhook-private-networks"
    )]
    Private,
    /// In ten seconds.
    #[error("it did not answer in time")]
    Timeout,
    /// Handshake.
    #[error("TLS: {0}")]
    Tls(String),
    /// The URL.
    #[error("the URL is none; write https://HOST[:PORT][/PATH]")]
    Url,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_special_addresses_are_not_public() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "93.184.216.34", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn a_name_that_means_this_machine_is_not_asked() {
        sallyport_runtime::tls::install();
        let ca = sallyport_testkit::Ca::new("dmz", "eu");
        let bundle = ca.bundle().to_pem();
        let post = |networks| Post {
            url: "https://localhost:1/x",
            authorities: Some(&bundle),
            networks,
            content_type: "text/plain",
            headers: Vec::new(),
            body: Vec::new(),
        };
        assert!(matches!(post(Networks::Public).send().await, Err(HttpsError::Private)));
        assert!(matches!(post(Networks::Any).send().await, Err(HttpsError::Connect(_))));
    }
}
