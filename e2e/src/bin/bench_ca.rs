//! The parts of `make bench-ca` that are programs: the bare signing rate, and a plain client of the API server that makes,
//! rewrites and removes many objects at once.
//!
//! ```text
//! bench_ca sign NUMBER THREADS                      leaves signed a second, with a new key for each and without
//! bench_ca write METHOD CONCURRENCY < OBJECTS       each line: PATH<tab>JSON; POST, PUT, PATCH (merge) or DELETE
//! bench_ca objects KIND NUMBER NAMESPACE...         lines for `write`: secrets, endpoints, tunnelcertificates, certificates
//! ```

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for the terminal; a panic is its report")]

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_e2e::api_server::{ApiServer, Broken, Caller};
use sallyport_pki::authority::{Authority, AuthoritySubject, LeafRequest, Serial};
use sallyport_pki::key::{KeyAlgorithm, PrivateKey, PublicKey};
use sallyport_pki::profile::Profile;
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sign", number, threads] => sign(parsed(number), parsed(threads)),
        ["write", method, concurrency] => write(method, parsed(concurrency)),
        ["objects", kind, number, namespaces @ ..] if !namespaces.is_empty() => {
            objects(kind, parsed(number), namespaces);
        }
        _ => panic!("bench_ca sign | write | objects: see its source"),
    }
}

fn parsed(text: &str) -> usize {
    text.parse().expect("a number")
}

/// What an issuer cannot be faster than: signing, with the requests' keys made before or in between.
fn sign(number: usize, threads: usize) {
    let now = Timestamp::now();
    let subject = AuthoritySubject { common_name: "Bench".to_owned(), organization: None };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let year = Duration::from_secs(365 * 24 * 3600);
    let authority = Authority::create(1, &subject, Box::new(key), year, serial(0), now).expect("a CA");
    let given = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key").public_key();
    let only = timed(number, threads, |n| issue(&authority, given.clone(), n, now));
    let with_key = timed(number, threads, |n| {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
        issue(&authority, key.public_key(), n, now);
    });
    println!("{only:.0} {with_key:.0}");
}

fn issue(authority: &Authority, public_key: PublicKey, number: usize, now: Timestamp) {
    let request = LeafRequest {
        region: RegionId::parse("bench", "bench").expect("names"),
        profile: Profile::Endpoint(EndpointId::parse("bench", &format!("e{number}")).expect("names")),
        public_key,
        lifetime: Duration::from_secs(90 * 24 * 3600),
        serial: serial(number),
    };
    authority.issue(&request, now).expect("a certificate");
}

fn serial(number: usize) -> Serial {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&(number as u64).to_be_bytes());
    Serial::from_random(bytes)
}

/// How many a second.
fn timed(number: usize, threads: usize, work: impl Fn(usize) + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= number {
                        return;
                    }
                    work(at);
                }
            });
        }
    });
    number as f64 / began.elapsed().as_secs_f64()
}

/// Sends the requests of standard input, so many at a time, and prints how many a second and how many failed.
fn write(method: &str, concurrency: usize) {
    let requests: Vec<(String, Bytes)> = std::io::stdin()
        .lock()
        .lines()
        .map(|line| {
            let line = line.expect("text");
            let (path, body) = line.split_once('\t').expect("PATH<tab>JSON");
            let object: Value = serde_json::from_str(body).expect("JSON");
            let name = object["metadata"]["name"].as_str().expect("a name");
            let path = if method == "POST" { path.to_owned() } else { format!("{path}/{name}") };
            (path, if method == "DELETE" { Bytes::new() } else { Bytes::from(body.to_owned()) })
        })
        .collect();
    let requests: Arc<[_]> = requests.into();
    let server = Arc::new(ApiServer::of_kubeconfig(Caller::Kubeconfig));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let method: http::Method = method.parse().expect("a method");
    let (rate, failed) = runtime.block_on(async move {
        let next = Arc::new(AtomicUsize::new(0));
        let failed = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let mut senders = tokio::task::JoinSet::new();
        for _ in 0..concurrency {
            let (requests, next, failed) = (requests.clone(), next.clone(), failed.clone());
            let (server, method) = (server.clone(), method.clone());
            senders
                .spawn(async move { send(&server, &method, &requests, &next, &failed).await.expect("the API server") });
        }
        senders.join_all().await;
        (requests.len() as f64 / began.elapsed().as_secs_f64(), failed.load(Ordering::Relaxed))
    });
    println!("{rate:.0} {failed}");
}

async fn send(
    server: &ApiServer,
    method: &http::Method,
    requests: &[(String, Bytes)],
    next: &AtomicUsize,
    failed: &AtomicUsize,
) -> Result<(), Broken> {
    let mut connection = server.connect::<Full<Bytes>>().await?;
    let kind = if method == http::Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some((path, body)) = requests.get(at) else { return Ok(()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "kubernetes")
            .header(header::CONTENT_TYPE, kind)
            .body(Full::new(body.clone()))?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() && failed.fetch_add(1, Ordering::Relaxed) == 0 {
            let _ = std::io::stderr().write_all(&body);
        }
    }
}

/// Number `n` goes to the namespace `n % namespaces.len()`, and of endpoints and certificates a hundred share a site.
fn objects(kind: &str, number: usize, namespaces: &[&str]) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let sites = number.div_ceil(100);
    for n in 0..if kind == "sites" { sites } else { number } {
        let namespace = namespaces[n % namespaces.len()];
        let (path, object) = object(kind, n, namespace);
        writeln!(out, "{path}\t{object}").expect("a pipe");
    }
}

fn object(kind: &str, n: usize, namespace: &str) -> (String, Value) {
    let name = format!("bench-{n}");
    let metadata = json!({"name": name, "namespace": namespace, "labels": {"bench": "1"}});
    let sallyport = |plural: &str, kind: &str, spec: Value| {
        let path = format!("/apis/sallyport.dev/v1alpha1/namespaces/{namespace}/{plural}");
        (path, json!({"apiVersion": "sallyport.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}))
    };
    match kind {
        "sites" => {
            let region = json!({"name": "bench", "namespace": "e2e-api"});
            let spec = json!({"customer": {"name": format!("Hospital {n}")}, "country": "FR", "regionRef": region});
            sallyport("customersites", "CustomerSite", spec)
        }
        "endpoints" => {
            let spec = json!({"siteRef": {"name": format!("bench-{}", n / 100)}, "webSocket": {"route": "direct"}});
            sallyport("tunnelendpoints", "TunnelEndpoint", spec)
        }
        "tunnelcertificates" => {
            let spec = json!({"endpointRef": {"name": name}, "secretName": format!("{name}-tunnel")});
            sallyport("tunnelcertificates", "TunnelCertificate", spec)
        }
        "certificates" => {
            let spec = json!({
                "secretName": format!("{name}-tls"), "duration": "2160h", "renewBefore": "720h",
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
                "usages": ["client auth", "digital signature"],
                "uris": [format!("sallyport://bench.e2e-api/endpoint/{namespace}/{name}")],
                "issuerRef": {"name": "bench", "kind": "Issuer"},
            });
            let path = format!("/apis/cert-manager.io/v1/namespaces/{namespace}/certificates");
            (
                path,
                json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": metadata, "spec": spec}),
            )
        }
        "secrets" => {
            // As large as an endpoint's: a certificate, a key, a bundle of two.
            let data =
                json!({"tls.crt": "QUFB".repeat(270), "tls.key": "QUFB".repeat(80), "ca.crt": "QUFB".repeat(500)});
            let path = format!("/api/v1/namespaces/{namespace}/secrets");
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data});
            (path, secret)
        }
        _ => panic!("{kind}: sites, endpoints, tunnelcertificates, certificates or secrets"),
    }
}
