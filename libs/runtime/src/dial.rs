//! Connecting over TCP, more than once within one wait.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::{Instant, timeout};

use crate::listen;

/// One attempt. A first packet that is lost is sent again after a second, so this bears one loss on any line. Behind a load
/// balancer an attempt that was sent to a backend which just died stays there, whatever is sent again; a new one, with a
/// new source port, goes to a live one.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Connects within `within` in all.
///
/// # Errors
/// What the last attempt said. A refusal is final: somebody answered.
pub async fn connect(to: impl ToSocketAddrs + Clone, within: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + within;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match timeout(left.min(ATTEMPT), TcpStream::connect(to.clone())).await {
            Ok(Ok(stream)) => {
                // A socket that refuses it still works.
                let _ = listen::tune(&stream);
                return Ok(stream);
            }
            Ok(Err(error)) => return Err(error),
            Err(_) if left <= ATTEMPT => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn it_connects_and_a_refusal_is_final() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(connect(address, Duration::from_secs(5)).await.is_ok());
        drop(listener);
        let refused = connect(address, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
