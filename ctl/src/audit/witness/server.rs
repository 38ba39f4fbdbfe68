//! The witness over HTTP.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use rustls::ServerConfig;
use sallyport_audit::tlog::witness::{AddCheckpoint, Refused};
use sallyport_runtime::listen;
use sallyport_runtime::tls::Door;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::keeper::{Keeper, NotGiven};
use crate::{output, words};

/// A checkpoint with the signatures of sixteen witnesses and the longest proof have 10 kB.
const MOST_BODY: usize = 64 * 1024;
/// Some regions' operators ask, once in a while.
const MOST_CONNECTIONS: usize = 64;
/// For a handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a whole connection: nobody has to keep one.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    keeper: Arc<Keeper>,
    stop: CancellationToken,
) {
    let app = Router::new().route("/", get(seen)).route("/add-checkpoint", post(add)).with_state(keeper);
    let door = tls.map(|config| Arc::new(Door::open(config)));
    let stopping = stop.clone();
    listen::serve(listener, MOST_CONNECTIONS, stop, move |stream, _| {
        let (app, door, stop) = (app.clone(), door.clone(), stopping.clone());
        async move {
            let Some(door) = door else { return connection(stream, app, stop).await };
            if let Ok(tls) = door.accept(stream, PATIENCE).await {
                connection(tls, app, stop).await;
            }
        }
    })
    .await;
}

/// Requests of one connection, until it is closed, too old, or the witness stops.
async fn connection<S>(stream: S, app: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let served = async {
        tokio::select! {
            _ = connection.as_mut() => {}
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    };
    // A connection that ends otherwise is the client's business; it sees no answer.
    let _ = tokio::time::timeout(LONGEST, served).await;
}

async fn add(State(keeper): State<Arc<Keeper>>, headers: HeaderMap, body: Body) -> Response {
    // One that says how much it will send is refused before it does.
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let body = match length {
        Some(length) if length > MOST_BODY => None,
        _ => to_bytes(body, MOST_BODY).await.ok(),
    };
    let Some(body) = body else {
        return (StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {MOST_BODY} bytes\n")).into_response();
    };
    let decided = tokio::task::spawn_blocking(move || {
        let request = AddCheckpoint::parse(&body).map_err(|error| NotGiven::Refused(Refused::Malformed(error)))?;
        let (origin, head) = (request.origin().to_owned(), request.checkpoint.claimed().head());
        let line = keeper.add(request, Timestamp::now());
        let what = match &line {
            Ok(_) => "cosigned".to_owned(),
            Err(error) => format!("refused: {}", chain(error)),
        };
        output::say(&format!("{origin:?} size {}: {what}", head.size));
        line
    })
    .await;
    match decided {
        Ok(Ok(line)) => format!("{line}\n").into_response(),
        Ok(Err(NotGiven::Refused(refused))) => refusal(&refused),
        Ok(Err(NotGiven::Memory(_))) | Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot remember what it cosigns\n").into_response()
        }
    }
}

fn refusal(refused: &Refused) -> Response {
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match refused.size() {
        // The body is the protocol's: from where to go on.
        Some(size) => (status, [(CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response(),
        None => (status, format!("{}\n", chain(refused))).into_response(),
    }
}

/// What it has seen, for people.
async fn seen(State(keeper): State<Arc<Keeper>>) -> Response {
    let verifier = keeper.verifier_key().to_string();
    let Ok(Ok(all)) = tokio::task::spawn_blocking(move || keeper.all()).await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot read its memory\n").into_response();
    };
    let mut text = format!("witness {verifier}\nlogs    {}\n", all.len());
    for seen in all {
        let head = seen.head;
        let _ = write!(text, "\n{}\n{}\n{}\n{}\n", seen.origin, head.size, head.root, words::time(seen.at));
    }
    text.into_response()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
