//! Dialling a gateway's control port: mutual TLS, the gateway proved by its identity, never by its address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use sallyport_core::identity::Role;
use sallyport_core::name::{Name, RegionId};
use sallyport_pki::bundle::{BundleError, TrustBundle};
use sallyport_runtime::tls::{self, ExpectedServer, KeyMaterial, TlsError};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

/// TCP and TLS together; a gateway in the same cluster answers within milliseconds.
const CONNECT: Duration = Duration::from_secs(5);
/// How soon a dead stream is noticed: interval and patience together.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(5);
/// The control port (`docs/design/contracts.md`).
const PORT: u16 = 8445;

/// Where a gateway is reached.
#[derive(Clone, Debug)]
pub enum Target {
    /// Its pod's address, as soon as the API server tells it: DNS caches the absence of a name for many seconds.
    Address(IpAddr),
    /// Its name behind the headless Service.
    Host(String),
}

/// Dials a gateway. `own` is the operator's certificate for the region.
pub async fn dial(
    target: &Target,
    region: &RegionId,
    pod: &Name,
    own: &KeyMaterial,
    trust: &str,
) -> Result<Channel, DialError> {
    let trust = TrustBundle::from_pem(trust)?;
    let wanted = pod.clone();
    let expected = ExpectedServer::new(region.clone(), move |role| match role {
        Role::Gateway(pod) => *pod == wanted,
        Role::GatewayBootstrap => true,
        Role::ConfigSigner | Role::Endpoint(_) | Role::Operator => false,
    });
    let config = tls::client_expecting(expected, Some(own), &trust, &[b"h2"])?;
    let target = target.clone();
    let connector = tower::service_fn(move |_| {
        let (config, target) = (config.clone(), target.clone());
        async move { connect(config, &target).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://gateway.invalid")
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_PATIENCE)
        .keep_alive_while_idle(true);
    endpoint.connect_with_connector(connector).await.map_err(DialError::Connect)
}

async fn connect(
    config: Arc<ClientConfig>,
    target: &Target,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Box<dyn std::error::Error + Send + Sync>> {
    let tcp = async {
        match target {
            Target::Address(ip) => TcpStream::connect(SocketAddr::new(*ip, PORT)).await,
            Target::Host(host) => TcpStream::connect((host.as_str(), PORT)).await,
        }
    };
    let tcp = tokio::time::timeout(CONNECT, tcp).await??;
    sallyport_runtime::listen::tune(&tcp)?;
    // The name is not looked at: the verifier looks at the identity.
    let name = ServerName::try_from("gateway.invalid")?;
    Ok(tls::connect(config, name, tcp, CONNECT).await?)
}

/// Why a gateway is not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// TCP, TLS or HTTP/2 failed, or somebody else answered.
    #[error("connect")]
    Connect(#[source] tonic::transport::Error),
    /// Our own certificate or what we trust cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What we trust cannot be read.
    #[error(transparent)]
    Trust(#[from] BundleError),
}
