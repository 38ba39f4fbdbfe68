//! The admin port: `/metrics`, `/healthz` (the process answers), `/readyz` (it may be given work). Plain HTTP inside the
//! cluster network; nothing on it is secret and nothing on it changes anything.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Registry;

/// What must hold before the process is given work. Closed by default: a requirement is unmet until it is met, and with
/// no requirements at all the process is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    requirements: Arc<RwLock<BTreeMap<&'static str, Option<String>>>>,
}

impl Readiness {
    /// Without requirements.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a requirement, unmet for the moment. The same name again is the same requirement.
    pub fn require(&self, name: &'static str) -> Requirement {
        let requirement = Requirement { name, readiness: self.clone() };
        requirement.unmet("not yet");
        requirement
    }

    /// Each unmet requirement with its reason, sorted by name; empty means ready.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let requirements = self.requirements.read().unwrap_or_else(PoisonError::into_inner);
        requirements.iter().filter_map(|(name, why)| Some((*name, why.clone()?))).collect()
    }

    fn set(&self, name: &'static str, why: Option<String>) {
        let mut requirements = self.requirements.write().unwrap_or_else(PoisonError::into_inner);
        requirements.insert(name, why);
    }
}

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Requirement {
    name: &'static str,
    readiness: Readiness,
}

impl Requirement {
    /// It holds.
    pub fn met(&self) {
        self.readiness.set(self.name, None);
    }

    /// It does not hold, and why, in a few words without secrets.
    pub fn unmet(&self, why: &str) {
        self.readiness.set(self.name, Some(why.to_owned()));
    }
}

/// The bound admin port.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    router: Router,
}

impl Admin {
    /// Binds the address; port 0 takes any.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr, registry: Registry, readiness: Readiness) -> io::Result<Self> {
        let router = Router::new()
            .route("/metrics", get(metrics).with_state(registry))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz).with_state(readiness));
        Ok(Self { listener: TcpListener::bind(address).await?, router })
    }

    /// More routes on the same port, for a process that has its own pages for operations.
    #[must_use]
    pub fn merge(mut self, routes: Router) -> Self {
        self.router = self.router.merge(routes);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then lets requests under way finish.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, shutdown: CancellationToken) -> io::Result<()> {
        axum::serve(self.listener, self.router).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}

async fn metrics(State(registry): State<Registry>) -> impl IntoResponse {
    match registry.text() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], format!("{error}\n")),
    }
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let missing = readiness.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let text = missing.iter().fold(String::new(), |mut text, (name, why)| {
        let _ = writeln!(text, "{name}: {why}"); // writing to a String cannot fail
        text
    });
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let registry = Registry::new();
        registry.counter("sallyport_test_things_total", "Things that happened.").inc();
        let readiness = Readiness::new();
        let (certificate, configuration) = (readiness.require("certificate"), readiness.require("configuration"));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let admin = Admin::bind(any, registry, readiness).await.unwrap();
        let address = admin.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(admin.serve(shutdown.clone()));

        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let metrics = get(address, "/metrics").await;
        assert!(metrics.contains("sallyport_test_things_total 1") && metrics.contains("text/plain; version=0.0.4"));
        let answer = get(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"));
        assert!(answer.ends_with("certificate: not yet\nconfiguration: not yet\n"), "{answer}");
        certificate.met();
        configuration.unmet("generation 3 was refused");
        assert!(get(address, "/readyz").await.ends_with("\r\n\r\nconfiguration: generation 3 was refused\n"));
        configuration.met();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        certificate.unmet("expired");
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        assert!(get(address, "/anything").await.starts_with("HTTP/1.1 404"));

        shutdown.cancel();
        serving.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
