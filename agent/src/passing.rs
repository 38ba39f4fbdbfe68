//! Bytes on their way between a stream of a tunnel and a device: counted, and told of at the end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sallyport_tunnel::StreamTarget;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::metrics::Metrics;

/// A device connection that is counted, and logged at its end.
pub struct Passing {
    stream: TcpStream,
    metrics: Metrics,
    target: StreamTarget,
    to_device: u64,
    from_device: u64,
}

impl Passing {
    /// Counts it as open from now on.
    pub fn new(stream: TcpStream, metrics: &Metrics, target: StreamTarget) -> Self {
        metrics.streams_open.inc();
        Self { stream, metrics: metrics.clone(), target, to_device: 0, from_device: 0 }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.metrics.streams_open.dec();
        let StreamTarget { device, service, session } = &self.target;
        let (to_device, from_device) = (self.to_device, self.from_device);
        tracing::info!(%session, %device, %service, to_device, from_device, "stream ended");
    }
}

impl AsyncRead for Passing {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        me.from_device += read;
        me.metrics.bytes.with_label_values(&["fromDevice"]).inc_by(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Passing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = ready!(Pin::new(&mut me.stream).poll_write(cx, buf))?;
        me.to_device += written as u64;
        me.metrics.bytes.with_label_values(&["toDevice"]).inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
