//! The agent's end: WebSocket client, HTTP/2 server. It answers each stream by asking the [`Handler`], and copies.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::fate::{CloseReason, Fate};
use crate::limits::{Limits, MAX_OFFER, MAX_TRUST};
use crate::message_stream::MessageStream;
use crate::proof::{NONCE, Proof};
use crate::relay::{relay, unless_reset};
use crate::wire::{self, Refusal, RefusalReason, StreamTarget};

/// What the agent does with what the gateway asks.
pub trait Handler: Send + Sync + 'static {
    /// A connection to a device service.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to the target, or says why not. Dropped when the gateway gives up or the tunnel ends.
    fn connect(&self, target: StreamTarget) -> impl Future<Output = Result<Self::Io, Refusal>> + Send;

    /// Takes a signed offer, or says why not.
    fn offer(&self, signed: Bytes) -> impl Future<Output = Result<(), String>> + Send;

    /// Takes a signed announcement of the CAs to trust and answers the digest of the bundle that is in force from now
    /// on, or says why not.
    fn trust(&self, signed: Bytes) -> impl Future<Output = Result<String, String>> + Send;

    /// Proves that it has the certificate it answers, and its key: for this tunnel's gateway and this nonce. Or says why
    /// it cannot.
    fn identity(&self, nonce: [u8; NONCE]) -> impl Future<Output = Result<Proof, String>> + Send;

    /// The gateway wants to be rid of this tunnel: dial another. This one goes on until the gateway ends it.
    fn drain(&self);
}

/// Serves one tunnel on a byte stream whose WebSocket upgrade was answered with 101, until it is over.
///
/// When `stop` resolves, no new stream is taken; those open have `finish_timeout` to end. Every task begun here ends
/// with this future, and with them the connections to devices.
pub async fn agent_end<S, H>(
    io: S,
    limits: Limits,
    handler: Arc<H>,
    stop: impl Future<Output = ()> + Send,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    let fate = Arc::<Fate>::default();
    let begin = async {
        let bytes = MessageStream::new(io, Role::Client, &limits, Arc::clone(&fate)).await;
        limits.server().handshake::<_, Bytes>(bytes).await
    };
    // Boxed and freed: the handshake is as large as what follows, and lives for one round trip of the tunnel's days.
    let connection = match timeout(limits.open_timeout, Box::pin(begin)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return fate.cause().cloned().unwrap_or_else(|| CloseReason::of_h2(&error)),
        Err(_elapsed) => return CloseReason::PeerVanished,
    };
    serve(Box::new(connection), &limits, &handler, &fate, stop).await
}

async fn serve<S, H>(
    mut connection: Box<Connection<MessageStream<S>, Bytes>>,
    limits: &Limits,
    handler: &Arc<H>,
    fate: &Arc<Fate>,
    stop: impl Future<Output = ()> + Send,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    let mut stopping = false;
    let mut finish_by = pin!(tokio::time::sleep(limits.finish_timeout));
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    tasks.spawn(answer(request, respond, Arc::clone(handler), *limits, stopping));
                }
                // Asked to stop, how exactly the peer lets go does not matter.
                _ if stopping => return CloseReason::Stopped,
                Some(Err(error)) => {
                    fate.end(CloseReason::of_h2(&error));
                    return fate.cause().cloned().unwrap_or(CloseReason::Abandoned);
                }
                None => {
                    let finished = CloseReason::PeerClosed("finished".to_owned());
                    return fate.cause().cloned().unwrap_or(finished);
                }
            },
            Some(ended) = tasks.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a stream's task failed");
            },
            () = &mut stop, if !stopping => {
                stopping = true;
                connection.graceful_shutdown();
                finish_by.as_mut().reset(tokio::time::Instant::now() + limits.finish_timeout);
            }
            () = &mut finish_by, if stopping => {
                fate.end(CloseReason::Stopped);
                // Once more, for the close frame; the socket's refusal to go on ends it.
                let _cut = timeout(std::time::Duration::ZERO, connection.accept()).await;
                return CloseReason::Stopped;
            }
        }
    }
}

/// One request, from its head to the end of its stream.
async fn answer<H: Handler>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    handler: Arc<H>,
    limits: Limits,
    stopping: bool,
) {
    let (head, body) = request.into_parts();
    let target = StreamTarget::parse(&head.uri, &head.headers);
    match (&head.method, head.uri.path(), target) {
        (&Method::CONNECT, _, _) if stopping => {
            refuse(respond, &Refusal::new(RefusalReason::Stopping, "the agent stops"));
        }
        (&Method::CONNECT, _, Some(target)) => Box::pin(connect(target, body, respond, &*handler, &limits)).await,
        (&Method::CONNECT, _, None) => {
            refuse(respond, &Refusal::new(RefusalReason::BadRequest, "device, service or session does not parse"));
        }
        (&Method::POST, wire::OFFER, _) => {
            answer_push(respond, &limits, async {
                handler.offer(whole(body, MAX_OFFER).await?).await.map(|()| wire::no_content())
            })
            .await;
        }
        (&Method::POST, wire::TRUST, _) => {
            answer_push(respond, &limits, async {
                let digest = handler.trust(whole(body, MAX_TRUST).await?).await?;
                wire::trusted(&digest).ok_or_else(|| "its digest fits in no header".to_owned())
            })
            .await;
        }
        (&Method::POST, wire::IDENTITY, _) => {
            tracing::debug!(gateway = ?head.headers.get(wire::GATEWAY), "asked for proof of identity");
            answer_push(respond, &limits, async {
                let nonce = whole(body, NONCE).await?;
                let nonce =
                    nonce[..].try_into().map_err(|_| format!("the nonce has {} bytes, not {NONCE}", nonce.len()))?;
                let proof = handler.identity(nonce).await?;
                proof.response().ok_or_else(|| "its certificate or proof fits in no header".to_owned())
            })
            .await;
        }
        (&Method::POST, wire::DRAIN, _) => {
            handler.drain();
            send(respond, wire::no_content());
        }
        _ => respond.send_reset(Reason::REFUSED_STREAM),
    }
}

async fn connect<H: Handler>(
    target: StreamTarget,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
    handler: &H,
    limits: &Limits,
) {
    // Before the gateway's own deadline, so that it learns why.
    let deadline = limits.open_timeout * 4 / 5;
    let connecting = timeout(deadline, handler.connect(target));
    let Some(connected) = unless_reset(|cx| respond.poll_reset(cx), connecting).await else { return };
    let late = |_| Err(Refusal::new(RefusalReason::Unreachable, format!("no connection within {deadline:?}")));
    match connected.unwrap_or_else(late) {
        Ok(device) => {
            if let Ok(send) = respond.send_response(Response::new(()), false)
                && let Err(error) = relay(send, body, device).await
            {
                tracing::debug!(%error, "stream broke");
            }
        }
        Err(refusal) => refuse(respond, &refusal),
    }
}

/// Answers a push with what `taking` comes to, before the gateway's own deadline, so that it learns why.
async fn answer_push(
    respond: SendResponse<Bytes>,
    limits: &Limits,
    taking: impl Future<Output = Result<Response<()>, String>>,
) {
    let taken = timeout(limits.open_timeout * 4 / 5, Box::pin(taking)).await;
    let taken = taken.unwrap_or_else(|_elapsed| Err("not done in time".to_owned()));
    send(respond, taken.unwrap_or_else(|why| wire::push_refused(&why)));
}

/// A push's body, if it is no longer than it may be.
async fn whole(mut body: RecvStream, max: usize) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| error.to_string())?;
        if whole.len() + chunk.len() > max {
            return Err(format!("longer than {max} bytes"));
        }
        body.flow_control().release_capacity(chunk.len()).map_err(|error| error.to_string())?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

fn refuse(respond: SendResponse<Bytes>, refusal: &Refusal) {
    send(respond, refusal.response());
}

/// The whole answer. A gateway that is gone already does not miss it.
fn send(mut respond: SendResponse<Bytes>, response: Response<()>) {
    if let Err(error) = respond.send_response(response, true) {
        tracing::debug!(%error, "answer not sent");
    }
}
