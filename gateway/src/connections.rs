//! Connections between replicas, each cut when its other end's certificate is revoked, or its authority was dropped in an
//! emergency. Whatever runs over one
//! (a request, or a stream that was joined to an engineer's) ends with it.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::certificate::InUse;
use crate::trust::Trust;

/// All of them; cheap to clone.
#[derive(Clone, Default)]
pub struct Connections {
    live: Arc<Mutex<Live>>,
}

#[derive(Default)]
struct Live {
    last: u64,
    all: BTreeMap<u64, (InUse, CancellationToken)>,
}

impl Connections {
    /// Makes a connection one that can be cut. Check the trust again afterwards: it may have changed just before.
    pub fn register<S>(&self, stream: S, certificate: InUse) -> Cuttable<S> {
        let cut = CancellationToken::new();
        let mut live = self.lock();
        live.last += 1;
        let number = live.last;
        live.all.insert(number, (certificate, cut.clone()));
        drop(live);
        let registration = Registration { connections: self.clone(), number };
        Cuttable { stream, cut: Box::pin(cut.cancelled_owned()), is_cut: false, _registration: registration }
    }

    /// Cuts what `trust` does not allow: no byte passes after this returns. The number that was cut.
    pub fn enforce(&self, trust: &Trust) -> usize {
        let live = self.lock();
        let cut = live.all.values().filter(|(certificate, _)| trust.lets_go_on(certificate).is_err());
        cut.map(|(_, cut)| cut.cancel()).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Registration {
    connections: Connections,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.lock().all.remove(&self.number);
    }
}

/// A byte stream that fails once it is cut.
pub struct Cuttable<S> {
    stream: S,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_cut: bool,
    _registration: Registration,
}

impl<S> Cuttable<S> {
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(cx).is_ready();
        match self.is_cut {
            true => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the peer's certificate is no longer trusted"))
            }
            false => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cuttable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cuttable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
