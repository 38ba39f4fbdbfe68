//! The agent's end: WebSocket client, HTTP/2 server. It answers each stream by asking the [`Handler`], and copies.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::fate::{CloseReason, Fate};
use crate::limits::{Limits, MAX_OFFER};
use crate::message_stream::MessageStream;
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
            let taken = timeout(limits.open_timeout, Box::pin(take_offer(body, &*handler))).await;
            match taken.unwrap_or_else(|_elapsed| Err("not done in time".to_owned())) {
                Ok(()) => done(respond),
                Err(why) => send(respond, wire::offer_refused(&why)),
            }
        }
        (&Method::POST, wire::DRAIN, _) => {
            handler.drain();
            done(respond);
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

async fn take_offer<H: Handler>(mut body: RecvStream, handler: &H) -> Result<(), String> {
    let mut signed = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| error.to_string())?;
        if signed.len() + chunk.len() > MAX_OFFER {
            return Err(format!("longer than {MAX_OFFER} bytes"));
        }
        body.flow_control().release_capacity(chunk.len()).map_err(|error| error.to_string())?;
        signed.extend_from_slice(&chunk);
    }
    handler.offer(signed.freeze()).await
}

fn done(respond: SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    send(respond, response);
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
