//! Somebody at the outer door who is no agent yet.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use sallyport_gateway::run::Running;
use sallyport_pki::bundle::TrustBundle;
use sallyport_runtime::tls;
use sallyport_testkit::Credential;
use serde_json::Value;
use tokio::net::TcpStream;

use super::material;

pub struct Visitor<'r> {
    pub bundle: TrustBundle,
    pub credential: Option<Credential>,
    pub running: &'r Running,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn code(&self) -> (u16, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        (self.status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
    }

    pub fn message(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body's base64, decoded.
    pub fn der(&self) -> Vec<u8> {
        STANDARD.decode(&self.body).unwrap()
    }
}

impl Visitor<'_> {
    pub async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let own = self.credential.as_ref().map(material);
        let config = tls::client(own.as_ref(), &self.bundle, &[b"http/1.1"]).unwrap();
        let tcp = TcpStream::connect(self.running.listen.outer).await.map_err(|error| error.to_string())?;
        let name = rustls_pki_types::ServerName::try_from("outer.example").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await;
        let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
        let (send, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(send)
    }

    pub async fn send(&self, request: Request<Body>) -> Result<Answer, String> {
        send(&mut self.connect().await?, request).await
    }

    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(Request::get(path).header("host", "outer.example").body(Body::empty()).unwrap()).await
    }

    /// An enrolment as curl sends it.
    pub async fn enroll(&self, token: Option<(&str, &str)>, csr: &[u8]) -> Answer {
        let path = if token.is_some() { "simpleenroll" } else { "simplereenroll" };
        self.send(enrolment(path, token, csr)).await.unwrap()
    }
}

pub async fn send(connection: &mut SendRequest<Body>, request: Request<Body>) -> Result<Answer, String> {
    connection.ready().await.map_err(|error| error.to_string())?;
    let answer = connection.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

pub fn enrolment(path: &str, token: Option<(&str, &str)>, csr: &[u8]) -> Request<Body> {
    let mut request = Request::post(format!("/.well-known/est/{path}"))
        .header("host", "outer.example")
        .header("content-type", "application/pkcs10");
    if let Some((user, password)) = token {
        request = request.header("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    }
    request.body(Body::from(STANDARD.encode(csr))).unwrap()
}
