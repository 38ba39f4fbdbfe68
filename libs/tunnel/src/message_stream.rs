//! WebSocket binary messages as a byte stream, for whatever runs inside the tunnel. It also keeps the watch: asks a
//! silent peer for a sign of life, and cuts everything when the tunnel's [`Fate`] is decided.
//!
//! One task polls it, so reading and writing may both move the watch on.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::{Sink, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

use crate::fate::{CloseReason, Fate};
use crate::limits::Limits;

/// One message carries what h2 has at hand: a 16 KiB frame with its head, and room for small frames before it. A
/// peer may send twice that.
const MAX_SENT: usize = 32 * 1024;
const MAX_RECEIVED: usize = 64 * 1024;

/// tungstenite fills this with zeros before each read, so its size is resident memory in every idle tunnel; 128 KiB
/// by default.
const READ_BUFFER: usize = 4096;

/// A message waits in the write buffer only while the socket is full, and we wait then too: two of ours, and pongs.
const WRITE_BUFFER: usize = 2 * MAX_SENT + READ_BUFFER;

/// RFC 6455: a control frame has at most 125 bytes, two of them for the code.
const MAX_FAREWELL: usize = 123;

pub(crate) struct MessageStream<S> {
    socket: WebSocketStream<S>,
    fate: Arc<Fate>,
    unread: Bytes,
    watch: Watch,
    flush_ping: bool,
    said_farewell: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MessageStream<S> {
    /// Takes a stream whose upgrade is done: the next byte belongs to the first frame.
    pub(crate) async fn new(io: S, role: Role, limits: &Limits, fate: Arc<Fate>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(MAX_RECEIVED))
            .max_frame_size(Some(MAX_RECEIVED));
        Self {
            socket: WebSocketStream::from_raw_socket(io, role, Some(config)).await,
            fate,
            unread: Bytes::new(),
            watch: Watch::new(limits),
            flush_ping: false,
            said_farewell: false,
        }
    }

    /// Before anything moves: whether the tunnel is over, and whether the peer still lives.
    fn keep_watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.fate.cause().is_none() {
            match self.watch.poll(cx) {
                Sign::Fine => break,
                Sign::Ask => self.ping(cx),
                Sign::Gone => self.fate.end(CloseReason::PeerVanished),
            }
        }
        match self.fate.broken() {
            Some(error) => {
                self.say_farewell(cx);
                Err(error)
            }
            None => {
                if self.flush_ping {
                    self.flush_ping = self.socket.poll_flush_unpin(cx).is_pending();
                }
                Ok(())
            }
        }
    }

    /// A full socket gets no ping: the peer is not reading, and its silence alone decides.
    fn ping(&mut self, cx: &mut Context<'_>) {
        if self.socket.poll_ready_unpin(cx).is_ready() {
            self.flush_ping = self.socket.start_send_unpin(Message::Ping(Bytes::new())).is_ok();
        }
    }

    /// Once and without waiting: a close frame if the socket takes it now. Cutting is not delayed by politeness.
    fn say_farewell(&mut self, cx: &mut Context<'_>) {
        let reason = match self.fate.cause() {
            Some(cause) => cause.farewell(),
            None => Some("finished".to_owned()),
        };
        let Some(mut reason) = reason.filter(|_| !self.said_farewell) else { return };
        self.said_farewell = true;
        let mut end = reason.len().min(MAX_FAREWELL);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        let frame = CloseFrame { code: CloseCode::Policy, reason: reason.into() };
        if self.socket.poll_ready_unpin(cx).is_ready()
            && self.socket.start_send_unpin(Message::Close(Some(frame))).is_ok()
        {
            let _best_effort = self.socket.poll_flush_unpin(cx);
        }
    }

    fn failed(&mut self, error: Error, cx: &mut Context<'_>) -> io::Error {
        self.fate.end(match error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | Error::ConnectionClosed
            | Error::AlreadyClosed => CloseReason::Lost("the peer went without closing".to_owned()),
            Error::Io(error) => CloseReason::Lost(error.to_string()),
            error => CloseReason::Protocol(error.to_string()),
        });
        self.say_farewell(cx);
        self.fate.broken().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())
    }

    fn send(&mut self, bytes: Bytes, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let length = bytes.len();
        match self.socket.start_send_unpin(Message::Binary(bytes)) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(error) => Poll::Ready(Err(self.failed(error, cx))),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.keep_watch(cx)?;
        let ready = self.socket.poll_ready_unpin(cx);
        self.watch.wrote(ready.is_ready());
        match ready!(ready) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.failed(error, cx))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MessageStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.keep_watch(cx)?;
        while me.unread.is_empty() {
            let message = match ready!(me.socket.poll_next_unpin(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(me.failed(error, cx))),
                None => return Poll::Ready(Err(me.failed(Error::ConnectionClosed, cx))),
            };
            me.watch.heard();
            match message {
                Message::Binary(bytes) => me.unread = bytes,
                Message::Close(frame) => {
                    let reason = frame.map(|f| f.reason.to_string()).unwrap_or_default();
                    me.fate.end(CloseReason::PeerClosed(reason));
                    return Poll::Ready(Ok(()));
                }
                Message::Text(_) => {
                    me.fate.end(CloseReason::Protocol("a text message".to_owned()));
                    me.keep_watch(cx)?;
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        let length = me.unread.len().min(buf.remaining());
        buf.put_slice(&me.unread[..length]);
        me.unread.advance(length);
        if me.unread.is_empty() {
            // A slice would keep the whole message's memory.
            me.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MessageStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// A frame's head and payload come as two slices. Sent apart they would be two messages and two TLS records each.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        ready!(me.poll_writable(cx))?;
        let length = bufs.iter().map(|b| b.len()).sum::<usize>().min(MAX_SENT);
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut message = BytesMut::with_capacity(length);
        for buf in bufs {
            let room = length - message.len();
            message.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        me.send(message.freeze(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.keep_watch(cx)?;
        let flushed = me.socket.poll_flush_unpin(cx);
        me.watch.wrote(flushed.is_ready());
        match ready!(flushed) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(me.failed(error, cx))),
        }
    }

    /// The watch bounds this wait as well.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.keep_watch(cx)?;
        me.say_farewell(cx);
        Pin::new(&mut me.socket).poll_close(cx).map_err(io::Error::other)
    }
}

/// Tells a silent peer from a gone one. Any message counts as a sign of life, so a busy tunnel carries no pings. A peer
/// that speaks but takes nothing for as long is as good as gone: what waits for it would pile up.
struct Watch {
    heard: Instant,
    blocked: Option<Instant>,
    asked: bool,
    ping_every: Duration,
    ping_timeout: Duration,
    timer: Pin<Box<Sleep>>,
}

enum Sign {
    Fine,
    Ask,
    Gone,
}

impl Watch {
    fn new(limits: &Limits) -> Self {
        Self {
            heard: Instant::now(),
            blocked: None,
            asked: false,
            ping_every: limits.ping_every,
            ping_timeout: limits.ping_timeout,
            timer: Box::pin(tokio::time::sleep(limits.ping_every)),
        }
    }

    fn heard(&mut self) {
        self.heard = Instant::now();
        self.asked = false;
    }

    /// Whether the socket took what was to be written.
    fn wrote(&mut self, all: bool) {
        if all {
            self.blocked = None;
        } else if self.blocked.is_none() {
            self.blocked = Some(Instant::now());
        }
    }

    /// The timer is moved when it fires, not with every message. Only `Fine` leaves a waker behind: poll until then.
    fn poll(&mut self, cx: &mut Context<'_>) -> Sign {
        while self.timer.as_mut().poll(cx).is_ready() {
            let ask_at = self.heard + self.ping_every;
            let now = Instant::now();
            if self.blocked.is_some_and(|since| now >= since + self.ping_every + self.ping_timeout) {
                return Sign::Gone;
            }
            if now < ask_at {
                self.timer.as_mut().reset(ask_at);
            } else if !self.asked {
                self.asked = true;
                self.timer.as_mut().reset(ask_at + self.ping_timeout);
                return Sign::Ask;
            } else if now >= ask_at + self.ping_timeout {
                return Sign::Gone;
            } else {
                self.timer.as_mut().reset(ask_at + self.ping_timeout);
            }
        }
        Sign::Fine
    }
}
