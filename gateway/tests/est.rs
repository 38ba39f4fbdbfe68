//! How an endpoint comes to its certificate, over the real outer door.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a panic is how a test reports; support is shared")]

mod support;

use std::process::Command;

use http::{Request, StatusCode};
use sallyport_audit::Event;
use sallyport_audit::event::EnrolmentRefused;
use sallyport_control::wire::{Enrol, EnrolRefused, enrol::Proof};
use sallyport_core::identity::Role;
use sallyport_core::name::EndpointId;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::{csr, est, inspect, pem};
use sallyport_testkit::{Credential, eventually, eventually_some};
use sha2::{Digest as _, Sha256};

use support::outer::{Visitor, enrolment, send};
use support::{Agent, Operator, Region, WITHIN, audit, journal};

const TOKEN: &str = "tHe-one_time-token0";

/// An operator that knows one token, for one endpoint, and renews whoever has a certificate.
fn knows_one_token(operator: &mut Operator) {
    operator.enrolment = Box::new(|enrol: &Enrol| match enrol.proof.as_ref().unwrap() {
        Proof::Token(token) if token.endpoint == "lyon/agent" && token.sha256 == *Sha256::digest(TOKEN) => {
            Ok(token.endpoint.parse().unwrap())
        }
        Proof::Token(_) => Err(refusal("tokenRefused")),
        Proof::Certificate(current) => Ok(current.endpoint.parse().unwrap()),
    });
}

fn refusal(code: &str) -> EnrolRefused {
    EnrolRefused { code: code.to_owned(), message: format!("because of {code}") }
}

fn visitor<'r>(region: &Region, running: &'r sallyport_gateway::run::Running) -> Visitor<'r> {
    Visitor { bundle: region.ca.bundle(), credential: None, running }
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

fn request() -> Vec<u8> {
    csr::request(&key()).unwrap()
}

fn credential(der: Vec<u8>, key: &PrivateKey) -> Credential {
    let serial = inspect::serial_hex(&der).unwrap();
    Credential { chain_pem: pem::certificate(&der), key_pem: key.to_pem(), serial, der }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_enrols_by_token_dials_in_and_renews_by_certificate() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    knows_one_token(&mut operator);
    let visitor = visitor(&region, &running);

    let authorities = visitor.get("/.well-known/est/cacerts").await.unwrap();
    assert_eq!(authorities.header("content-type"), "application/pkcs7-mime; smime-type=certs-only");
    let authorities = est::parse_certs_only(&authorities.der()).unwrap();
    assert_eq!(authorities, [region.ca.authority().certificate_der()]);
    let attributes = visitor.get("/.well-known/est/csrattrs").await.unwrap();
    assert_eq!(attributes.header("content-type"), "application/csrattrs");
    assert_eq!(attributes.der(), est::csr_attributes());

    let first = key();
    let asked = csr::request(&first).unwrap();
    let answer = operator.during(visitor.enroll(Some(("lyon/agent", TOKEN)), &asked)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.message());
    assert_eq!(answer.header("content-type"), "application/pkcs7-mime; smime-type=certs-only");
    let der = est::parse_certs_only(&answer.der()).unwrap().remove(0);
    assert_eq!(inspect::public_key(&der).unwrap(), first.public_key());
    let identity = inspect::identity(&der).unwrap();
    assert_eq!(identity.role, Role::Endpoint("lyon/agent".parse::<EndpointId>().unwrap()));
    // The operator was told the hash, the request and from where; the token is nowhere on its way.
    let enrol = operator.enrols.remove(0);
    assert!(enrol.csr == asked && enrol.from.starts_with("127.0.0.1:"), "{enrol:?}");
    let first = credential(der, &first);
    let agent = Agent::dial(&region.ca, &first, &running, "a/0").await.unwrap();

    let second = key();
    let renewing = Visitor { bundle: region.ca.bundle(), credential: Some(first.clone()), running: &running };
    let asked = csr::request(&second).unwrap();
    let answer = operator.during(renewing.enroll(None, &asked)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.message());
    let der = est::parse_certs_only(&answer.der()).unwrap().remove(0);
    assert_eq!(inspect::public_key(&der).unwrap(), second.public_key());
    let Some(Proof::Certificate(current)) = operator.enrols.remove(0).proof else { panic!("by certificate") };
    assert_eq!((current.endpoint.as_str(), &current.serial), ("lyon/agent", &first.serial));
    assert!(!agent.task.is_finished(), "nothing of this touches the tunnel");

    let serial = inspect::serial_hex(&der).unwrap();
    let events = audit(&region, 0);
    let enrolled = |event: &Event<_>| matches!(event, Event::Enrolled(e) if e.serial.as_str() == first.serial);
    let renewed = |event: &Event<_>| matches!(event, Event::Renewed(e) if e.serial.as_str() == serial);
    assert!(events.iter().any(enrolled) && events.iter().any(renewed));
    let written = journal(&region, 0);
    assert!(!String::from_utf8(written).unwrap().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_carries_the_certificate_and_the_proof_to_the_operator() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    knows_one_token(&mut operator);
    let own = region.ca.endpoint("lyon", "agent");
    let renewing = Visitor { bundle: region.ca.bundle(), credential: Some(own.clone()), running: &running };
    let with = |proofs: &[&str]| {
        let mut request = enrolment("simplereenroll", None, &request());
        for proof in proofs {
            request.headers_mut().append("sallyport-renewal-proof", proof.parse().unwrap());
        }
        request
    };
    for (proofs, expected) in [(vec!["c2lnbmF0dXJl"], b"signature".to_vec()), (vec![], Vec::new())] {
        let answer = operator.during(renewing.send(with(&proofs))).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.message());
        let Some(Proof::Certificate(current)) = operator.enrols.remove(0).proof else { panic!("by certificate") };
        assert_eq!((current.leaf, current.proof), (own.der.clone(), expected));
    }
    let long = "AAAA".repeat(64);
    for wrong in [vec!["?"], vec![""], vec!["c2ln", "c2ln"], vec![&long]] {
        let answer = operator.during(renewing.send(with(&wrong))).await.unwrap();
        assert_eq!(answer.code(), (400, "badRequest".to_owned()), "{wrong:?}");
    }
    assert!(operator.enrols.is_empty(), "what is wrong in form reaches nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_fetched_once_and_not_without_end() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let path = format!("/v1/crls/{}.crl", region.ca.authority().fingerprint());
    let get = |known: Option<&str>| {
        let request = Request::get(&path).header("host", "outer.example");
        let request = known.into_iter().fold(request, |request, tag| request.header("if-none-match", tag));
        request.body(axum::body::Body::empty()).unwrap()
    };
    let anonymous = visitor(&region, &running);
    let mut connection = anonymous.connect().await.unwrap();
    let first = send(&mut connection, get(None)).await.unwrap();
    let tag = first.header("etag").to_owned();
    assert!(first.status == StatusCode::OK && !first.body.is_empty() && tag.len() > 64, "{tag}");
    let again = send(&mut connection, get(Some(&tag))).await.unwrap();
    assert!(again.status == StatusCode::NOT_MODIFIED && again.body.is_empty());
    let weak = format!("\"other\", W/{tag}");
    assert_eq!(send(&mut connection, get(Some(&weak))).await.unwrap().status, StatusCode::NOT_MODIFIED);
    for _ in 3..8 {
        let another = send(&mut connection, get(Some("\"other\""))).await.unwrap();
        assert_eq!((another.status, another.body), (StatusCode::OK, first.body.clone()));
    }
    let refused = send(&mut connection, get(None)).await.unwrap();
    assert_eq!(refused.code(), (429, "tooManyLists".to_owned()));
    assert_eq!(refused.header("connection"), "close");
    assert_eq!(anonymous.get(&path).await.unwrap().status, StatusCode::OK, "who connects again may go on");

    let known = Visitor { credential: Some(region.ca.endpoint("lyon", "agent")), ..visitor(&region, &running) };
    let mut connection = known.connect().await.unwrap();
    for _ in 0..12 {
        assert_eq!(send(&mut connection, get(None)).await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_status_and_its_record() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let visitor = visitor(&region, &running);
    for (code, status, recorded) in [
        ("tokenRefused", 401, true),
        ("revoked", 403, true),
        ("unknownEndpoint", 403, true),
        ("suspended", 403, true),
        ("deliveredBySecret", 403, true),
        ("proofRequired", 403, true),
        ("badRequest", 400, true),
        ("notNow", 503, true),
        ("noTime-yet", 403, false),
    ] {
        operator.enrolment = Box::new(move |_| Err(refusal(code)));
        let answer = operator.during(visitor.enroll(Some(("lyon/agent", TOKEN)), &request())).await;
        assert_eq!(answer.status.as_u16(), status, "{code}");
        assert_eq!(answer.header("www-authenticate").is_empty(), status != 401, "{code}");
        assert_eq!(answer.header("retry-after").is_empty(), status != 503, "{code}");
        assert_eq!(answer.message(), format!("because of {code}"));
        if recorded {
            assert_eq!(answer.code().1, code);
        } else {
            assert_eq!(answer.code().1, "refused", "a word that is not of the closed set is not passed on");
        }
    }
    let reasons: Vec<String> = audit(&region, 0)
        .into_iter()
        .filter_map(|event| match event {
            Event::EnrolmentRefused(EnrolmentRefused { endpoint: Some(endpoint), reason, .. })
                if endpoint.to_string() == "lyon/agent" =>
            {
                Some(reason.as_str().to_owned())
            }
            _ => None,
        })
        .collect();
    let expected = [
        "tokenRefused",
        "revoked",
        "unknownEndpoint",
        "suspended",
        "deliveredBySecret",
        "proofRequired",
        "badRequest",
        "notNow",
        "refused",
    ];
    assert_eq!(reasons, expected);
    let counted = |result| running.gateway.metrics.enrolments.with_label_values(&["simpleenroll", result]).get();
    assert_eq!((counted("tokenRefused"), counted("notNow"), counted("refused"), counted("issued")), (1, 1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_wrong_tokens_nobody_is_asked() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config_of_two()).await;
    knows_one_token(&mut operator);
    let visitor = visitor(&region, &running);
    for n in 0..10 {
        let token = format!("wrong{n}");
        let answer = operator.during(visitor.enroll(Some(("lyon/agent", &token)), &request())).await;
        assert_eq!(answer.code(), (401, "tokenRefused".to_owned()));
    }
    // Nor with the right token: for this endpoint, this source has to wait.
    let answer = operator.during(visitor.enroll(Some(("lyon/agent", TOKEN)), &request())).await;
    assert_eq!(answer.code(), (429, "tooManyRefused".to_owned()));
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=601).contains(&wait), "{wait}");
    assert_eq!(operator.enrols.len(), 10);
    // A neighbour behind the same address has not tried yet, and the operator is asked.
    let answer = operator.during(visitor.enroll(Some(("lyon/other", TOKEN)), &request())).await;
    assert_eq!(answer.code(), (401, "tokenRefused".to_owned()));
    assert_eq!(operator.enrols.len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn right_tokens_are_no_reason_to_wait() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    knows_one_token(&mut operator);
    let visitor = visitor(&region, &running);
    for _ in 0..12 {
        let answer = operator.during(visitor.enroll(Some(("lyon/agent", TOKEN)), &request())).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_it_says_when_to_ask_again() {
    let region = Region::new(1);
    let (running, operator) = region.ready(0, &region.config()).await;
    drop(operator);
    let visitor = visitor(&region, &running);
    let answer = eventually_some(WITHIN, "the gateway notices that the operator is gone", async || {
        let answer = visitor.enroll(Some(("lyon/agent", TOKEN)), &request()).await;
        (answer.code().1 == "noOperator").then_some(answer)
    })
    .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_form_reaches_nobody() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    knows_one_token(&mut operator);
    let visitor = visitor(&region, &running);
    let answers = async {
        let mut forged = request();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        for (csr, words) in [
            (Vec::new(), "base64"),
            (b"no request".to_vec(), "PKCS#10"),
            (forged, "possession"),
            (openssl(&["-newkey", "rsa:2048"]), "RSA"),
            (openssl(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"]), "only ECDSA on P-256 or P-384"),
        ] {
            let answer = visitor.enroll(Some(("lyon/agent", TOKEN)), &csr).await;
            assert_eq!(answer.code(), (400, "badRequest".to_owned()), "{words}");
            assert!(answer.message().contains(words), "{}", answer.message());
        }
        let answer = visitor.enroll(Some(("lyon/agent", TOKEN)), &vec![0x30; 20_000]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        for (user, password) in [("lyon", TOKEN), ("LYON/agent", TOKEN), ("lyon/agent", "a b"), ("lyon/agent", "")] {
            let answer = visitor.enroll(Some((user, password)), &request()).await;
            assert_eq!(answer.code(), (400, "badRequest".to_owned()), "{user} {password}");
            assert!(password.len() < 4 || !answer.message().contains(password));
        }
        let untyped = Request::post("/.well-known/est/simpleenroll").header("host", "outer.example");
        let untyped = untyped.header("authorization", "Basic bHlvbi9hZ2VudDp0").body("AAAA".into()).unwrap();
        assert_eq!(visitor.send(untyped).await.unwrap().status, StatusCode::BAD_REQUEST);
        let nobody = visitor.send(enrolment("simpleenroll", None, &request())).await.unwrap();
        assert_eq!(nobody.code(), (401, "noToken".to_owned()));
        assert_eq!(nobody.header("www-authenticate"), "Basic realm=\"sallyport\"");
    };
    operator.during(answers).await;
    assert!(operator.enrols.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_made_by_openssl_for_more_gives_an_endpoints_certificate() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    knows_one_token(&mut operator);
    let csr = openssl(&[
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
        "-addext",
        "subjectAltName=DNS:evil.example,URI:sallyport://dmz.frankfurt/operator",
    ]);
    let visitor = visitor(&region, &running);
    let answer = operator.during(visitor.enroll(Some(("lyon/agent", TOKEN)), &csr)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.message());
    let der = est::parse_certs_only(&answer.der()).unwrap().remove(0);
    let identity = inspect::identity(&der).unwrap();
    assert_eq!(identity.role, Role::Endpoint("lyon/agent".parse().unwrap()));
    let bundle = sallyport_pki::bundle::TrustBundle::from_pem(&pem::certificate(&der));
    assert!(bundle.is_err(), "it is no authority's");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_openssl_by_hand_enrol_and_renew() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    knows_one_token(&mut operator);
    let folder = tempfile::tempdir().unwrap();
    let port = running.listen.outer.port();
    std::fs::write(folder.path().join("ca.pem"), region.ca.bundle().to_pem()).unwrap();
    // In a file, so that the token is in no process list.
    std::fs::write(folder.path().join("token"), format!("user = \"lyon/agent:{TOKEN}\"")).unwrap();
    let curl = format!(
        "curl --silent --show-error --fail-with-body --cacert ca.pem --resolve outer.example:{port}:127.0.0.1 \
         --header 'Content-Type: application/pkcs10' --data-binary @request.pem"
    );
    let est = format!("https://outer.example:{port}/.well-known/est");
    let script = format!(
        "set -e
        new() {{ openssl req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj / -keyout $1 -out request.pem; }}
        take() {{ openssl base64 -d -A -in answer | openssl pkcs7 -inform DER -print_certs -out $1; }}
        new first.key; {curl} --config token --output answer {est}/simpleenroll; take first.pem
        new second.key; {curl} --cert first.pem --key first.key --output answer {est}/simplereenroll; take second.pem
        openssl verify -CAfile ca.pem -purpose sslclient first.pem second.pem"
    );
    let mut shell = tokio::process::Command::new("sh");
    let done = operator.during(shell.arg("-c").arg(script).current_dir(folder.path()).output()).await.unwrap();
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(operator.enrols.len(), 2);
}

/// A request as somebody makes it by hand.
fn openssl(key: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-new", "-nodes", "-subj", "/CN=sallyport operator", "-keyout", "key.pem"])
        .args(["-out", "request.der", "-outform", "DER"])
        .args(key)
        .current_dir(folder.path())
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(folder.path().join("request.der")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_there_is_nothing_else() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let visitor = visitor(&region, &running);
    for path in
        ["/", "/v1/tunnel", "/v1/preflight", "/v1/devices", "/v1/sessions", "/.well-known/est/fullcmc", "/metrics"]
    {
        let answer = visitor.get(path).await.unwrap();
        assert_eq!(answer.code(), (401, "certificateRequired".to_owned()), "{path}");
        assert!(answer.message().contains("/.well-known/est/simpleenroll"), "a hint");
    }
    let upgrade = Request::get("/v1/tunnel").header("host", "outer.example").header("connection", "Upgrade");
    let upgrade = upgrade.header("upgrade", "websocket").header("sec-websocket-version", "13");
    let upgrade = upgrade.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").body(axum::body::Body::empty());
    assert_eq!(visitor.send(upgrade.unwrap()).await.unwrap().status, StatusCode::UNAUTHORIZED);
    let answer = visitor.send(enrolment("simplereenroll", None, &request())).await.unwrap();
    assert_eq!(answer.code(), (401, "certificateRequired".to_owned()));
    assert!(running.gateway.tunnels.all().is_empty());

    let lists = visitor.get("/v1/crls").await.unwrap();
    let lists: serde_json::Value = serde_json::from_slice(&lists.body).unwrap();
    assert_eq!(lists[0]["issuer"], region.ca.authority().fingerprint());
    let list = visitor.get(lists[0]["href"].as_str().unwrap()).await.unwrap();
    assert_eq!(list.header("content-type"), "application/pkix-crl");
    let list = sallyport_pki::revocation::RevocationList::parse(&list.body).unwrap();
    assert_eq!(list.verify(&region.ca.bundle()).unwrap(), region.ca.authority().fingerprint());
    assert_eq!(visitor.get("/v1/crls/0000.crl").await.unwrap().status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_without_certificates_leaves_the_door_to_agents() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let visitor = visitor(&region, &running);
    let page = || Request::get("/v1/crls").header("host", "outer.example").body(axum::body::Body::empty()).unwrap();
    let mut crowd = Vec::new();
    for _ in 0..16 {
        let mut connection = visitor.connect().await.unwrap();
        assert_eq!(send(&mut connection, page()).await.unwrap().status, StatusCode::OK);
        crowd.push(connection);
    }
    assert!(visitor.get("/v1/crls").await.is_err(), "the seventeenth of one source gets no answer");
    let refused = running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "noPlace"]);
    eventually(WITHIN, "it is counted", async || refused.get() == 1).await;
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    crowd.clear();
    eventually(WITHIN, "places come back", async || visitor.get("/v1/crls").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_from_one_source_is_bounded() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let (ca, credential) = (&region.ca, region.ca.endpoint("lyon", "agent"));
    let agent = Agent::dial(ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(tokio::net::TcpStream::connect(running.listen.outer).await.unwrap());
    }
    let refused = running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "tooManyHandshakes"]);
    eventually(WITHIN, "one more is turned away at once", async || {
        let _ = Agent::dial(ca, &credential, &running, "a/1").await;
        refused.get() > 0
    })
    .await;
    assert!(!agent.task.is_finished(), "who is inside stays");
    silent.clear();
    eventually(WITHIN, "the door is free again", async || {
        Agent::dial(ca, &credential, &running, "a/1").await.err().is_some_and(|error| error == "409 held")
    })
    .await;
}
