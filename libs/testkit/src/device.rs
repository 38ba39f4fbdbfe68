//! A device that echoes: what a service session carries comes back, and the test can see how much arrived.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A TCP server on a free port of 127.0.0.1. It ends, with its connections, when dropped.
#[derive(Debug)]
pub struct EchoDevice {
    address: SocketAddr,
    seen: Arc<Seen>,
    server: AbortHandle,
}

#[derive(Debug, Default)]
struct Seen {
    accepted: AtomicU64,
    open: AtomicU64,
    bytes: AtomicU64,
}

impl EchoDevice {
    /// Listens from now on.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let seen = Arc::<Seen>::default();
        let server = tokio::spawn(serve(listener, Arc::clone(&seen))).abort_handle();
        Self { address, seen, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Connections that stand now.
    pub fn open(&self) -> u64 {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// Bytes received so far, on all connections.
    pub fn received(&self) -> u64 {
        self.seen.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for EchoDevice {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    // Its own set, so that aborting the server aborts its connections.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.accepted.fetch_add(1, Ordering::SeqCst);
        connections.spawn(echo(stream, Arc::clone(&seen)));
        while connections.try_join_next().is_some() {}
    }
}

async fn echo(mut stream: TcpStream, seen: Arc<Seen>) {
    seen.open.fetch_add(1, Ordering::SeqCst);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        seen.bytes.fetch_add(n as u64, Ordering::SeqCst);
        if stream.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::eventually;

    #[tokio::test]
    async fn it_echoes_and_counts() {
        let device = EchoDevice::start().await;
        let mut stream = TcpStream::connect(device.address()).await.unwrap();
        stream.write_all(b"scan").await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!((&back, device.accepted(), device.open(), device.received()), (b"scan", 1, 1, 4));
        drop(stream);
        eventually(Duration::from_secs(5), "the connection is closed", async || device.open() == 0).await;
    }
}
