//! The agent's socket. When its tunnel is cut, what the kernel has taken and not yet sent is discarded: on a slow line
//! it would go on for seconds after the cut.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// For the close frame, which says why and stands behind what is queued, and for the agent to hang up on it. Within the
/// second that a revocation may take.
const FAREWELL: Duration = Duration::from_millis(300);

/// Tells a [`Socket`], wherever it is by now, to discard at its end.
#[derive(Clone, Debug, Default)]
pub struct Discard(Arc<AtomicBool>);

impl Discard {
    /// At its end, the socket waits a moment for the peer to hang up, and then is reset instead of closed.
    pub fn order(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A TLS connection over TCP.
pub(super) struct Socket {
    /// There until it is dropped.
    stream: Option<TlsStream<TcpStream>>,
    discard: Discard,
}

impl Socket {
    /// Ends as `discard` says.
    pub(super) fn new(stream: TlsStream<TcpStream>, discard: Discard) -> Self {
        Self { stream: Some(stream), discard }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TlsStream<TcpStream>>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take().filter(|_| self.discard.0.load(Ordering::Acquire)) else { return };
        // Outside a runtime the process is ending, and the kernel does as it likes.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let hung_up = async {
                let mut rest = [0; 4096];
                while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            };
            // Whether it hung up or not, nothing more is to reach it. Only a socket that is gone refuses this.
            let _ = tokio::time::timeout(FAREWELL, hung_up).await;
            let _ = SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO));
        });
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}
