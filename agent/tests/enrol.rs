//! `sallyport-agent enrol` against a scripted gateway: what is written, what is refused, who is not believed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_agent::config::Config;
use sallyport_agent::enrol::{Anchor, EnrolError, Enrolled, Enrolment, Present, Right};
use sallyport_agent::est::Token;
use sallyport_agent::material::Material;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::PrivateKey;
use sallyport_pki::profile::Profile;
use support::*;

const TOKEN: &str = "Zx9-one-time-token";

/// A region whose agent has no files yet, and what its gateway was asked.
struct Place {
    region: Arc<Region>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Whether the gateway takes the endpoint's certificate.
    known: Arc<AtomicBool>,
    port: u16,
}

impl Place {
    /// Enrols whoever asks, with the right token, as its real gateway would.
    async fn new() -> Self {
        Self::answering(|region, asked| match asked.operation.as_str() {
            "cacerts" => Answered::bundle(&region.authority.bundle()),
            "simpleenroll" => Answered::leaf(&region.issue(&region.authority, &asked.csr, 90 * DAY)),
            other => panic!("{other}"),
        })
        .await
    }

    /// As above, but for the enrolment's answer.
    async fn enrolling(answer: impl Fn(&Region, &Asked) -> Answered + Send + 'static) -> Self {
        Self::answering(move |region, asked| match asked.operation.as_str() {
            "cacerts" => Answered::bundle(&region.authority.bundle()),
            _ => answer(region, asked),
        })
        .await
    }

    async fn answering(answer: impl Fn(&Region, &Asked) -> Answered + Send + 'static) -> Self {
        let region = Region::new();
        let door = region.door(HOST);
        Self::behind(region, door, answer).await
    }

    async fn behind(
        region: Region,
        door: (PrivateKey, sallyport_pki::authority::Leaf),
        answer: impl Fn(&Region, &Asked) -> Answered + Send + 'static,
    ) -> Self {
        let clients = region.authority.bundle();
        Self::admitting(region, &clients, door, answer).await
    }

    async fn admitting(
        region: Region,
        clients: &TrustBundle,
        door: (PrivateKey, sallyport_pki::authority::Leaf),
        answer: impl Fn(&Region, &Asked) -> Answered + Send + 'static,
    ) -> Self {
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            std::fs::remove_file(region.path(file)).unwrap();
        }
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let region = Arc::new(region);
        let (log, scripted) = (Arc::clone(&asked), Arc::downgrade(&region));
        let est = move |asked: Asked| {
            log.lock().unwrap().push(asked.clone());
            answer(&scripted.upgrade().unwrap(), &asked)
        };
        let known = Arc::new(AtomicBool::new(true));
        let knows = Arc::clone(&known);
        let gateway = Gateway::start_est(clients, door, est, move |asked| match asked.uri().path() {
            "/v1/preflight" if knows.load(SeqCst) => Reply::Json("{}".to_owned()),
            _ => Reply::Refuse(403, "revoked"),
        })
        .await;
        Self { region, asked, known, port: gateway.port }
    }

    fn config(&self) -> Config {
        self.region.config(self.port, 1)
    }

    fn fingerprint(&self) -> Anchor {
        Anchor::Fingerprint(self.region.authority.fingerprint().parse().unwrap())
    }

    fn given(&self) -> Anchor {
        self.region.write("given.pem", &self.region.authority.certificate_pem());
        Anchor::Trust(self.region.path("given.pem"))
    }

    fn enrolment(&self, anchor: Anchor) -> Enrolment {
        Enrolment {
            config: self.config(),
            endpoint: self.region.endpoint.clone(),
            token: Token::parse(TOKEN).unwrap(),
            anchor,
            present: Present::Keep,
        }
    }

    async fn enrol(&self) -> Result<Enrolled, EnrolError> {
        self.enrolment(self.fingerprint()).run(&surroundings(), &|_| {}).await
    }

    /// Enrolling fails, says this, and leaves no file of the three.
    async fn refuses(&self, words: &[&str]) -> EnrolError {
        let error = self.enrol().await.unwrap_err();
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!said.contains(TOKEN));
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            assert!(!exists(&self.region.path(file)), "{file} was written");
        }
        error
    }

    fn operations(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.operation.clone()).collect()
    }
}

#[tokio::test]
async fn a_token_and_a_fingerprint_are_enough() {
    let place = Place::new().await;
    let enrolled = place.enrol().await.unwrap();
    assert_eq!((&enrolled.endpoint, &enrolled.region), (&place.region.endpoint, &place.region.id));
    let told = enrolled.to_string();
    for word in ["lyon/ct-room-2", "dmz/frankfurt", "tls.key", "next:", "check"] {
        assert!(told.contains(word), "{told}");
    }
    assert!(!told.contains(TOKEN));

    // Twice the CA certificates: once to be compared with the fingerprint, once from the verified gateway.
    assert_eq!(place.operations(), ["cacerts", "cacerts", "simpleenroll"]);
    let asked = place.asked.lock().unwrap()[2].clone();
    assert_eq!(asked.basic.unwrap(), format!("lyon/ct-room-2:{TOKEN}"));
    assert_eq!(asked.client, None);

    // What is there now is what the agent starts with, and the key was never sent.
    let material = Material::read(&place.config()).unwrap();
    assert_eq!(material.endpoint, place.region.endpoint);
    assert_eq!(material.trust, place.region.authority.bundle());
    assert_eq!(sallyport_pki::csr::public_key(&asked.csr).unwrap(), material.key.public_key());
    let mode = |name: &str| std::fs::metadata(place.region.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tls.key"), mode("tls.crt"), mode("ca.crt")), (0o600, 0o644, 0o644));
    for entry in std::fs::read_dir(place.region.directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "the token is in a file");
    }
}

#[tokio::test]
async fn a_trust_file_is_believed_and_then_the_whole_bundle_is_kept() {
    let region = Region::new();
    let (second, _) = region.generation(2);
    let both = region.authority.bundle().union(&second.bundle());
    let (served, door) = (both.clone(), region.door(HOST));
    let place = Place::behind(region, door, move |region, asked| match asked.operation.as_str() {
        "cacerts" => Answered::bundle(&served),
        _ => Answered::leaf(&region.issue(&second, &asked.csr, 90 * DAY)),
    })
    .await;
    place.region.write("given.pem", &place.region.authority.certificate_pem());
    // What an earlier region announced does not count against this one.
    place.region.write("trust.newest", "4711");
    let enrolled =
        place.enrolment(Anchor::Trust(place.region.path("given.pem"))).run(&surroundings(), &|_| {}).await.unwrap();
    assert_eq!(enrolled.authorities, 2);
    assert_eq!(place.operations(), ["cacerts", "simpleenroll"]);
    assert_eq!(Material::read(&place.config()).unwrap().trust, both);
    assert!(!exists(&place.region.path("trust.newest")));

    // A file with another CA than the gateway's: nothing is sent.
    place.asked.lock().unwrap().clear();
    place.region.write("given.pem", &Region::new().authority.certificate_pem());
    let error =
        place.enrolment(Anchor::Trust(place.region.path("given.pem"))).run(&surroundings(), &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("not certified by the CA that you named"), "{error}");
    assert!(place.operations().is_empty());
}

#[tokio::test]
async fn a_wrong_fingerprint_sends_no_token() {
    let place = Place::new().await;
    let anchor = Anchor::Fingerprint("ab".repeat(32).parse().unwrap());
    let error = place.enrolment(anchor).run(&surroundings(), &|_| {}).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&"ab".repeat(32)) && said.contains(&place.region.authority.fingerprint()), "{said}");
    assert!(said.contains("do not take it from this message"), "{said}");
    assert_eq!(place.operations(), ["cacerts"]);
    assert!(!exists(&place.region.path("ca.crt")));
}

/// It passes on the real CA certificates, which are public, but has no certificate of that CA.
#[tokio::test]
async fn somebody_in_between_is_not_believed_for_knowing_the_ca() {
    let between = Region::new().door(HOST);
    let place = Place::behind(Region::new(), between, |region, _| Answered::bundle(&region.authority.bundle())).await;
    let error = place.refuses(&["opens TLS", "test ca"]).await;
    assert!(matches!(error, EnrolError::ForeignServer { .. }));
    assert_eq!(place.operations(), ["cacerts"]);
}

/// The certificate is of the right CA, but for another host: another server of the vendor, or a stolen one.
#[tokio::test]
async fn another_host_of_the_region_is_not_the_gateway() {
    let region = Region::new();
    let door = region.door("inner.example.test");
    let place = Place::behind(region, door, |region, _| Answered::bundle(&region.authority.bundle())).await;
    place.refuses(&["showed another one's"]).await;
    assert_eq!(place.operations(), ["cacerts"]);
}

/// Only the CA of the fingerprint is taken from what an unverified connection said.
#[tokio::test]
async fn a_stowaway_beside_the_right_ca_gains_no_trust() {
    let evil = Region::new();
    let region = Region::new();
    let smuggled = region.authority.bundle().union(&evil.authority.bundle());
    // Certified by the stowaway, which the answer also holds.
    let place = Place::behind(region, evil.door(HOST), move |_, _| Answered::bundle(&smuggled)).await;
    place.refuses(&["opens TLS"]).await;
    assert_eq!(place.operations(), ["cacerts"]);
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    for (status, reason, words) in [
        (401, "tokenRefused", &["good once", "sallyportctl enrol token", "words of the gateway"][..]),
        (401, "", &["good once"]),
        (403, "unknownEndpoint", &["--endpoint"]),
        (403, "suspended", &["service desk"]),
        (403, "revoked", &["revoked for good"]),
        (403, "deliveredBySecret", &["renew: false"]),
        (404, "", &["--gateway"]),
        (500, "surprise", &["surprise", "tell the vendor"]),
    ] {
        let place = Place::enrolling(move |_, _| Answered::refuse(status, reason)).await;
        place.refuses(words).await;
    }
    for (status, reason, words) in
        [(429, "", &["too many wrong tokens", "in 600 s"][..]), (503, "notNow", &["in 600 s", "still good"])]
    {
        let wait = Duration::from_secs(600);
        let place = Place::enrolling(move |_, _| Answered::refuse(status, reason).retry_after(wait)).await;
        place.refuses(words).await;
    }
    // Before the token is even sent.
    let place = Place::answering(|_, _| Answered::refuse(503, "notNow")).await;
    place.refuses(&["some minutes"]).await;
    assert_eq!(place.operations(), ["cacerts"]);
}

#[tokio::test]
async fn a_lying_gateway_gives_this_agent_nothing() {
    type Lie = fn(&Region, &Asked) -> Answered;
    let lies: [(Lie, &str); 8] = [
        (|region, _| Answered::leaf(&leaf(&region.authority, &region.id, endpoint(region), DAY).1), "another key"),
        (
            |region, asked| {
                let other = "lyon/mr".parse().unwrap();
                Answered::leaf(&region.issue_to(&region.authority, &other, &asked.csr, DAY))
            },
            "not for endpoint lyon/ct-room-2",
        ),
        (
            |region, asked| Answered::leaf(&region.issue(&region.generation(2).0, &asked.csr, DAY)),
            "not one of a trusted",
        ),
        (|region, _| Answered::bundle(&region.authority.bundle()), "another key"),
        (
            |region, _| Answered::bundle(&region.authority.bundle().union(&region.generation(2).0.bundle())),
            "2 certificates instead of one",
        ),
        (|_, _| Answered::raw("application/pkcs7-mime", b"AAAA"), "no EST server"),
        (|_, _| Answered::raw("application/pkcs7-mime", b"<html>"), "not base64"),
        (|_, _| Answered::raw("text/html", b"<html>log in to the guest network</html>"), "text/html"),
    ];
    for (lie, word) in lies {
        Place::enrolling(lie).await.refuses(&[word]).await;
    }
    // CA certificates that are none.
    let place = Place::answering(|region, _| Answered::leaf(&region.door(HOST).1)).await;
    place.refuses(&["has no CA certificate"]).await;
}

fn endpoint(region: &Region) -> Profile {
    Profile::Endpoint(region.endpoint.clone())
}

#[tokio::test]
async fn another_endpoints_valid_certificate_is_kept_unless_told() {
    let place = Place::new().await;
    let other = Profile::Endpoint("lyon/mr".parse().unwrap());
    place.region.certificate(other.clone(), 30 * DAY);
    place.region.write("ca.crt", &place.region.authority.certificate_pem());
    let before = std::fs::read(place.region.path("tls.key")).unwrap();
    let error = place.enrol().await.unwrap_err();
    let said = error.to_string();
    assert!(["lyon/mr", "lyon/ct-room-2", "--replace"].iter().all(|word| said.contains(word)), "{said}");
    assert_eq!(std::fs::read(place.region.path("tls.key")).unwrap(), before);
    assert!(place.operations().is_empty(), "the token was not spent");

    let told = Enrolment { present: Present::Replace, ..place.enrolment(place.fingerprint()) };
    told.run(&surroundings(), &|_| {}).await.unwrap();
    assert_eq!(Material::read(&place.config()).unwrap().endpoint, place.region.endpoint);
    // Our own is replaced without a question: a new token was asked for.
    place.enrol().await.unwrap();
}

#[tokio::test]
async fn an_ended_certificate_of_another_endpoint_is_in_nobodys_way() {
    let place = Place::new().await;
    place.region.certificate(Profile::Endpoint("lyon/mr".parse().unwrap()), Duration::ZERO);
    place.region.write("ca.crt", &place.region.authority.certificate_pem());
    let later = at(|| Timestamp::now() + SignedDuration::from_secs(2));
    place.enrolment(place.fingerprint()).run(&later, &|_| {}).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_written_cost_no_token() {
    let place = Place::new().await;
    for field in ["certificate", "key", "trust"] {
        let mut config = place.config();
        let nowhere = place.region.path("nowhere/file");
        match field {
            "certificate" => config.certificate = nowhere,
            "key" => config.key = nowhere,
            _ => config.trust = nowhere,
        }
        let enrolment = Enrolment { config, ..place.enrolment(place.fingerprint()) };
        let said = enrolment.run(&surroundings(), &|_| {}).await.unwrap_err().to_string();
        assert!(said.contains("nowhere/file") && said.contains("writable"), "{said}");
    }
    assert!(place.operations().is_empty());
}

/// Only root can give files away, and only root needs to: as another user there is nothing to see.
#[tokio::test]
async fn run_by_root_the_files_are_the_agents() {
    use std::os::unix::fs::{MetadataExt, chown};

    let place = Place::new().await;
    if chown(place.region.directory.path(), Some(4711), Some(4712)).is_err() {
        return;
    }
    place.enrol().await.unwrap();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        let metadata = std::fs::metadata(place.region.path(file)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712), "{file}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let place = Place::new().await;
    let late = at(|| Timestamp::now() + SignedDuration::from_hours(24 * 400));
    let error = place.enrolment(place.fingerprint()).run(&late, &|_| {}).await.unwrap_err();
    assert!(matches!(error, EnrolError::Clock { theirs: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains("NTP"), "{error}");

    place.asked.lock().unwrap().clear();
    // A certificate that begins in this host's far future, from a gateway that was verified.
    let early = at(|| Timestamp::now() - SignedDuration::from_mins(30));
    let error = place.enrolment(place.given()).run(&early, &|_| {}).await.unwrap_err();
    assert!(matches!(error, EnrolError::Kept { .. }), "{error:?}");
    let said = error.to_string();
    assert!(["clock", "NTP", "tls.key.pending", "same command again"].iter().all(|w| said.contains(w)), "{said}");
    assert!(!exists(&place.region.path("tls.crt")));
    assert_eq!(place.operations(), ["cacerts", "simpleenroll"]);

    // With the clock set right the same certificate is put in use, and the token, which is used up, is not needed.
    let enrolled = place.enrolment(place.given()).run(&surroundings(), &|_| {}).await.unwrap();
    assert_eq!(enrolled.right, Right::Earlier);
    assert!(enrolled.to_string().contains("token was not sent"), "{enrolled}");
    assert_eq!(place.operations(), ["cacerts", "simpleenroll", "cacerts"]);
    assert_eq!(Material::read(&place.config()).unwrap().endpoint, place.region.endpoint);
    assert!(!exists(&place.region.path("tls.key.pending")));
}

/// The operator's clock is twelve minutes ahead, so that the certificate begins in seven.
#[tokio::test]
async fn a_certificate_that_begins_soon_is_waited_for() {
    const LATE: i64 = 12 * 60 + 30;
    let place = Place::new().await;
    let clock = Arc::new(AtomicI64::new(LATE));
    let behind = Arc::clone(&clock);
    let host = at(move || Timestamp::now() - SignedDuration::from_secs(behind.load(SeqCst)));
    let (said, kept) = (Mutex::new(Vec::new()), place.region.path("tls.key.pending"));
    let enrolled = place
        .enrolment(place.given())
        .run(&host, &|waiting| {
            // Whatever happens while it waits, the certificate is on disk; the clock then goes on, or is set.
            said.lock().unwrap().push((waiting.to_string(), std::fs::read_to_string(&kept).unwrap()));
            assert!(!exists(&place.region.path("tls.crt")));
            clock.store(LATE - 8 * 60, SeqCst);
        })
        .await
        .unwrap();
    assert_eq!(enrolled.right, Right::Token);
    let [(said, kept)] = &said.into_inner().unwrap()[..] else { panic!("told once") };
    assert!(said.contains("12 min") && said.contains("ahead") && said.contains("NTP"), "{said}");
    assert!(kept.contains("BEGIN CERTIFICATE"));
    assert_eq!(place.operations(), ["cacerts", "simpleenroll"]);
    Material::read(&place.config()).unwrap();
}

/// The certificate was issued and the answer got lost: an operator that knows the key can give it again.
#[tokio::test]
async fn a_lost_answer_is_asked_for_with_the_same_key() {
    let times = AtomicI64::new(0);
    let place = Place::enrolling(move |region, asked| match times.fetch_add(1, SeqCst) {
        0 => Answered::raw("text/html", b"<html>"),
        _ => Answered::leaf(&region.issue(&region.authority, &asked.csr, 90 * DAY)),
    })
    .await;
    place.refuses(&["text/html"]).await;
    let pending = place.region.path("tls.key.pending");
    assert_eq!(std::fs::metadata(&pending).unwrap().permissions().mode() & 0o777, 0o600);
    place.enrol().await.unwrap();
    assert!(!exists(&pending));
    let keys: Vec<_> =
        place.asked.lock().unwrap().iter().filter(|asked| asked.operation == "simpleenroll").map(key).collect();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));

    // Another enrolment has another key.
    place.enrol().await.unwrap();
    assert_ne!(place.asked.lock().unwrap().last().map(key), keys.last().cloned());
}

fn key(asked: &Asked) -> sallyport_pki::key::PublicKey {
    sallyport_pki::csr::public_key(&asked.csr).unwrap()
}

/// It was issued to an earlier run, and revoked before this one.
#[tokio::test]
async fn a_kept_certificate_that_the_gateway_does_not_take_gives_way_to_the_token() {
    let place = Place::new().await;
    let early = at(|| Timestamp::now() - SignedDuration::from_mins(30));
    place.enrolment(place.given()).run(&early, &|_| {}).await.unwrap_err();
    place.known.store(false, SeqCst);
    let enrolled = place.enrolment(place.given()).run(&surroundings(), &|_| {}).await.unwrap();
    assert_eq!(enrolled.right, Right::Token);
    assert_eq!(place.operations(), ["cacerts", "simpleenroll", "cacerts", "simpleenroll"]);
    assert!(!exists(&place.region.path("tls.key.pending")));
}

/// The gateway does not know the new CA yet, which signs already: the token is used up, the certificate is not.
#[tokio::test]
async fn a_certificate_of_a_ca_that_is_not_yet_trusted_is_kept() {
    let region = Region::new();
    let (second, _) = region.generation(2);
    let both = region.authority.bundle().union(&second.bundle());
    let (asks, door) = (AtomicI64::new(0), region.door(HOST));
    let clients = both.clone();
    let place = Place::admitting(region, &clients, door, move |region, asked| match asked.operation.as_str() {
        "cacerts" if asks.fetch_add(1, SeqCst) == 0 => Answered::bundle(&region.authority.bundle()),
        "cacerts" => Answered::bundle(&both),
        _ => Answered::leaf(&region.issue(&second, &asked.csr, 90 * DAY)),
    })
    .await;
    let error = place.enrolment(place.given()).run(&surroundings(), &|_| {}).await.unwrap_err();
    assert!(matches!(error, EnrolError::Kept { .. }), "{error:?}");
    assert!(!exists(&place.region.path("tls.crt")));
    let enrolled = place.enrolment(place.given()).run(&surroundings(), &|_| {}).await.unwrap();
    assert_eq!((enrolled.right, enrolled.authorities), (Right::Earlier, 2));
    assert_eq!(place.operations(), ["cacerts", "simpleenroll", "cacerts"]);
    Material::read(&place.config()).unwrap();
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_told_apart() {
    let place = Place::new().await;
    let mut config = place.config();
    config.gateway.host = "nowhere.example".to_owned();
    let nameless = Enrolment { config, ..place.enrolment(place.fingerprint()) };
    let said = nameless.run(&surroundings(), &|_| {}).await.unwrap_err().to_string();
    assert!(said.contains("gateway.address"), "{said}");
    let mut config = place.config();
    config.gateway.port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let closed = Enrolment { config, ..place.enrolment(place.fingerprint()) };
    let said = closed.run(&surroundings(), &|_| {}).await.unwrap_err().to_string();
    assert!(said.contains("firewall"), "{said}");
}

/// The program: the token from standard input or a file, one line on standard error when it fails.
#[tokio::test]
async fn the_program_enrols() {
    use std::process::Stdio;
    use tokio::io::AsyncWriteExt;

    let place = Place::new().await;
    let yaml = place.region.yaml(place.port).replace("gateway: {", "gateway: {address: 127.0.0.1, ");
    place.region.write("allow.yaml", "allow: []");
    place.region.write("agent.yaml", &yaml);
    let program = || {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sallyport-agent"));
        command.args(["enrol", "--endpoint", "lyon/ct-room-2", "--config"]).arg(place.region.path("agent.yaml"));
        command.arg("--fingerprint").arg(place.region.authority.fingerprint());
        command.env_remove("SALLYPORT_ENROLMENT_TOKEN").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let mut child = program().spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{TOKEN}\n").as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let (told, failed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{failed}");
    assert!(told.contains("enrolled endpoint lyon/ct-room-2") && !told.contains(TOKEN), "{told}");
    assert_eq!(Material::read(&place.config()).unwrap().endpoint, place.region.endpoint);
    assert_eq!(place.asked.lock().unwrap()[2].basic.as_deref(), Some("lyon/ct-room-2:Zx9-one-time-token"));

    let of_environment = program().env("SALLYPORT_ENROLMENT_TOKEN", TOKEN).output().await.unwrap();
    assert!(of_environment.status.success());
    place.region.write("token", TOKEN);
    let of_file = program().arg("--token-file").arg(place.region.path("token")).output().await.unwrap();
    assert!(of_file.status.success());

    let nothing = program().stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(nothing.status.code(), Some(1));
    let said = String::from_utf8(nothing.stderr).unwrap();
    assert!(said.contains("--token-file") && said.lines().count() == 1, "{said}");
}
