//! The gateway's end: WebSocket server, HTTP/2 client. [`Tunnel`] is the handle, [`TunnelDriver`] owns the socket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::fate::{CloseReason, Fate};
use crate::limits::{Limits, MAX_OFFER, MAX_TRUST};
use crate::message_stream::MessageStream;
use crate::proof::{NONCE, Proof};
use crate::stream::TunnelStream;
use crate::wire::{self, Refusal, StreamTarget};

/// Why a stream could not be opened. Every variant is final for this attempt; the tunnel itself may be fine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The tunnel is over.
    #[error("the tunnel is over: {0}")]
    Closed(CloseReason),
    /// The tunnel ends when its streams do, and takes no new ones.
    #[error("the tunnel is being drained")]
    Draining,
    /// The agent refused.
    #[error("the agent refused: {0}")]
    Refused(Refusal),
    /// The agent reset the stream instead of answering.
    #[error("the agent reset the stream: {0}")]
    Reset(String),
    /// The session's id cannot be written in a header.
    #[error("a session id is 1 to 128 printable characters")]
    SessionId,
    /// No answer.
    #[error("the agent did not answer within {0:?}")]
    TimedOut(Duration),
    /// The tunnel has as many streams as it may have.
    #[error("the tunnel already has {0} streams")]
    TooManyStreams(u32),
}

impl OpenError {
    /// A closed set of labels for metrics and logs; a refusal has its own reason's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed(_) => "tunnelClosed",
            Self::Draining => "draining",
            Self::Refused(refusal) => refusal.reason.label(),
            Self::Reset(_) => "reset",
            Self::SessionId => "sessionId",
            Self::TimedOut(_) => "timedOut",
            Self::TooManyStreams(_) => "tooManyStreams",
        }
    }
}

/// Why an offer, an announcement of trust, a question for proof or a drain did not reach the agent, or was not taken. The
/// tunnel may be fine: an agent of an older version resets what it does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The tunnel is over.
    #[error("the tunnel is over: {0}")]
    Closed(CloseReason),
    /// The agent said yes, but not what it had to say with it.
    #[error("the agent's answer has no usable {0}")]
    Malformed(&'static str),
    /// The agent refused it, in its words.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// The agent reset the stream instead of answering.
    #[error("the agent reset the stream: {0}")]
    Reset(String),
    /// No answer.
    #[error("the agent did not answer within {0:?}")]
    TimedOut(Duration),
    /// Longer than [`MAX_OFFER`] or [`MAX_TRUST`].
    #[error("{0} bytes are more than a document of its kind may have")]
    TooLong(usize),
}

/// Begins the tunnel on a byte stream whose WebSocket upgrade was answered with 101. The handles do nothing until the
/// driver is polled: spawn it, and keep that task's end as the tunnel's.
pub async fn gateway_end<S>(io: S, limits: Limits) -> Result<(Tunnel, TunnelDriver<S>), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let fate = Arc::<Fate>::default();
    let begin = async {
        let bytes = MessageStream::new(io, Role::Server, &limits, Arc::clone(&fate)).await;
        limits.client().handshake::<_, Bytes>(bytes).await
    };
    let (send, connection) = match timeout(limits.open_timeout, begin).await {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return Err(fate.cause().cloned().unwrap_or_else(|| CloseReason::of_h2(&error))),
        Err(_elapsed) => return Err(CloseReason::PeerVanished),
    };
    let shared = Arc::new(Shared {
        fate,
        limits,
        streams: AtomicUsize::new(0),
        draining: AtomicBool::new(false),
        may_end: AtomicBool::new(false),
    });
    Ok((Tunnel { send, shared: Arc::clone(&shared) }, TunnelDriver { connection, shared }))
}

/// A tunnel to one agent. Clones are handles of the same tunnel; it ends when the last is dropped.
#[derive(Clone)]
pub struct Tunnel {
    send: SendRequest<Bytes>,
    shared: Arc<Shared>,
}

impl Tunnel {
    /// Connects to a service of a device behind the agent. Waits at most `open_timeout`, and not at all for a place.
    pub async fn open(&self, target: StreamTarget) -> Result<TunnelStream, OpenError> {
        let request = target.request().ok_or(OpenError::SessionId)?;
        if let Some(cause) = self.shared.fate.cause() {
            return Err(OpenError::Closed(cause.clone()));
        }
        let place = Arc::new(Place::take(&self.shared)?);
        let (response, send) = self.ask(request, Bytes::new(), false).await.map_err(|e| match e {
            AskError::Closed(cause) => OpenError::Closed(cause),
            AskError::Draining => OpenError::Draining,
            AskError::Reset(why) => OpenError::Reset(why),
            AskError::TimedOut => OpenError::TimedOut(self.shared.limits.open_timeout),
        })?;
        if !response.status().is_success() {
            return Err(OpenError::Refused(Refusal::parse(response.headers())));
        }
        Ok(TunnelStream::new(send, response.into_body(), place))
    }

    /// Hands the agent a signed offer, unopened. `Ok` means that it verified it and obeys it from now on.
    pub async fn push_offer(&self, signed: Bytes) -> Result<(), PushError> {
        if signed.len() > MAX_OFFER {
            return Err(PushError::TooLong(signed.len()));
        }
        self.push(wire::post(wire::OFFER), signed).await.map(drop)
    }

    /// Hands the agent a signed announcement of the CAs to trust, unopened. `Ok` is the digest of the bundle that it uses
    /// from now on, which may be another one than announced: the site may have changed its file meanwhile.
    pub async fn push_trust(&self, signed: Bytes) -> Result<String, PushError> {
        if signed.len() > MAX_TRUST {
            return Err(PushError::TooLong(signed.len()));
        }
        let headers = self.push(wire::post(wire::TRUST), signed).await?;
        wire::trust_digest(&headers).ok_or(PushError::Malformed("trust digest"))
    }

    /// Asks the agent which certificate it has now, and for the proof that it has the key. `gateway` is this gateway's
    /// name, for the agent's log; the agent signs the name that it was told when it dialled. Nothing of the answer is
    /// verified here.
    pub async fn prove(&self, gateway: &str, nonce: [u8; NONCE]) -> Result<Proof, PushError> {
        let request = wire::identity(gateway);
        let headers = self.push(request, Bytes::copy_from_slice(&nonce)).await?;
        Proof::parse(&headers).ok_or(PushError::Malformed("certificate or proof"))
    }

    /// Takes no new streams, asks the agent to dial another tunnel, and ends this one with its last stream, however
    /// long that takes: whoever drains owns the deadline and calls [`Tunnel::close`] then.
    pub async fn drain(&self) -> Result<(), PushError> {
        self.shared.draining.store(true, Ordering::Release);
        let told = self.push(wire::post(wire::DRAIN), Bytes::new()).await.map(drop);
        self.shared.may_end.store(true, Ordering::Release);
        self.shared.fate.wake_driver();
        told
    }

    /// Cuts everything. When this returns, no stream takes or yields another byte; the socket follows as soon as the
    /// driver runs, with a close frame if there is room for one.
    pub fn close(&self, reason: impl Into<String>) {
        self.shared.fate.end(CloseReason::Closed(reason.into()));
    }

    /// Resolves when the tunnel is over, at once if it is.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.fate.ended().await }
    }

    /// Whether the tunnel takes no new streams.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Streams that are open or being opened.
    pub fn streams(&self) -> usize {
        self.shared.streams.load(Ordering::Acquire)
    }

    /// The headers with which the agent said yes.
    async fn push(&self, request: Request<()>, body: Bytes) -> Result<HeaderMap, PushError> {
        let (response, _send) = self.ask(request, body, true).await.map_err(|e| match e {
            AskError::Closed(cause) => PushError::Closed(cause),
            AskError::Draining => PushError::Closed(CloseReason::Drained),
            AskError::Reset(why) => PushError::Reset(why),
            AskError::TimedOut => PushError::TimedOut(self.shared.limits.open_timeout),
        })?;
        match response.status().is_success() {
            true => Ok(response.into_parts().0.headers),
            false => Err(PushError::Refused(Refusal::parse(response.headers()).detail)),
        }
    }

    /// One request and its answer's head, within the deadline and the tunnel's life.
    async fn ask(
        &self,
        request: Request<()>,
        body: Bytes,
        end: bool,
    ) -> Result<(Response<RecvStream>, SendStream<Bytes>), AskError> {
        let fate = &self.shared.fate;
        let exchange = async {
            let mut send = self.send.clone().ready().await?;
            let (response, stream) = send.send_request(request, end && body.is_empty())?;
            exchange(response, stream, body).await
        };
        let exchanged = tokio::select! {
            cause = fate.ended() => return Err(AskError::Closed(cause)),
            exchanged = timeout(self.shared.limits.open_timeout, exchange) => exchanged,
        };
        exchanged.map_err(|_elapsed| AskError::TimedOut)?.map_err(|error| match fate.cause() {
            Some(cause) => AskError::Closed(cause.clone()),
            None if error.is_go_away() => AskError::Draining,
            None if error.is_reset() => AskError::Reset(error.to_string()),
            None => AskError::Closed(CloseReason::of_h2(&error)),
        })
    }
}

enum AskError {
    Closed(CloseReason),
    Draining,
    Reset(String),
    TimedOut,
}

async fn exchange(
    response: ResponseFuture,
    stream: SendStream<Bytes>,
    body: Bytes,
) -> Result<(Response<RecvStream>, SendStream<Bytes>), h2::Error> {
    if body.is_empty() {
        return Ok((response.await?, stream));
    }
    // h2 queues the body and sends it as the windows allow; it is at most [`MAX_OFFER`] long.
    let mut stream = stream;
    stream.send_data(body, true)?;
    Ok((response.await?, stream))
}

struct Shared {
    fate: Arc<Fate>,
    limits: Limits,
    streams: AtomicUsize,
    /// No new streams.
    draining: AtomicBool,
    /// And the agent was told: with the last stream the tunnel ends.
    may_end: AtomicBool,
}

/// One stream's place among `max_streams`, given back when it is dropped.
pub(crate) struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Result<Self, OpenError> {
        let max = shared.limits.max_streams;
        if shared.streams.fetch_add(1, Ordering::AcqRel) >= max as usize {
            shared.streams.fetch_sub(1, Ordering::AcqRel);
            return Err(OpenError::TooManyStreams(max));
        }
        let place = Self(Arc::clone(shared));
        // After taking the place: a drain that began meanwhile waits for it.
        if shared.draining.load(Ordering::Acquire) { Err(OpenError::Draining) } else { Ok(place) }
    }

    pub(crate) fn broken(&self) -> Option<std::io::Error> {
        self.0.fate.broken()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.may_end.load(Ordering::Acquire) {
            self.0.fate.wake_driver();
        }
    }
}

/// Owns the tunnel's socket and moves its bytes. Resolves when the tunnel is over; dropping it ends the tunnel.
#[must_use = "a tunnel moves only while its driver is polled"]
pub struct TunnelDriver<S> {
    connection: Connection<MessageStream<S>, Bytes>,
    shared: Arc<Shared>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Future for TunnelDriver<S> {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let me = self.get_mut();
        me.shared.fate.register(cx.waker());
        if me.shared.may_end.load(Ordering::Acquire) && me.shared.streams.load(Ordering::Acquire) == 0 {
            me.shared.fate.end(CloseReason::Drained);
        }
        // Also after the end, once: this is where the close frame gets its chance.
        match Pin::new(&mut me.connection).poll(cx) {
            Poll::Ready(Ok(())) if Arc::strong_count(&me.shared) == 1 => me.shared.fate.end(CloseReason::Abandoned),
            Poll::Ready(Ok(())) => me.shared.fate.end(CloseReason::PeerClosed("the agent stops".to_owned())),
            Poll::Ready(Err(error)) => me.shared.fate.end(CloseReason::of_h2(&error)),
            Poll::Pending => {}
        }
        me.shared.fate.cause().cloned().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<S> Drop for TunnelDriver<S> {
    fn drop(&mut self) {
        self.shared.fate.end(CloseReason::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use sallyport_core::name::DeviceId;
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::{Handler, RefusalReason, agent_end};

    struct Bare;

    impl Handler for Bare {
        type Io = DuplexStream;

        async fn connect(&self, _target: StreamTarget) -> Result<DuplexStream, Refusal> {
            Err(Refusal::new(RefusalReason::NoOffer, ""))
        }

        async fn offer(&self, _signed: Bytes) -> Result<(), String> {
            Ok(())
        }

        async fn trust(&self, _signed: Bytes) -> Result<String, String> {
            Ok("two words".to_owned())
        }

        async fn identity(&self, _nonce: [u8; NONCE]) -> Result<Proof, String> {
            Ok(Proof { certificate: Vec::new(), signature: vec![1] })
        }

        fn drain(&self) {}
    }

    /// What an agent does with a push that its version does not know, `/trust` once among them; and what becomes of an
    /// answer that fits in no header.
    #[tokio::test]
    async fn a_push_that_the_agent_does_not_know_is_an_error_and_not_the_end() {
        let (near, far) = duplex(64 * 1024);
        let agent = tokio::spawn(agent_end(far, Limits::DEFAULT, Arc::new(Bare), pending()));
        let (tunnel, driver) = gateway_end(near, Limits::DEFAULT).await.unwrap();
        let driver = tokio::spawn(driver);
        let body = Bytes::from_static(b"whatever comes later");
        let unknown = tunnel.push(wire::post("/later"), body.clone()).await.unwrap_err();
        assert!(matches!(unknown, PushError::Reset(_)), "{unknown}");
        let device = DeviceId::parse("lyon", "ct-1").unwrap();
        let target = StreamTarget { device, service: "ssh".parse().unwrap(), session: "s".to_owned() };
        assert_eq!(tunnel.open(target).await.err().unwrap().label(), "noOffer");
        tunnel.push_offer(body.clone()).await.unwrap();
        for refused in [tunnel.push_trust(body).await.map(drop), tunnel.prove("gw-0", [0; NONCE]).await.map(drop)] {
            assert!(matches!(&refused, Err(PushError::Refused(why)) if why.contains("no header")), "{refused:?}");
        }
        assert!(!driver.is_finished() && !agent.is_finished());
    }
}
