//! Accepting TCP connections, a bounded number at a time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After an accept failed for lack of descriptors or memory. Long enough not to spin, short beside a client's patience.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Keepalive: 15 s of silence, then 3 probes 5 s apart, so a peer that vanished without a FIN is noticed within the 30 s
/// of fault F15 even when nothing above TCP speaks.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

/// Hands every connection to `handler`, at most `limit` at a time (further ones wait in the kernel's backlog), until
/// `shutdown`; then accepts no more and returns once every handler has. A handler that must stop early watches the same
/// token.
pub async fn serve<H, F>(listener: TcpListener, limit: usize, shutdown: CancellationToken, handler: H)
where
    H: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    let handlers = TaskTracker::new();
    let accepting = async {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = tune(&stream) {
                        tracing::debug!(%peer, %error, "connection was gone before it was served");
                        continue;
                    }
                    let serving = handler(stream, peer);
                    handlers.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accepting => {}
    }
    drop(listener);
    handlers.close();
    handlers.wait().await;
}

/// What every connection of ours gets, accepted or dialled: no Nagle delay, and keepalive.
///
/// # Errors
/// When the socket is gone.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Errors of the connection that was about to be accepted, not of the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sallyport_testkit::eventually;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn connections_are_tuned_and_served_at_once() {
        let (listener, address) = listener().await;
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, 10, shutdown.clone(), |mut stream, peer| async move {
            assert!(stream.nodelay().unwrap() && SockRef::from(&stream).keepalive().unwrap());
            stream.write_all(peer.to_string().as_bytes()).await.unwrap();
        }));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, stream.local_addr().unwrap().to_string());
        shutdown.cancel();
        served.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn no_more_than_the_limit_are_served_at_once() {
        let (listener, address) = listener().await;
        let shutdown = CancellationToken::new();
        let (entered, mut entries) = mpsc::unbounded_channel();
        let served = tokio::spawn(serve(listener, 2, shutdown.clone(), move |mut stream, _| {
            let entered = entered.clone();
            async move {
                entered.send(()).unwrap();
                let _ = stream.read_u8().await; // until the client hangs up
            }
        }));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        entries.recv().await.unwrap();
        entries.recv().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), entries.recv()).await.is_err());
        drop(clients.remove(0));
        tokio::time::timeout(SOON, entries.recv()).await.unwrap().unwrap();
        drop(clients);
        shutdown.cancel();
        served.await.unwrap();
    }

    #[tokio::test]
    async fn shutdown_waits_for_handlers_even_when_all_places_are_taken() {
        let (listener, address) = listener().await;
        let shutdown = CancellationToken::new();
        let (finish, finished) = tokio::sync::watch::channel(false);
        let (entered, mut entries) = mpsc::unbounded_channel();
        let served = tokio::spawn(serve(listener, 1, shutdown.clone(), move |_stream, _| {
            entered.send(()).unwrap();
            let mut finished = finished.clone();
            async move {
                finished.wait_for(|finished| *finished).await.unwrap();
            }
        }));
        let _client = TcpStream::connect(address).await.unwrap();
        entries.recv().await.unwrap();
        shutdown.cancel();
        eventually(SOON, "the listener is closed", async || TcpStream::connect(address).await.is_err()).await;
        assert!(!served.is_finished());
        finish.send_replace(true);
        served.await.unwrap();
    }
}
