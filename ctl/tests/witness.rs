//! The witness over real HTTP: what it cosigns, what it never cosigns, and that it remembers across a kill.

#![allow(clippy::unwrap_used, reason = "a test")]

mod audit_support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use audit_support::Vendor;
use sallyport_audit::tlog::checkpoint::SignedCheckpoint;
use sallyport_audit::tlog::note::{Statement, VerifierKey};
use sallyport_audit::tlog::witness::AddCheckpoint;
use sallyport_testkit::Ca;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

struct Witness {
    child: Child,
    key: VerifierKey,
    address: String,
}

impl Witness {
    async fn start(state: &Path, region: &str, more: &[&str]) -> Self {
        let mut child = command(state, region, &[&["--listen", "127.0.0.1:0"], more].concat()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let key = timeout(SOON, stdout.next_line()).await.unwrap().unwrap().expect("a verifier key").parse().unwrap();
        let line = timeout(SOON, stderr.next_line()).await.unwrap().unwrap().unwrap();
        let address = line.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        // Nobody reads its log, and it must not block on that.
        tokio::spawn(async move { while let Ok(Some(_)) = stderr.next_line().await {} });
        Self { child, key, address }
    }

    async fn add(&self, request: &AddCheckpoint) -> (u16, String) {
        let body = request.to_string();
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.ask(&(head + &body)).await
    }

    async fn seen(&self) -> String {
        self.ask("GET / HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n").await.1
    }

    async fn ask(&self, request: &str) -> (u16, String) {
        let answer = async {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(SOON, answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// As a power cut would.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn command(state: &Path, region: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallyportctl"));
    command.args(["audit", "witness", "--state", state.to_str().unwrap(), "--region", region]).args(more);
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("witness");
    (folder, state)
}

/// The line is a cosignature of this checkpoint by this key.
fn holds(checkpoint: &SignedCheckpoint, line: &str, key: &VerifierKey) {
    let mut checkpoint = checkpoint.clone();
    checkpoint.add(line.trim_end_matches('\n').parse().unwrap());
    let opened = checkpoint.open(std::slice::from_ref(key)).unwrap();
    assert!(matches!(opened.statement_of(key), Some(Statement::Cosigned { at }) if at > 0));
}

#[tokio::test]
async fn it_cosigns_what_goes_on_and_remembers_when_it_is_killed_between() {
    let ((_folder, state), mut vendor) = (folder(), Vendor::new());
    let witness = Witness::start(&state, &vendor.key(), &["--name", "witness.hospital.example"]).await;
    assert_eq!(witness.key.name().as_str(), "witness.hospital.example");
    let request = vendor.request(0);
    let (status, line) = witness.add(&request).await;
    assert_eq!(status, 200, "{line}");
    holds(&request.checkpoint, &line, &witness.key);
    let key = witness.key.clone();
    witness.kill().await;

    let witness = Witness::start(&state, &vendor.key(), &[]).await;
    assert_eq!(witness.key, key, "the same key, and the name that it was given");
    vendor.grow(300);
    // It goes on from 12, so from 0 is a conflict that says where.
    assert_eq!(witness.add(&vendor.request(0)).await, (409, "12\n".to_owned()));
    let request = vendor.request(12);
    let (status, line) = witness.add(&request).await;
    assert_eq!(status, 200, "{line}");
    holds(&request.checkpoint, &line, &key);
    let seen = witness.seen().await;
    assert!(seen.contains(&vendor.origin.to_string()) && seen.contains("\n312\n"), "{seen}");
    // The same once more is the same answer, with a new time.
    assert_eq!(witness.add(&vendor.request(312)).await.0, 200);
}

#[tokio::test]
async fn a_fork_is_refused_also_after_a_restart() {
    let ((_folder, state), vendor) = (folder(), Vendor::new());
    let witness = Witness::start(&state, &vendor.key(), &[]).await;
    assert_eq!(witness.add(&vendor.request(0)).await.0, 200);
    witness.kill().await;
    let witness = Witness::start(&state, &vendor.key(), &[]).await;

    // The vendor signs another history of the same size, and one that is longer.
    let mut head = vendor.head();
    head.root = sallyport_audit::tlog::hash::Hash::leaf(b"another history");
    let fork = AddCheckpoint { old: 12, proof: vec![], checkpoint: vendor.checkpoint(head) };
    assert_eq!(witness.add(&fork).await, (409, "12\n".to_owned()));
    head.size = 13;
    let longer = AddCheckpoint { old: 12, proof: vendor.request(5).proof, checkpoint: vendor.checkpoint(head) };
    assert_eq!(witness.add(&longer).await.0, 422);
    head.size = 4;
    let shorter = AddCheckpoint { old: 12, proof: vec![], checkpoint: vendor.checkpoint(head) };
    assert_eq!(witness.add(&shorter).await.0, 400);
    // What was cosigned before still is what it is.
    assert_eq!(witness.add(&vendor.request(12)).await.0, 200);
}

#[tokio::test]
async fn logs_of_others_are_unknown_and_signatures_of_others_refused() {
    let ((_folder, state), vendor, other) = (folder(), Vendor::new(), Vendor::new());
    let witness = Witness::start(&state, &vendor.key(), &[]).await;
    // Another region's key under the same name.
    assert_eq!(witness.add(&other.request(0)).await.0, 403);
    let elsewhere = vendor.key().replace("dmz/frankfurt", "dmz/osaka");
    assert!(elsewhere.parse::<VerifierKey>().is_err(), "its id is another's");
    let osaka = sallyport_audit::tlog::note::KeyName::new("sallyport.dev/dmz/osaka/g/00ff12ab/region").unwrap();
    let mut note =
        sallyport_audit::tlog::checkpoint::Checkpoint::new(&osaka, vendor.head()).sign(&vendor.gateway).unwrap();
    note.sign(&vendor.region);
    assert_eq!(witness.add(&AddCheckpoint { old: 0, proof: vec![], checkpoint: note }).await.0, 404);
    let malformed = "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";
    assert_eq!(witness.ask(malformed).await.0, 400);
    let large = "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n";
    assert_eq!(witness.ask(large).await.0, 413);
    assert!(witness.seen().await.contains("logs    0"));
}

#[tokio::test]
async fn it_keeps_its_key_to_itself_stops_when_told_and_shares_its_memory_with_nobody() {
    use std::os::unix::fs::PermissionsExt as _;
    let ((folder, state), vendor) = (folder(), Vendor::new());
    let mut witness = Witness::start(&state, &vendor.key(), &[]).await;
    assert_eq!(std::fs::metadata(state.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    let second = command(&state, &vendor.key(), &["--listen", "127.0.0.1:0"]).output().await.unwrap();
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.code() == Some(1) && words.contains("another witness uses"), "{words}");

    let id = witness.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(timeout(SOON, witness.child.wait()).await.unwrap().unwrap().success());

    // Another name is another witness.
    let renamed = command(&state, &vendor.key(), &["--listen", "127.0.0.1:0", "--name", "x"]).output().await.unwrap();
    let words = String::from_utf8(renamed.stderr).unwrap();
    assert!(renamed.status.code() == Some(2) && words.contains("--name"), "{words}");
    // A memory that is damaged is not an empty one.
    std::fs::write(state.join("logs").join("x.json"), "{").unwrap();
    std::fs::remove_file(state.join("key")).unwrap();
    let lost = command(&state, &vendor.key(), &["--listen", "127.0.0.1:0"]).output().await.unwrap();
    assert!(!lost.status.success());
    drop(folder);
}

#[tokio::test]
async fn it_speaks_tls_with_the_certificate_that_it_is_given() {
    let ((folder, state), vendor) = (folder(), Vendor::new());
    let ca = Ca::new("dmz-frankfurt", "frankfurt");
    let own = ca.inner_door("witness.hospital.example");
    let (certificate, key) = (folder.path().join("tls.pem"), folder.path().join("tls.key"));
    std::fs::write(&certificate, &own.chain_pem).unwrap();
    std::fs::write(&key, own.key_pem.as_bytes()).unwrap();
    let tls = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let witness = Witness::start(&state, &vendor.key(), &tls).await;

    sallyport_runtime::tls::install();
    let config = sallyport_runtime::tls::client(None, &ca.bundle(), &[b"http/1.1"]).unwrap();
    let tcp = TcpStream::connect(&witness.address).await.unwrap();
    let name = "witness.hospital.example".try_into().unwrap();
    let mut stream = sallyport_runtime::tls::connect(config, name, tcp, SOON).await.unwrap();
    let body = vendor.request(0).to_string();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn by_mail_it_cosigns_an_exports_checkpoints_and_sees_that_they_go_on() {
    let ((folder, state), mut vendor) = (folder(), Vendor::new());
    let once = async |path: &Path, vendor: &Vendor| {
        let output = command(&state, &vendor.key(), &["--once", path.to_str().unwrap()]).output().await.unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let first = folder.path().join("first");
    vendor.write(&first);
    let (code, stdout, stderr) = once(&first, &vendor).await;
    assert_eq!(code, 0, "{stderr}");
    let key: VerifierKey = stderr.lines().find_map(|line| line.strip_prefix("witness ")).unwrap().parse().unwrap();
    let cosigned = SignedCheckpoint::parse(stdout.trim_end_matches('\n').to_owned().as_bytes());
    let cosigned =
        cosigned.or_else(|_| SignedCheckpoint::parse(format!("{}\n", stdout.trim_end()).as_bytes())).unwrap();
    assert!(cosigned.open(&[key]).is_ok());

    vendor.grow(300);
    let second = folder.path().join("second");
    vendor.write(&second);
    let (code, _, stderr) = once(&second, &vendor).await;
    assert_eq!(code, 0, "its tiles prove that it goes on: {stderr}");
    // The first once more: the log shrank.
    let (code, stdout, stderr) = once(&first, &vendor).await;
    assert!(code == 8 && stdout.is_empty() && stderr.contains("not cosigned"), "{stderr}");
    // A bare checkpoint of a grown log has no proof with it.
    vendor.grow(1);
    let bare = folder.path().join("mail.txt");
    std::fs::write(&bare, vendor.checkpoint(vendor.head()).to_string()).unwrap();
    let (code, _, stderr) = once(&bare, &vendor).await;
    assert!(code == 8 && stderr.contains("not shown to have only grown"), "{stderr}");
}
