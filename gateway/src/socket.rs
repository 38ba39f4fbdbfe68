//! The socket of an agent or an engineer. When what runs over it is cut, what the kernel has taken and not yet sent is
//! discarded: on a slow line it would go on for seconds after the cut.

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

/// For the end that says why and stands behind what is queued, and for the peer to hang up on it. Within the
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
pub struct Socket {
    /// There until it is dropped.
    stream: Option<TlsStream<TcpStream>>,
    discard: Discard,
}

impl Socket {
    /// Ends as `discard` says.
    pub fn new(stream: TlsStream<TcpStream>, discard: Discard) -> Self {
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

#[cfg(test)]
mod tests {
    use sallyport_runtime::tls::{self, ClientAuth, Door, KeyMaterial};
    use sallyport_testkit::Ca;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio_rustls::client;

    use super::*;

    /// A socket of ours, and a peer on a slow line: it takes a few kilobytes and reads no more.
    async fn pair(discard: Discard) -> (Socket, client::TlsStream<TcpStream>) {
        tls::install();
        let ca = Ca::new("dmz", "frankfurt");
        let own = ca.outer_door("outer.example");
        let own = KeyMaterial { chain_pem: own.chain_pem, key_pem: own.key_pem };
        let door = Door::open(tls::server(&own, ClientAuth::None, &[]).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpSocket::new_v4().unwrap();
        peer.set_recv_buffer_size(4096).unwrap();
        let address = listener.local_addr().unwrap();
        let config = tls::client(None, &ca.bundle(), &[]).unwrap();
        let patience = Duration::from_secs(10);
        let peer = async {
            let tcp = peer.connect(address).await.unwrap();
            tls::connect(config, "outer.example".try_into().unwrap(), tcp, patience).await.unwrap()
        };
        let ours = async { door.accept(listener.accept().await.unwrap().0, patience).await.unwrap() };
        let (ours, peer) = tokio::join!(ours, peer);
        (Socket::new(ours, discard), peer)
    }

    /// Fills the kernel's queue; how much it took.
    async fn fill(socket: &mut Socket) -> usize {
        let mut taken = 0;
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(200), socket.write(&[7; 16 * 1024])).await {
            taken += written.unwrap();
        }
        taken
    }

    async fn rest(mut peer: client::TlsStream<TcpStream>) -> usize {
        let (mut received, mut buffer) = (0, vec![0; 64 * 1024]);
        while let Ok(read @ 1..) = peer.read(&mut buffer).await {
            received += read;
        }
        received
    }

    #[tokio::test]
    async fn a_cut_discards_what_was_not_sent_yet() {
        let discard = Discard::default();
        let (mut socket, peer) = pair(discard.clone()).await;
        let taken = fill(&mut socket).await;
        discard.order();
        drop(socket);
        // The peer comes back to its slow line only when the farewell is over.
        let reset = async || {
            let tcp: &TcpStream = peer.get_ref().0;
            tcp.take_error().unwrap().is_some()
        };
        sallyport_testkit::eventually(Duration::from_secs(10), "the connection is reset", reset).await;
        let received = rest(peer).await;
        assert!(received < taken / 2, "{received} of {taken} bytes arrived after the cut");
    }

    #[tokio::test]
    async fn an_ordinary_end_loses_nothing() {
        let (mut socket, peer) = pair(Discard::default()).await;
        let taken = fill(&mut socket).await;
        let (received, ()) = tokio::join!(rest(peer), async {
            socket.flush().await.unwrap();
            drop(socket);
        });
        assert_eq!(received, taken);
    }
}
