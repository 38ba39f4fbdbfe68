//! The control port: the operator dials it, and nothing else may. A gateway never dials inwards.

mod attach;
pub mod certificates;
mod report;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sallyport_control::wire::control_server::ControlServer;
use sallyport_core::identity::Role;
use sallyport_runtime::tls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::doors::Refused;

pub use attach::Control;

/// Serves one connection that passed the handshake.
pub async fn serve(control: Control, stream: TlsStream<TcpStream>, from: SocketAddr, stop: CancellationToken) {
    let gateway = Arc::clone(control.gateway());
    match tls::peer_identity(stream.get_ref().1) {
        Ok(identity) if identity.region == gateway.place.region && identity.role == Role::Operator => {
            let connections = tokio_stream::once(Ok::<_, std::io::Error>(OperatorStream(stream)));
            let served = Server::builder()
                .http2_keepalive_interval(Some(std::time::Duration::from_secs(10)))
                .http2_keepalive_timeout(Some(std::time::Duration::from_secs(10)))
                .add_service(ControlServer::new(control))
                .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
                .await;
            tracing::debug!(?served, "control connection over");
        }
        Ok(identity) => Refused::role_swapped(identity.to_string()).report(&gateway, "control", from),
        Err(error) => Refused::unusable(error.to_string()).report(&gateway, "control", from),
    }
}

/// A connection whose other end is the operator.
struct OperatorStream(TlsStream<TcpStream>);

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
