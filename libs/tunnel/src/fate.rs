//! How a tunnel ended, decided once. The first cause stays: what follows from it (broken streams, errors of the
//! socket) never covers it up.

use std::sync::OnceLock;

use futures::task::AtomicWaker;
use tokio_util::sync::CancellationToken;

/// Why a tunnel is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Nobody at this end wanted it any more: all handles, or its driver, were dropped.
    #[error("nobody uses the tunnel any more")]
    Abandoned,
    /// Closed at this end, with the reason given.
    #[error("closed at this end: {0}")]
    Closed(String),
    /// Drained at this end: its last stream ended.
    #[error("drained")]
    Drained,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// The peer closed it, with the reason it gave.
    #[error("closed by the peer: {0}")]
    PeerClosed(String),
    /// The peer stopped answering.
    #[error("the peer does not answer any more")]
    PeerVanished,
    /// The peer sent what the protocol has no place for.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// This end was told to stop.
    #[error("this end stops")]
    Stopped,
}

impl CloseReason {
    /// A closed set of labels for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Closed(_) => "closed",
            Self::Drained => "drained",
            Self::Lost(_) => "lost",
            Self::PeerClosed(_) => "peerClosed",
            Self::PeerVanished => "peerVanished",
            Self::Protocol(_) => "protocol",
            Self::Stopped => "stopped",
        }
    }

    /// What the peer is told in the close frame, or nothing if it is not there to hear it.
    pub(crate) fn farewell(&self) -> Option<String> {
        match self {
            Self::Closed(reason) => Some(reason.clone()),
            Self::Abandoned | Self::Drained | Self::Protocol(_) | Self::Stopped => Some(self.to_string()),
            Self::Lost(_) | Self::PeerClosed(_) | Self::PeerVanished => None,
        }
    }

    pub(crate) fn of_h2(error: &h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_remote() => Self::PeerClosed(reason.description().to_owned()),
            Some(_) => Self::Protocol(error.to_string()),
            None => Self::Lost(error.to_string()),
        }
    }
}

/// The end of one tunnel, shared by its handles, its streams and whoever drives its socket.
#[derive(Default)]
pub(crate) struct Fate {
    cause: OnceLock<CloseReason>,
    ended: CancellationToken,
    driver: AtomicWaker,
}

impl Fate {
    /// Ends the tunnel, unless it has ended already. Every stream fails from here on.
    pub(crate) fn end(&self, reason: CloseReason) {
        if self.cause.set(reason).is_ok() {
            self.ended.cancel();
            self.driver.wake();
        }
    }

    pub(crate) fn cause(&self) -> Option<&CloseReason> {
        self.cause.get()
    }

    pub(crate) async fn ended(&self) -> CloseReason {
        self.ended.cancelled().await;
        self.cause().cloned().unwrap_or(CloseReason::Abandoned)
    }

    /// Whom to wake when the tunnel ends or may be drained.
    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.driver.register(waker);
    }

    pub(crate) fn wake_driver(&self) {
        self.driver.wake();
    }

    /// The error that a stream shows after the end.
    pub(crate) fn broken(&self) -> Option<std::io::Error> {
        let cause = self.cause()?;
        Some(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, cause.clone()))
    }
}
