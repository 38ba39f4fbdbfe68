//! The control port: the operator dials it, and nothing else may. A gateway never dials inwards.

mod attach;
mod audit;
pub mod certificates;
mod report;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sallyport_control::wire::control_server::ControlServer;
use sallyport_core::identity::Role;
use sallyport_runtime::tls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::doors::Refused;
use crate::gateway::Gateway;

pub use attach::Control;

/// Where accepted connections of the operator go. One server takes them all: a server of its own for each would
/// tell its client to go away as soon as no more connections can come.
#[derive(Clone)]
pub struct Operators(mpsc::Sender<std::io::Result<OperatorStream>>);

/// Starts serving the operator's connections until `stop`.
pub fn serve_operators(control: Control, stop: CancellationToken) -> Operators {
    // One is in charge at a time; a few more may be on their way.
    let (sender, connections) = mpsc::channel(4);
    tokio::spawn(async move {
        let served = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .add_service(ControlServer::new(control).max_decoding_message_size(MESSAGE))
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), stop.cancelled_owned())
            .await;
        tracing::debug!(?served, "control port closed");
    });
    Operators(sender)
}

/// Longest message from the operator: a trust bundle with its revocation lists, of which 16 MiB hold 300,000 entries.
/// Everything else is far below gRPC's default of 4 MiB.
const MESSAGE: usize = 16 * 1024 * 1024;

/// An operator that vanished is noticed within twice this.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Takes one connection that passed the handshake, if it is the operator's.
pub async fn accept(operators: Operators, gateway: Arc<Gateway>, stream: TlsStream<TcpStream>, from: SocketAddr) {
    match tls::peer_identity(stream.get_ref().1) {
        Ok(identity) if identity.region == gateway.place.region && identity.role == Role::Operator => {
            if operators.0.send(Ok(OperatorStream(stream))).await.is_err() {
                tracing::debug!("the control port is closed");
            }
        }
        Ok(identity) => Refused::role_swapped(identity.to_string()).report(&gateway, "control", from),
        Err(error) => Refused::unusable(error.to_string()).report(&gateway, "control", from),
    }
}

/// A connection whose other end is the operator.
pub struct OperatorStream(TlsStream<TcpStream>);

impl Connected for OperatorStream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for OperatorStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for OperatorStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
