//! How much one tunnel may hold and how long it may wait, with the arithmetic.

use std::time::Duration;

use h2::{client, server};

/// The longest signed offer: that of the largest site (1000 devices of 20 services) is about 1.3 MB.
pub const MAX_OFFER: usize = 4 << 20;

/// The longest signed announcement of trust: a bundle of eight certificates of 1 KiB in base64 is 11 KiB; this has room
/// for a hundred and more.
pub const MAX_TRUST: usize = 256 * 1024;

/// Streams beside the `max_streams` of sessions, for offers, trust, proofs and drain, so that these pass when all sessions are
/// taken.
const CONTROL_STREAMS: u32 = 4;

/// What h2 may hold of a stream's bytes before they are written. More gains nothing once the socket is full.
const SEND_BUFFER: usize = 64 * 1024;

/// Our longest request has four short headers; the longest answer is a proof, with a certificate of at most 2 KiB and a
/// signature of at most 256 bytes, in base64 3.1 KiB together.
const HEADERS: u32 = 4 * 1024;

/// Limits of one tunnel. Both ends should have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent streams, that is service connections, in one tunnel.
    pub max_streams: u32,
    /// Bytes that a stream's reader may leave unread before its writer has to wait.
    pub stream_window: u32,
    /// The same for the whole tunnel. It bounds the memory of a tunnel whose readers all stall.
    pub connection_window: u32,
    /// After this long without a message from the peer, it is asked for one.
    pub ping_every: Duration,
    /// After this long without an answer to that, the peer is gone.
    pub ping_timeout: Duration,
    /// For the answer to an open or a push (an offer, trust, a proof, a drain), and for the tunnel's own beginning.
    pub open_timeout: Duration,
    /// For the streams to end after the agent was told to stop.
    pub finish_timeout: Duration,
}

impl Limits {
    /// - 256 KiB a stream carry 5 MiB/s over a path of 50 ms; 128 KiB would halve that.
    /// - (32 + 4) streams x 256 KiB = 9 MiB < 10 MiB: with every reader but one stalled, that one still has 1 MiB.
    /// - 10 s + 15 s = 25 s < 30 s, within which a vanished peer must be noticed (fault F15).
    /// - An agent gives a device 5 s to answer, so 10 s leave time for its refusal to arrive.
    pub const DEFAULT: Self = Self {
        max_streams: 32,
        stream_window: 256 * 1024,
        connection_window: 10 * 1024 * 1024,
        ping_every: Duration::from_secs(10),
        ping_timeout: Duration::from_secs(15),
        open_timeout: Duration::from_secs(10),
        finish_timeout: Duration::from_secs(10),
    };

    /// When a peer that vanished has been noticed, counted from its last message.
    pub const fn noticed_after(&self) -> Duration {
        self.ping_every.saturating_add(self.ping_timeout)
    }

    /// Whether stalled streams can never use up the tunnel's window.
    pub const fn is_sound(&self) -> bool {
        (self.max_streams as u64 + CONTROL_STREAMS as u64) * (self.stream_window as u64) < self.connection_window as u64
    }

    pub(crate) fn client(&self) -> client::Builder {
        let mut builder = client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .initial_max_send_streams(self.all_streams() as usize)
            .max_header_list_size(HEADERS)
            .max_send_buffer_size(SEND_BUFFER);
        builder
    }

    pub(crate) fn server(&self) -> server::Builder {
        let mut builder = server::Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_concurrent_streams(self.all_streams())
            .max_header_list_size(HEADERS)
            .max_send_buffer_size(SEND_BUFFER);
        builder
    }

    const fn all_streams(&self) -> u32 {
        self.max_streams + CONTROL_STREAMS
    }
}

const _: () = assert!(Limits::DEFAULT.is_sound());
const _: () = assert!(Limits::DEFAULT.noticed_after().as_secs() < 30);

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
