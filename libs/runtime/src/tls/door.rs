//! Handshakes with a deadline, on a server whose certificate and trust can be replaced while it runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::HandshakeFailure;

/// A server's side of TLS. Closed until it is given a configuration; a replaced one counts for every handshake that
/// begins afterwards. Connections that stand are not touched: what must end them watches its own facts.
#[derive(Debug, Default)]
pub struct Door {
    config: ArcSwapOption<ServerConfig>,
}

impl Door {
    /// Refuses every handshake until [`Door::replace`].
    pub fn closed() -> Self {
        Self::default()
    }

    /// Open with this configuration.
    pub fn open(config: Arc<ServerConfig>) -> Self {
        Self { config: ArcSwapOption::from(Some(config)) }
    }

    /// For handshakes from now on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.store(Some(config));
    }

    /// Refuses every handshake from now on.
    pub fn close(&self) {
        self.config.store(None);
    }

    /// Whether it has a configuration.
    pub fn is_open(&self) -> bool {
        self.config.load().is_some()
    }

    /// Performs the handshake, within `deadline` in all, whatever the peer trickles.
    ///
    /// # Errors
    /// See [`HandshakeFailure`].
    pub async fn accept<S>(&self, stream: S, deadline: Duration) -> Result<server::TlsStream<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.load_full().ok_or(HandshakeFailure::NotReady)?;
        match tokio::time::timeout(deadline, TlsAcceptor::from(config).accept(stream)).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(HandshakeFailure::Timeout),
        }
    }
}

/// A client's handshake, within `deadline` in all. A server that refuses the client's certificate says so only after
/// this has returned (RFC 8446 section 4.4.2): the first read fails then.
///
/// # Errors
/// See [`HandshakeFailure`].
pub async fn connect<S>(
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
    stream: S,
    deadline: Duration,
) -> Result<client::TlsStream<S>, HandshakeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match tokio::time::timeout(deadline, TlsConnector::from(config).connect(server, stream)).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(HandshakeFailure::Timeout),
    }
}
