//! An answer in parts of at most 64 KiB. Whoever writes waits while the gateway reads slowly; nothing piles up here.

use sallyport_control::wire;
use tokio::sync::mpsc;

use super::message;

/// The most bytes of one part (the control stream's contract).
const CHUNK: usize = 64 * 1024;

/// Where an answer goes.
#[derive(Clone)]
pub(super) struct Chunks {
    request: u64,
    outbound: mpsc::Sender<wire::AuditFromOperator>,
    gathered: Vec<u8>,
}

/// Nobody takes the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the rest")]
pub(super) struct Stopped;

impl Chunks {
    pub(super) fn new(request: u64, outbound: mpsc::Sender<wire::AuditFromOperator>) -> Self {
        Self { request, outbound, gathered: Vec::new() }
    }

    /// Adds bytes. Blocks; to be called in a thread that may.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let room = CHUNK - self.gathered.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.gathered.extend_from_slice(now);
            bytes = rest;
            if self.gathered.len() == CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Sends what is gathered. Blocks as [`Chunks::write`] does.
    pub(super) fn flush(&mut self) -> Result<(), Stopped> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.gathered);
        self.outbound.blocking_send(message(self.request, chunk, false, None)).map_err(|_| Stopped)
    }

    /// Says that nothing follows, and why, if not all came.
    pub(super) async fn end(self, refused: Option<wire::QueryRefused>) {
        // A stream that is gone needs no end.
        let _ = self.outbound.send(message(self.request, Vec::new(), true, refused)).await;
    }
}
