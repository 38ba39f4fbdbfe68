//! What moved through a passage: bytes, streams, and when last.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Counts of one session. Written by its streams without locks, read by its driver when it wakes.
#[derive(Debug)]
pub struct Meter {
    born: Instant,
    moved_ms: AtomicU64,
    to_device: AtomicU64,
    to_engineer: AtomicU64,
    streams: AtomicUsize,
    stream_ended: Notify,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            moved_ms: AtomicU64::new(0),
            to_device: AtomicU64::new(0),
            to_engineer: AtomicU64::new(0),
            streams: AtomicUsize::new(0),
            stream_ended: Notify::new(),
        }
    }
}

impl Meter {
    /// Bytes that went to the device.
    pub fn to_device(&self) -> u64 {
        self.to_device.load(Ordering::Relaxed)
    }

    /// Bytes that went to the engineer.
    pub fn to_engineer(&self) -> u64 {
        self.to_engineer.load(Ordering::Relaxed)
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// Returns when no stream is open.
    pub async fn no_streams(&self) {
        loop {
            let ended = self.stream_ended.notified();
            if self.streams() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// When a byte moved last, or a stream began.
    pub fn moved_at(&self) -> Instant {
        self.born + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    pub(super) fn begin(self: &Arc<Self>) -> Place {
        self.streams.fetch_add(1, Ordering::AcqRel);
        self.moved();
        Place(Arc::clone(self))
    }

    fn moved(&self) {
        let ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(ms, Ordering::Relaxed);
    }
}

/// One open stream; dropping it is its end.
pub(super) struct Place(Arc<Meter>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
        self.0.stream_ended.notify_waiters();
    }
}

/// The engineer's end of a stream, counted.
pub struct Metered<E> {
    engineer: E,
    meter: Arc<Meter>,
}

impl<E> Metered<E> {
    /// Counts what passes `engineer`.
    pub fn new(engineer: E, meter: Arc<Meter>) -> Self {
        Self { engineer, meter }
    }
}

impl<E: AsyncRead + Unpin> AsyncRead for Metered<E> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.engineer).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if read > 0 {
            self.meter.to_device.fetch_add(read as u64, Ordering::Relaxed);
            self.meter.moved();
        }
        Poll::Ready(Ok(()))
    }
}

impl<E: AsyncWrite + Unpin> AsyncWrite for Metered<E> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.engineer).poll_write(cx, buf))?;
        self.meter.to_engineer.fetch_add(written as u64, Ordering::Relaxed);
        self.meter.moved();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.engineer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.engineer).poll_shutdown(cx)
    }
}
