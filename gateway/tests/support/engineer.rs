//! An engineer at the inner door.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sallyport_gateway::run::Running;
use sallyport_runtime::tls;
use sallyport_testkit::{Ca, Credential};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::material;

pub struct EngineerClient<'r> {
    pub ca: &'r Ca,
    pub credential: Credential,
    pub running: &'r Running,
}

impl EngineerClient<'_> {
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value), String> {
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        let request = Request::builder().method(method).uri(path).header("host", "inner.example").body(body).unwrap();
        let answer = self.send(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    pub async fn open(&self, device: &str) -> Result<(StatusCode, Value), String> {
        let body = json!({ "device": device, "service": "console", "reason": "tube arcing" });
        self.call(Method::POST, "/v1/sessions", Some(body)).await
    }

    /// A session's id, opened.
    pub async fn opened(&self, device: &str) -> String {
        let (status, session) = self.open(device).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{session}");
        session["id"].as_str().unwrap().to_owned()
    }

    /// A stream of a session; the error is the status and the code.
    pub async fn stream(&self, session: &str) -> Result<TokioIo<Upgraded>, String> {
        let request = Request::get(format!("/v1/sessions/{session}/stream"))
            .header("host", "inner.example")
            .header("connection", "Upgrade")
            .header("upgrade", "sallyport-stream")
            .body(Body::empty())
            .unwrap();
        let answer = self.send(request).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(TokioIo::new(hyper::upgrade::on(answer).await.map_err(|error| error.to_string())?));
        }
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Err(format!("{status} {}", body["code"].as_str().unwrap_or_default()))
    }

    /// A connection that stays open.
    pub async fn connection(&self) -> SendRequest<Body> {
        self.connect().await.unwrap()
    }

    async fn send(&self, request: Request<Body>) -> Result<http::Response<Incoming>, String> {
        self.connect().await?.send_request(request).await.map_err(|error| error.to_string())
    }

    async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let config = tls::client(Some(&material(&self.credential)), &self.ca.bundle(), &[b"http/1.1"]).unwrap();
        let tcp = TcpStream::connect(self.running.listen.inner).await.map_err(|error| error.to_string())?;
        let name = rustls_pki_types::ServerName::try_from("inner.example").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await;
        let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
        let (send, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection.with_upgrades());
        Ok(send)
    }
}
