//! One stream at the gateway: a byte stream to a device service, with flow control of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gateway::Place;

/// What is asked of the flow control at once: h2's frame size.
const CHUNK: usize = 16 * 1024;

/// A connected stream. `shutdown` is the half-close; dropping it resets what has not ended, at the device too.
///
/// Reading gives room to the peer only for what was read, so a reader that stops, stops its device and nobody else.
/// After the tunnel's end both directions fail with `ConnectionAborted`, whatever had arrived before.
pub struct TunnelStream {
    send: SendStream<Bytes>,
    recv: RecvStream,
    unread: Bytes,
    place: Arc<Place>,
}

impl TunnelStream {
    pub(crate) fn new(send: SendStream<Bytes>, recv: RecvStream, place: Arc<Place>) -> Self {
        Self { send, recv, unread: Bytes::new(), place }
    }

    fn alive(&self) -> io::Result<()> {
        self.place.broken().map_or(Ok(()), Err)
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.alive()?;
        while me.unread.is_empty() {
            match ready!(me.recv.poll_data(cx)) {
                Some(Ok(bytes)) => me.unread = bytes,
                Some(Err(error)) => return Poll::Ready(Err(me.place.broken().unwrap_or_else(|| io_error(error)))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = me.unread.len().min(buf.remaining());
        buf.put_slice(&me.unread[..length]);
        me.unread.advance(length);
        me.recv.flow_control().release_capacity(length).map_err(io_error)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        me.alive()?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(poll_room(&mut me.send, buf.len(), cx))?;
        let length = buf.len().min(room);
        me.send.send_data(Bytes::copy_from_slice(&buf[..length]), false).map_err(io_error)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.alive())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.alive()?;
        Poll::Ready(me.send.send_data(Bytes::new(), true).map_err(io_error))
    }
}

/// How many of `wanted` bytes the flow control takes now; never none. Whoever waits here is woken by a reset too.
pub(crate) fn poll_room(send: &mut SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    send.reserve_capacity(wanted.min(CHUNK));
    loop {
        match send.capacity() {
            0 => match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Err(reset())),
            },
            room => return Poll::Ready(Ok(room)),
        }
    }
}

pub(crate) fn io_error(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(_) => io::Error::new(io::ErrorKind::ConnectionReset, error),
        None => io::Error::new(io::ErrorKind::ConnectionAborted, error),
    }
}

pub(crate) fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the peer reset the stream")
}
