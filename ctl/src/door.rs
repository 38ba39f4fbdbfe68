//! The inner door from outside: HTTP/1.1 over TLS with the engineer's certificate. One connection for questions, kept
//! while it lasts; one of its own for every stream.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use sallyport_runtime::dial;
use sallyport_runtime::tls::{self, HandshakeFailure};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::Problem;
use crate::failure::Failure;

/// What the protocol of streams is called.
const STREAM: &str = "sallyport-stream";
/// A way through proxies and firewalls takes a second or two; more is a wall.
const DIAL_WITHIN: Duration = Duration::from_secs(10);
/// A session is answered when its record is durable (10 s at the gateway) and peers were asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Between two chunks of a download the archive is read, which may be far away.
const CHUNK_WITHIN: Duration = Duration::from_secs(120);
/// A region with 10,000 devices answers in about 4 MB.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Replicas that are being stopped say so; a new connection reaches another one soon.
const TRIES_WHILE_DRAINING: u32 = 5;

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Dialler {
    /// Host and port that the server is called by.
    pub authority: String,
    /// The name in its certificate.
    pub name: ServerName<'static>,
    /// What is dialled.
    pub dial: (String, u16),
    pub config: Arc<ClientConfig>,
}

/// Asks questions.
#[derive(Debug)]
pub(crate) struct Door {
    dialler: Arc<Dialler>,
    connection: Option<Connection>,
}

/// HTTP on one TLS connection.
#[derive(Debug)]
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// Reads and writes. What broke the connection is told here, when it broke between requests.
    task: JoinHandle<hyper::Result<()>>,
}

impl Door {
    pub(crate) fn new(dialler: Dialler) -> Self {
        Self { dialler: Arc::new(dialler), connection: None }
    }

    /// For somebody who asks at the same time.
    pub(crate) fn another(&self) -> Self {
        Self { dialler: Arc::clone(&self.dialler), connection: None }
    }

    pub(crate) fn dialler(&self) -> Arc<Dialler> {
        Arc::clone(&self.dialler)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for something that is larger than an answer, to be read as it comes. On a connection of its own.
    pub(crate) async fn download(&mut self, path: &str) -> Result<Download, Failure> {
        let mut connection = self.dialler.connect().await?;
        let request = self.dialler.request(Method::GET, path, Full::default());
        let response = self.dialler.answer(&mut connection, request).await?;
        if !response.status().is_success() {
            let status = response.status();
            self.dialler.read(response).await?;
            return Err(self.unexpected(format!("status {status}")));
        }
        Ok(Download { dialler: Arc::clone(&self.dialler), body: response.into_body(), _connection: connection })
    }

    /// A session by its id.
    pub(crate) async fn session(&mut self, id: &str) -> Result<Value, Failure> {
        self.get(&path_of(id)?).await
    }

    /// Asks for a session.
    pub(crate) async fn open(&mut self, request: &Value) -> Result<Value, Failure> {
        let body = Bytes::from(request.to_string());
        let mut tries = 0;
        loop {
            // On a connection of its own: it may reach another replica than the last, and a kept connection that broke
            // would leave it open whether the session exists.
            self.connection = None;
            match self.ask(Method::POST, "/v1/sessions", body.clone()).await {
                Err(Failure::Answer { code, .. }) if code == "draining" && tries < TRIES_WHILE_DRAINING => tries += 1,
                answer => return answer,
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends a session.
    pub(crate) async fn end(&mut self, id: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, &path_of(id)?, Bytes::new()).await
    }

    /// The failure of an answer that makes no sense.
    pub(crate) fn unexpected(&self, what: String) -> Failure {
        self.dialler.unexpected(what)
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Value, Failure> {
        let kept = self.connection.take().filter(|connection| !connection.requests.is_closed());
        let request = || self.dialler.request(method.clone(), path, Full::new(body.clone()));
        let mut answer = None;
        if let Some(mut connection) = kept {
            // It may have been closed a moment ago; whoever asked to look or to end may ask twice.
            if let Ok(response) = self.dialler.answer(&mut connection, request()).await {
                answer = Some((response, connection));
            }
        }
        let (response, connection) = match answer {
            Some(answer) => answer,
            None => {
                let mut connection = self.dialler.connect().await?;
                (self.dialler.answer(&mut connection, request()).await?, connection)
            }
        };
        let value = self.dialler.read(response).await?;
        self.connection = Some(connection);
        Ok(value)
    }
}

/// An answer as it comes.
pub(crate) struct Download {
    dialler: Arc<Dialler>,
    body: Incoming,
    _connection: Connection,
}

impl Download {
    /// The next chunk; nothing at the end. An answer that breaks off is an error: a part must not pass for the whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match timeout(CHUNK_WITHIN, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some(chunk));
                    }
                }
                Ok(Some(Err(_))) => return Err(self.dialler.unexpected("half an answer: it broke off".to_owned())),
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.dialler.unexpected("half an answer: nothing more came".to_owned())),
            }
        }
    }
}

impl Dialler {
    /// A stream of a session. It is returned only after the gateway's 101, so nobody can have sent a byte before.
    pub(crate) async fn stream(&self, id: &str) -> Result<TokioIo<Upgraded>, Failure> {
        let mut connection = self.connect().await?;
        let mut request = self.request(Method::GET, &format!("{}/stream", path_of(id)?), Full::default());
        request.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, http::HeaderValue::from_static(STREAM));
        let mut response = self.answer(&mut connection, request).await?;
        let upgrade = response.headers().get(UPGRADE).is_some_and(|value| value.as_bytes() == STREAM.as_bytes());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS || !upgrade {
            let status = response.status();
            self.read(response).await?;
            return Err(self.unexpected(format!("status {status} to a stream")));
        }
        match hyper::upgrade::on(&mut response).await {
            Ok(upgraded) => Ok(TokioIo::new(upgraded)),
            Err(error) => Err(self.broken(&error)),
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let (host, port) = &self.dial;
        let unreachable = |source| Failure::Unreachable { address: format!("{host}:{port}"), source };
        let tcp = dial::connect((host.as_str(), *port), DIAL_WITHIN).await.map_err(unreachable)?;
        let tls = tls::connect(Arc::clone(&self.config), self.name.clone(), tcp, DIAL_WITHIN).await;
        let tls = tls.map_err(|source| self.handshake(source))?;
        let (requests, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(|error| self.broken(&error))?;
        Ok(Connection { requests, task: tokio::spawn(connection.with_upgrades()) })
    }

    fn request(&self, method: Method, path: &str, body: Full<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        // Constants, and ids that `path_of` has looked at.
        *request.uri_mut() = path.parse().unwrap_or_default();
        if let Ok(host) = self.authority.parse() {
            request.headers_mut().insert(HOST, host);
        }
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        request
    }

    async fn answer(
        &self,
        connection: &mut Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        let error = match timeout(ANSWER_WITHIN, connection.requests.send_request(request)).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(_) => {
                let source = io::ErrorKind::TimedOut.into();
                return Err(Failure::Unreachable { address: self.authority.clone(), source });
            }
        };
        // A server that refuses the client's certificate says so after the handshake, perhaps before the request was
        // even written: then only the connection knows.
        if (error.is_canceled() || error.is_closed())
            && let Ok(Ok(Err(told))) = timeout(Duration::from_secs(1), &mut connection.task).await
        {
            return Err(self.broken(&told));
        }
        Err(self.broken(&error))
    }

    /// The body: the answer, or the problem.
    async fn read(&self, response: Response<Incoming>) -> Result<Value, Failure> {
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect();
        let body = match timeout(ANSWER_WITHIN, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(self.unexpected(format!("half an answer ({error})"))),
            Err(_) => return Err(self.unexpected("half an answer".to_owned())),
        };
        let json = serde_json::from_slice(&body);
        match (status.is_success(), json) {
            (true, Ok(value)) => Ok(value),
            (false, Ok(value)) => match serde_json::from_value(value) {
                Ok(Problem { code, message }) => Err(Failure::Answer { status: status.as_u16(), code, message }),
                Err(_) => Err(self.unexpected(format!("status {status}"))),
            },
            (_, Err(_)) => Err(self.unexpected(format!("status {status} and no JSON"))),
        }
    }

    fn unexpected(&self, what: String) -> Failure {
        Failure::Unexpected { server: self.authority.clone(), what }
    }

    fn handshake(&self, source: HandshakeFailure) -> Failure {
        Failure::Handshake { server: self.authority.clone(), source }
    }

    /// Finds the TLS alert in what HTTP makes of it.
    fn broken(&self, error: &hyper::Error) -> Failure {
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                let tls = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                return match tls {
                    Some(tls) => self.handshake(tls.clone().into()),
                    None => self.handshake(HandshakeFailure::Closed(io.kind().into())),
                };
            }
            cause = error.source();
        }
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return self.handshake(HandshakeFailure::Closed(io::ErrorKind::UnexpectedEof.into()));
        }
        self.unexpected(error.to_string())
    }
}

/// An id from a command line must not become another path.
fn path_of(id: &str) -> Result<String, Failure> {
    let fine = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fine {
        Ok(format!("/v1/sessions/{id}"))
    } else {
        Err(Failure::Usage(format!("{id:?} is not the id of a session; sallyportctl sessions lists yours")))
    }
}
