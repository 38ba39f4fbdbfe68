//! Bytes between one stream and one device connection at the agent, both ways, each way ending by itself.
//!
//! The tunnel gets room for more only after the device took what came (back-pressure), and a reset from the gateway
//! is seen even while the device takes nothing. A stream that waits for its device owns no buffer.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::{io_error, poll_room, reset};

/// On the stack while a device is read, never kept.
const CHUNK: usize = 16 * 1024;

/// Runs until both directions ended, or one failed: then the stream is reset and the device connection dropped.
pub(crate) async fn relay<D>(mut send: SendStream<Bytes>, recv: RecvStream, device: D) -> io::Result<()>
where
    D: AsyncRead + AsyncWrite + Unpin,
{
    let mut relay = Relay { device, down: Down { recv, chunk: Bytes::new(), ended: false }, up_ended: false };
    let result = poll_fn(|cx| relay.poll(&mut send, cx)).await;
    if result.is_err() {
        send.send_reset(Reason::CANCEL);
    }
    result
}

struct Relay<D> {
    device: D,
    down: Down,
    up_ended: bool,
}

impl<D: AsyncRead + AsyncWrite + Unpin> Relay<D> {
    fn poll(&mut self, send: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !(self.down.ended && self.up_ended) && send.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(reset()));
        }
        let down = self.down.poll(&mut self.device, cx)?;
        let up = self.poll_up(send, cx)?;
        if down.is_ready() && up.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Device to tunnel. Room first, so that nothing is read which could not be passed on.
    fn poll_up(&mut self, send: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.up_ended {
            let room = ready!(poll_room(send, CHUNK, cx))?;
            let mut space = [MaybeUninit::<u8>::uninit(); CHUNK];
            let mut buf = ReadBuf::uninit(&mut space[..room.min(CHUNK)]);
            ready!(Pin::new(&mut self.device).poll_read(cx, &mut buf))?;
            self.up_ended = buf.filled().is_empty();
            send.send_data(Bytes::copy_from_slice(buf.filled()), self.up_ended).map_err(io_error)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// Tunnel to device.
struct Down {
    recv: RecvStream,
    chunk: Bytes,
    ended: bool,
}

impl Down {
    fn poll<D: AsyncWrite + Unpin>(&mut self, device: &mut D, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended {
            if self.chunk.is_empty() {
                match self.recv.poll_data(cx) {
                    Poll::Ready(Some(Ok(chunk))) => self.chunk = chunk,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io_error(error))),
                    Poll::Ready(None) => {
                        ready!(Pin::new(&mut *device).poll_shutdown(cx))?;
                        self.ended = true;
                    }
                    Poll::Pending => {
                        ready!(Pin::new(&mut *device).poll_flush(cx))?;
                        return Poll::Pending;
                    }
                }
            } else {
                let written = ready!(Pin::new(&mut *device).poll_write(cx, &self.chunk))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.chunk.advance(written);
                self.recv.flow_control().release_capacity(written).map_err(io_error)?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Runs `work` unless the gateway resets the stream first.
pub(crate) async fn unless_reset<F, R>(mut poll_reset: R, work: F) -> Option<F::Output>
where
    F: Future,
    R: FnMut(&mut Context<'_>) -> Poll<Result<Reason, h2::Error>>,
{
    let mut work = pin!(work);
    poll_fn(|cx| match poll_reset(cx) {
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(cx).map(Some),
    })
    .await
}
