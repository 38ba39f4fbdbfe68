//! An inner door that says what a test tells it to, byte by byte: real TLS, HTTP written by hand, so that what is sent
//! when is the test's to see.

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, reason = "a test, a part of each program")]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use sallyport_runtime::tls::{self, ClientAuth, Door, KeyMaterial};
use sallyport_testkit::{Ca, Credential, EngineersCa};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

pub const HOST: &str = "frankfurt.service.test";

/// The door, the engineer's files, and what happened.
pub struct Region {
    pub folder: TempDir,
    pub address: String,
    pub state: Arc<State>,
}

/// What the door does and has seen.
#[derive(Default)]
pub struct State {
    /// `METHOD PATH BODY` in order.
    pub seen: Mutex<Vec<String>>,
    /// Answers to `POST /v1/sessions` before it begins to say yes.
    pub refusals: Mutex<VecDeque<(u16, &'static str)>>,
    /// Refuse streams with this.
    pub refuse_streams: Mutex<Option<(u16, &'static str)>>,
    /// Why the session ended, once it did.
    pub ended: Mutex<Option<&'static str>>,
    /// Cuts every stream.
    pub cut: CancellationToken,
    /// What `GET /v1/audit/export` answers.
    pub export: Mutex<Option<Vec<u8>>>,
    /// The connection breaks in the middle of it.
    pub break_off: Mutex<bool>,
    /// What `GET /v1/audit/records` answers; without it the engineer is no auditor.
    pub records: Mutex<Option<String>>,
    /// A client sent bytes before its 101.
    pub early_bytes: Mutex<bool>,
}

impl Region {
    pub async fn begin() -> Self {
        let (ca, engineers) = (Ca::new("dmz-frankfurt", "frankfurt"), EngineersCa::new());
        let anna = engineers.engineer("anna@vendor.example", &["ct-service-emea"]);
        Self::with(&ca, &engineers, &anna).await
    }

    pub async fn with(ca: &Ca, admitted: &EngineersCa, engineer: &Credential) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("me.pem"), &engineer.chain_pem).unwrap();
        std::fs::write(folder.path().join("me.key"), engineer.key_pem.as_bytes()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.bundle().to_pem()).unwrap();

        let own = ca.inner_door(HOST);
        let own = KeyMaterial { chain_pem: own.chain_pem, key_pem: own.key_pem };
        let config = tls::server(&own, ClientAuth::Required(&admitted.bundle()), &[b"http/1.1"]).unwrap();
        let state = Arc::new(State::default());
        let address = serve(config, Arc::clone(&state)).await;
        Self { folder, address, state }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, told about this region and nothing else.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sallyportctl"));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("SALLYPORT_SERVER", format!("https://{HOST}:443"))
            .env("SALLYPORT_ADDRESS", &self.address)
            .env("SALLYPORT_CERTIFICATE", self.file("me.pem"))
            .env("SALLYPORT_KEY", self.file("me.key"))
            .env("SALLYPORT_TRUST", self.file("ca.pem"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Output {
        bounded(self.command(arguments).stdin(Stdio::null()).output()).await.unwrap()
    }

    pub fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Ends the session as the gateway would.
    pub fn withdraw(&self, reason: &'static str) {
        *self.state.ended.lock().unwrap() = Some(reason);
        self.state.cut.cancel();
    }
}

/// Nothing in these tests takes longer, on however slow a machine.
pub async fn bounded<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work).await.expect("within 30 s")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub async fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().unwrap().to_string()).status().await;
    assert!(status.unwrap().success());
}

async fn serve(config: Arc<ServerConfig>, state: Arc<State>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let door = Arc::new(Door::open(config));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (door, state) = (Arc::clone(&door), Arc::clone(&state));
            tokio::spawn(async move {
                if let Ok(tls) = door.accept(tcp, Duration::from_secs(10)).await {
                    converse(tls, &state).await;
                }
            });
        }
    });
    address
}

/// Requests on one connection, until a stream takes it over or the client goes.
async fn converse(mut tls: TlsStream<TcpStream>, state: &State) {
    while let Some((method, path, body)) = request(&mut tls).await {
        state.seen.lock().unwrap().push(format!("{method} {path} {body}").trim_end().to_owned());
        if path.ends_with("/stream") && state.refuse_streams.lock().unwrap().is_none() {
            return stream(tls, state).await;
        }
        if path.starts_with("/v1/audit/") {
            match audit(&mut tls, state, &path).await {
                true => continue,
                false => return,
            }
        }
        let (status, answer) = answer(state, &method, &path);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
        if tls.write_all(format!("{head}{answer}").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Bytes that are no JSON. Says whether the connection goes on.
async fn audit(tls: &mut TlsStream<TcpStream>, state: &State, path: &str) -> bool {
    let export = state.export.lock().unwrap().clone();
    let records = state.records.lock().unwrap().clone().map(String::into_bytes);
    let body = if path.starts_with("/v1/audit/export") { export } else { records };
    let (status, body) = match body {
        Some(body) => (200, body),
        None => {
            let (status, problem) = problem((403, "notAnAuditor"));
            (status, problem.to_string().into_bytes())
        }
    };
    let breaks = *state.break_off.lock().unwrap();
    let length = if breaks { body.len() + 1 } else { body.len() };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n");
    let sent = tls.write_all(&[head.as_bytes(), &body].concat()).await.is_ok();
    sent && !breaks
}

async fn request(tls: &mut TlsStream<TcpStream>) -> Option<(String, String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.ok()?);
    }
    let head = text(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    tls.read_exact(&mut body).await.ok()?;
    assert!(head.contains(&format!("host: {HOST}:443")), "{head}");
    let mut first = head.lines().next().unwrap().split(' ').map(str::to_owned);
    Some((first.next().unwrap().to_uppercase(), first.next().unwrap(), text(&body)))
}

fn answer(state: &State, method: &str, path: &str) -> (u16, Value) {
    match (method, path) {
        ("GET", "/v1/devices") => (200, devices()),
        ("GET", "/v1/sessions") => (200, json!({ "sessions": [session(state), older_session()] })),
        ("GET", "/v1/status") => (200, status()),
        ("GET", "/v1/whoami") => (
            200,
            json!({ "user": "anna@vendor.example", "groups": ["ct-service-emea"], "notAfter": "2124-01-01T00:00:00Z",
                "region": "dmz-frankfurt/frankfurt", "gateway": "frankfurt-gateway-0" }),
        ),
        ("POST", "/v1/sessions") => match state.refusals.lock().unwrap().pop_front() {
            Some(refusal) => problem(refusal),
            None => (201, session(state)),
        },
        ("GET", path) if path.ends_with("/stream") => problem(state.refuse_streams.lock().unwrap().unwrap()),
        ("GET", "/v1/sessions/0-4f1c2a") => (200, session(state)),
        ("DELETE", "/v1/sessions/0-4f1c2a") => {
            state.ended.lock().unwrap().get_or_insert("endedByEngineer");
            (200, session(state))
        }
        _ => problem((404, "unknownSession")),
    }
}

fn problem((status, code): (u16, &str)) -> (u16, Value) {
    (status, json!({ "code": code, "message": format!("the gateway says {code}") }))
}

/// Waits before it agrees: a client that cannot wait is caught. Then it echoes.
async fn stream(mut tls: TlsStream<TcpStream>, state: &State) {
    let mut byte = [0];
    if timeout(Duration::from_millis(300), tls.read(&mut byte)).await.is_ok() {
        *state.early_bytes.lock().unwrap() = true;
        return;
    }
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: sallyport-stream\r\n\r\n";
    // A first byte in the same packet as the 101 must not be lost.
    tls.write_all(format!("{agreed}>").as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            () = state.cut.cancelled() => return,
            read = tls.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(read) => tls.write_all(&buffer[..read]).await.unwrap(),
            }
        }
    }
    let _ = tls.shutdown().await;
}

fn session(state: &State) -> Value {
    let mut session = json!({
        "id": "0-4f1c2a", "engineer": "anna@vendor.example", "device": "site-lyon/ct-scanner", "service": "ssh",
        "protocol": "ssh", "reason": "tube arcing", "incident": "4711", "gateway": "frankfurt-gateway-0",
        "policy": "dmz-frankfurt/ct-service-emea", "state": "open", "openedAt": "2026-11-24T08:00:00Z",
        "expiresAt": "2026-11-24T10:00:00Z", "idleTimeoutSeconds": 900, "streams": 1, "bytesIn": 1536, "bytesOut": 512,
        "fromANewerGateway": true,
    });
    if let Some(reason) = *state.ended.lock().unwrap() {
        session["state"] = "ended".into();
        session["endReason"] = reason.into();
        if reason == "withdrawn" {
            session["endDetail"] = "site site-lyon/hospices-rhone is suspended".into();
        }
    }
    session
}

fn older_session() -> Value {
    json!({
        "id": "1-00ff", "engineer": "anna@vendor.example", "device": "site-lyon/lab-gateway", "service": "console",
        "protocol": "https", "reason": "quality control", "gateway": "frankfurt-gateway-1",
        "policy": "dmz-frankfurt/ct-service-emea", "state": "ended", "endReason": "idle",
        "openedAt": "2026-11-23T16:00:00.5Z", "expiresAt": "2026-11-23T18:00:00Z", "idleTimeoutSeconds": 900,
        "streams": 0, "bytesIn": 7_340_032, "bytesOut": 0,
    })
}

fn devices() -> Value {
    let service = |name: &str, protocol: &str, port: u16| json!({ "name": name, "protocol": protocol, "port": port, "examinationSafe": true });
    let device = |id: &str, customer: &str, class: &str, connected: bool, services: Vec<Value>| {
        json!({ "id": id, "customer": customer, "product": "Somnia CT 700 (18842)", "class": class,
            "level": "permanentLimited", "site": "site-lyon/hospices-rhone", "connected": connected, "services": services })
    };
    json!({ "devices": [
        device("site-osaka/mr-scanner", "大阪病院", "inVivo", false, vec![service("ssh", "ssh", 22)]),
        device("site-lyon/ct-scanner", "Hospices du Rhône, Lyon", "inVivo", true,
            vec![service("console", "https", 443), service("ssh", "ssh", 22)]),
        device("site-lyon/mr-scanner", "Hospices du Rhône, Lyon", "inVivo", true, vec![service("ssh", "ssh", 22)]),
    ] })
}

fn status() -> Value {
    json!({ "region": "dmz-frankfurt/frankfurt", "gateway": "frankfurt-gateway-0", "version": "0.1.0", "gateways": [
        { "name": "frankfurt-gateway-0", "reachable": true, "version": "0.1.0", "generation": 12, "tunnels": 3, "sessions": 1 },
        { "name": "frankfurt-gateway-1", "reachable": false },
    ] })
}
