//! Certificates of endpoints against a real API server and a real gateway: tokens, Secrets, revocation.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use sallyport_e2e::kubectl::{condition, wait_condition};
use sallyport_e2e::run::{run, text};
use sallyport_e2e::wait::holds;
use sallyport_e2e::{apply, delete, eventually, get, kubectl, output};
use serde_json::Value;

const NAMESPACE: &str = "e2e-api";
const SITES: &str = "e2e-api-sites";
const NAME: &str = "certs";
const OUTER: &str = "certs.outer.example";
const SOON: Duration = Duration::from_secs(60);

/// A region of two gateways, left to the next test.
struct Region {
    node: String,
    outer: u64,
}

impl Region {
    /// Makes it, or finds it, and waits until it is ready.
    fn ready() -> Self {
        static FRESH: Once = Once::new();
        // An earlier run's refused tokens count for ten minutes: gateways that begin anew have forgotten them.
        FRESH.call_once(|| {
            let selector = format!("sallyport.dev/region={NAME}");
            kubectl(&["--namespace", NAMESPACE, "delete", "pods", "--selector", &selector, "--timeout=120s"]);
        });
        let engineers = sallyport_testkit::EngineersCa::new().bundle().to_pem();
        let engineers: String = engineers.lines().map(|line| format!("    {line}\n")).collect();
        apply(&format!(
            "apiVersion: sallyport.dev/v1alpha1
kind: CertificateAuthority
metadata: {{ name: {NAME}, namespace: {NAMESPACE} }}
spec: {{ subject: {{ commonName: Certificates test }} }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{ name: {NAME}-engineers, namespace: {NAMESPACE} }}
data:
  ca.crt: |
{engineers}---
apiVersion: sallyport.dev/v1alpha1
kind: DmzRegion
metadata: {{ name: {NAME}, namespace: {NAMESPACE} }}
spec:
  outer: {{ host: {OUTER}, service: {{ type: NodePort }} }}
  inner: {{ host: certs.inner.example }}
  replicas: 2
  certificateAuthorityRef: {{ name: {NAME} }}
  engineers: {{ clientCertificates: {{ authoritiesRef: {{ name: {NAME}-engineers }} }} }}
  allowedSites: {{ namespaces: [{SITES}] }}
"
        ));
        let set = format!("statefulset/{NAME}-gateway");
        eventually(SOON, "the gateways' StatefulSet", || {
            holds(get(NAMESPACE, "statefulset", &format!("{NAME}-gateway")) != Value::Null, "it is not there")
        });
        kubectl(&["--namespace", NAMESPACE, "rollout", "status", &set, "--timeout=120s"]);
        wait_condition((NAMESPACE, "dmz", NAME), "Ready", "True", Duration::from_secs(120));
        let service = get(NAMESPACE, "service", &format!("{NAME}-outer"));
        let address = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        Self {
            node: kubectl(&["get", "nodes", "--output", address]),
            outer: service["spec"]["ports"][0]["nodePort"].as_u64().expect("a node port"),
        }
    }

    /// The region's trust bundle.
    fn trust(&self) -> String {
        get(NAMESPACE, "configmap", &format!("{NAME}-trust"))["data"]["ca.crt"].as_str().expect("a bundle").to_owned()
    }
}

/// Removes what a test made, also after a failure.
struct Cleanup(Vec<(&'static str, String)>);

impl Drop for Cleanup {
    fn drop(&mut self) {
        for (kind, name) in &self.0 {
            delete(SITES, kind, name);
        }
    }
}

/// A site and its endpoint, both called `name`, and these certificates.
fn site(name: &str, certificates: &[(&str, &str)]) -> Cleanup {
    apply(&format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: CustomerSite
metadata: {{ name: {name}, namespace: {SITES} }}
spec: {{ customer: {{ name: Hospital }}, country: DE, regionRef: {{ name: {NAME}, namespace: {NAMESPACE} }} }}
---
apiVersion: sallyport.dev/v1alpha1
kind: TunnelEndpoint
metadata: {{ name: {name}, namespace: {SITES} }}
spec: {{ siteRef: {{ name: {name} }}, webSocket: {{ route: direct }} }}
"
    ));
    for (certificate, more) in certificates {
        tunnel_certificate(certificate, name, more);
    }
    let made = certificates.iter().map(|(certificate, _)| ("tcert", (*certificate).to_owned()));
    Cleanup(made.chain([("tep", name.to_owned()), ("csite", name.to_owned())]).collect())
}

fn tunnel_certificate(name: &str, endpoint: &str, more: &str) {
    apply(&format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: TunnelCertificate
metadata: {{ name: {name}, namespace: {SITES} }}
spec: {{ endpointRef: {{ name: {endpoint} }}, {more} }}
"
    ));
}

fn patch(name: &str, patch: &str) -> std::process::Output {
    let args = ["--namespace", SITES, "patch", "tcert", name, "--type=merge", "--patch", patch];
    output(Command::new("kubectl").args(args))
}

fn bash(lines: &str) -> String {
    run(Command::new("bash").args(["-euo", "pipefail", "-c", lines]))
}

/// What a token is written as: its hash, and an end this many hours ahead.
fn token(text: &str, hours: i64) -> String {
    let hash = bash(&format!("printf %s '{text}' | sha256sum | cut -d ' ' -f 1"));
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    format!("enrolmentToken: {{ sha256: {}, expiresAt: \"{}\" }}", hash.trim(), ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

fn serial(name: &str) -> String {
    get(SITES, "tcert", name)["status"]["serial"].as_str().unwrap_or_default().to_owned()
}

/// One EST request with its own key, under way: it prints the HTTP status.
fn enrolling(region: &Region, folder: &std::path::Path, endpoint: &str, token: &str, number: usize) -> Child {
    std::fs::write(folder.join("ca.crt"), region.trust()).unwrap();
    let lines = format!(
        "cd {folder}
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -keyout {number}.key -outform der 2>/dev/null |
  base64 --wrap 64 >{number}.csr
curl --silent --show-error --max-time 20 --cacert ca.crt --connect-to {OUTER}:443:{node}:{port} \\
  --user '{SITES}/{endpoint}:{token}' --header 'Content-Type: application/pkcs10' --data-binary @{number}.csr \\
  --output {number}.p7 --write-out '%{{http_code}}' https://{OUTER}/.well-known/est/simpleenroll",
        folder = folder.display(),
        node = region.node,
        port = region.outer,
    );
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &lines]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn of_many_requests_with_one_token_exactly_one_gets_a_certificate() {
    let region = Region::ready();
    let _clean = site("once", &[("once", &token("seventeen-words-of-a-token", 1))]);
    wait_condition((SITES, "tep", "once"), "Ready", "True", SOON);
    let folder = tempfile::tempdir().unwrap();
    eventually(SOON, "the certificate waits for its agent", || {
        let (_, reason, message) = condition(&get(SITES, "tcert", "once"), "Ready");
        holds(reason == "WaitingForEnrolment", message)
    });
    let enrol = |n| enrolling(&region, folder.path(), "once", "seventeen-words-of-a-token", n);
    let children: Vec<_> = (0..6).map(enrol).collect();
    let mut codes: Vec<_> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .map(|said| format!("{}{}", text(&said.stdout), text(&said.stderr)))
        .enumerate()
        .collect();
    codes.sort_by(|a, b| a.1.cmp(&b.1));
    let winner = codes[0].0;
    assert_eq!(codes.iter().map(|(_, c)| c.as_str()).collect::<Vec<_>>(), ["200", "401", "401", "401", "401", "401"]);

    let issued = bash(&format!(
        "base64 --decode {}/{winner}.p7 | openssl pkcs7 -inform der -print_certs | openssl x509 -noout -serial -ext subjectAltName",
        folder.path().display()
    ));
    assert!(issued.contains(&format!("URI:sallyport://{NAMESPACE}.{NAME}/endpoint/{SITES}/once")), "{issued}");
    let written = serial("once");
    assert!(issued.to_lowercase().contains(&format!("serial={written}")), "{issued} is not {written}");
    let status = &get(SITES, "tcert", "once")["status"];
    assert_eq!(status["earlier"].as_array().map_or(0, Vec::len), 0, "nothing else was issued: {status}");
    wait_condition((SITES, "tcert", "once"), "Ready", "True", SOON);
    eventually(SOON, "an Event for the one and for the others", || {
        let events = kubectl(&["--namespace", SITES, "get", "events.events.k8s.io", "--output", "json"]);
        let about = |reason: &str| {
            let events: Value = serde_json::from_str(&events).unwrap();
            events["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|e| e["regarding"]["name"] == "once" && e["reason"] == reason)
        };
        holds(about("Enrolled") && about("EnrolmentRefused"), "not both")
    });
}

#[test]
fn a_token_that_lasts_too_long_or_ended_is_never_accepted() {
    let region = Region::ready();
    let _clean = site("long", &[("long", &token("too-long", 24 * 8)), ("ended", &token("ended", -1))]);
    wait_condition((SITES, "tep", "long"), "Ready", "True", SOON);
    for (name, why) in [("long", "EnrolmentTokenTooLong"), ("ended", "EnrolmentTokenExpired")] {
        eventually(SOON, why, || {
            let (_, reason, message) = condition(&get(SITES, "tcert", name), "Ready");
            holds(reason == why, message)
        });
    }
    let folder = tempfile::tempdir().unwrap();
    for (number, token) in ["too-long", "ended", "neither"].iter().enumerate() {
        let said = enrolling(&region, folder.path(), "long", token, number).wait_with_output().unwrap();
        assert_eq!(text(&said.stdout), "401", "{token}: {}", text(&said.stderr));
    }
    assert_eq!((serial("long"), serial("ended")), (String::new(), String::new()));
}

/// One renewal by curl, with the key and certificate of request `number`, for a new key: HTTP status and the answer's code.
/// `proof` makes the header from the files `message` (what is signed) and `{number}.key`.
fn renewing(region: &Region, folder: &std::path::Path, endpoint: &str, number: usize, proof: &str) -> (String, String) {
    let said = bash(&format!(
        "cd {folder}
base64 --decode {number}.p7 | openssl pkcs7 -inform der -print_certs -out {number}.crt
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -keyout next.key -outform der -out next.der 2>/dev/null
base64 --wrap 64 next.der >next.csr
{{ printf 'sallyport-reenrol-v1\\0{NAMESPACE}/{NAME}\\0{SITES}/{endpoint}\\0'; openssl dgst -sha256 -binary next.der; }} >message
{proof}
curl --silent --show-error --max-time 20 --cacert ca.crt --connect-to {OUTER}:443:{node}:{port} \\
  --cert {number}.crt --key {number}.key \"${{header[@]}}\" --header 'Content-Type: application/pkcs10' --data-binary @next.csr \\
  --output answer --write-out '%{{http_code}}' https://{OUTER}/.well-known/est/simplereenroll",
        folder = folder.display(),
        node = region.node,
        port = region.outer,
    ));
    let answer = std::fs::read_to_string(folder.join("answer")).unwrap();
    let code = serde_json::from_str::<Value>(&answer).ok().and_then(|body| body["code"].as_str().map(str::to_owned));
    (said.trim().to_owned(), code.unwrap_or_default())
}

/// The header, signed with the key of this request.
fn signed_by(key: &str) -> String {
    format!(
        "header=(--header \"Sallyport-Renewal-Proof: $(openssl dgst -sha256 -sign {key} message | base64 --wrap 0)\")"
    )
}

#[test]
fn a_renewal_needs_the_key_of_the_certificate_unless_its_owner_says_otherwise() {
    let region = Region::ready();
    let _clean = site("renew", &[("renew", &token("a-token-to-renew-with", 1))]);
    wait_condition((SITES, "tep", "renew"), "Ready", "True", SOON);
    let folder = tempfile::tempdir().unwrap();
    eventually(SOON, "the certificate waits for its agent", || {
        let (_, reason, message) = condition(&get(SITES, "tcert", "renew"), "Ready");
        holds(reason == "WaitingForEnrolment", message)
    });
    let said = enrolling(&region, folder.path(), "renew", "a-token-to-renew-with", 0).wait_with_output().unwrap();
    assert_eq!(text(&said.stdout), "200", "{}", text(&said.stderr));
    let first = serial("renew");
    let refused = ("403".to_owned(), "proofRequired".to_owned());
    assert_eq!(renewing(&region, folder.path(), "renew", 0, "header=()"), refused);
    // As a gateway could send that was taken over: signed with the new key.
    assert_eq!(renewing(&region, folder.path(), "renew", 0, &signed_by("next.key")), refused);
    assert_eq!(serial("renew"), first, "nothing was issued");
    let (status, code) = renewing(&region, folder.path(), "renew", 0, &signed_by("0.key"));
    assert_eq!((status.as_str(), code.as_str()), ("200", ""));
    let second = serial("renew");
    assert_ne!(second, first);

    let said = patch("renew", r#"{"spec":{"unprovenRenewal":true}}"#);
    assert!(said.status.success(), "{}", text(&said.stderr));
    eventually(SOON, "the operator has seen it", || {
        let (status, code) = renewing(&region, folder.path(), "renew", 0, "header=()");
        holds(status == "200", code)
    });
    assert_ne!(serial("renew"), second);
}

#[test]
fn a_token_that_was_used_once_is_refused_after_another_was_used() {
    let region = Region::ready();
    let (one, two) = (token("one-of-two-tokens", 1), token("two-of-two-tokens", 1));
    let _clean = site("turns", &[("turns", &one)]);
    wait_condition((SITES, "tep", "turns"), "Ready", "True", SOON);
    let folder = tempfile::tempdir().unwrap();
    let enrol = |token: &str, number| {
        let said = enrolling(&region, folder.path(), "turns", token, number).wait_with_output().unwrap();
        text(&said.stdout)
    };
    eventually(SOON, "the first token is taken", || {
        let code = enrol("one-of-two-tokens", 0);
        holds(code == "200", code)
    });
    tunnel_certificate("turns", "turns", &two);
    eventually(SOON, "the second token is taken", || {
        let code = enrol("two-of-two-tokens", 1);
        holds(code == "200", code)
    });
    tunnel_certificate("turns", "turns", &one);
    let generation = get(SITES, "tcert", "turns")["metadata"]["generation"].clone();
    eventually(SOON, "the operator has seen the first token again", || {
        let seen = get(SITES, "tcert", "turns")["status"]["observedGeneration"].clone();
        holds(seen == generation, format!("{seen}"))
    });
    let before = serial("turns");
    assert_eq!((enrol("one-of-two-tokens", 2), serial("turns")), ("401".to_owned(), before));
}

/// Without its object an authority signs nothing, but its keys are there: made again it would vouch for what was deleted.
#[test]
fn a_deleted_certificate_waits_while_the_keys_of_its_missing_authority_exist() {
    let _region = Region::ready();
    let _clean = site("orphan", &[("orphan", "lifetime: 1d")]);
    eventually(SOON, "it has its finalizer", || {
        let object = get(SITES, "tcert", "orphan");
        holds(object["metadata"]["finalizers"].to_string().contains("certificate-revoked"), "it has not")
    });
    let keys = "certs-orphan-ca";
    apply(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: {keys}, namespace: {NAMESPACE} }}\n"));
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let status = format!(
        r#"{{"status":{{"serial":"4a","notAfter":"{ends}","issuerGeneration":1,"authority":"{NAMESPACE}/certs-orphan"}}}}"#
    );
    let patch = ["patch", "tcert", "orphan", "--subresource=status", "--type=merge", "--patch", &status];
    kubectl(&[&["--namespace", SITES], &patch[..]].concat());
    kubectl(&["--namespace", SITES, "delete", "tcert", "orphan", "--wait=false"]);
    eventually(SOON, "it says what it waits for", || {
        let (_, reason, message) = condition(&get(SITES, "tcert", "orphan"), "Ready");
        holds(reason == "Revoking" && message.contains(keys), message)
    });
    delete(NAMESPACE, "secret", keys);
    eventually(Duration::from_secs(90), "it goes with the keys", || {
        holds(get(SITES, "tcert", "orphan") == Value::Null, "it is still there")
    });
}

#[test]
fn a_revocation_is_enforced_measured_and_final() {
    let _region = Region::ready();
    let _clean = site("gone", &[("gone", "secretName: gone")]);
    wait_condition((SITES, "tcert", "gone"), "Ready", "True", SOON);
    let issued = serial("gone");
    let said = patch("gone", r#"{"spec":{"revoked":{"reason":"keyCompromise","note":"laptop stolen"}}}"#);
    assert!(said.status.success(), "{}", text(&said.stderr));
    wait_condition((SITES, "tcert", "gone"), "Revoked", "True", SOON);
    let status = get(SITES, "tcert", "gone")["status"].clone();
    let took = status["revocation"]["milliseconds"].as_u64();
    assert!(took.is_some_and(|took| took < 1000), "{status}");
    let (ready, reason, message) = condition(&get(SITES, "tcert", "gone"), "Ready");
    assert!(ready == "False" && reason == "Revoked" && message.contains("laptop stolen"), "{reason}: {message}");

    // It is on the list of who issued it.
    let authority = status["authority"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(revoked(&authority).contains(&issued.to_uppercase()), "{issued}");
    // Nobody finds the key any more.
    eventually(SOON, "the Secret is empty", || {
        let data = get(SITES, "secret", "gone")["data"].clone();
        holds(data["tls.key"] == "" && data["tls.crt"] == "", "it is not")
    });
    let said = patch("gone", r#"{"spec":{"revoked":null}}"#);
    assert!(!said.status.success() && text(&said.stderr).contains("final"), "{}", text(&said.stderr));
}

#[test]
fn deleting_a_certificate_revokes_it() {
    let _region = Region::ready();
    let _clean = site("left", &[("left", "secretName: left")]);
    wait_condition((SITES, "tcert", "left"), "Ready", "True", SOON);
    let (issued, object) = (serial("left"), get(SITES, "tcert", "left"));
    let authority = object["status"]["authority"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(object["metadata"]["finalizers"].to_string().contains("sallyport.dev/certificate-revoked"), "{object}");
    delete(SITES, "tcert", "left");
    assert_eq!(get(SITES, "tcert", "left"), Value::Null, "its finalizer goes");
    assert!(revoked(&authority).contains(&issued.to_uppercase()), "{issued}");
}

/// The published lists of an authority, as openssl reads them.
fn revoked(authority: &str) -> String {
    let map = get(NAMESPACE, "configmap", &format!("{authority}-ca-trust"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("crls.pem"), map["data"]["crls.pem"].as_str().unwrap()).unwrap();
    bash(&format!("openssl crl -noout -text -in {}/crls.pem", folder.path().display()))
}

#[test]
fn a_keystore_is_read_by_openssl_and_follows_its_password() {
    let _region = Region::ready();
    let _password = Cleanup(vec![("secret", "keystore-password".to_owned())]);
    let more = "secretName: keystore, pkcs12: { passwordRef: { name: keystore-password, key: password } }";
    let _clean = site("keystore", &[("keystore", more)]);
    let (message, _) = wait_condition((SITES, "tcert", "keystore"), "Ready", "False", SOON);
    eventually(SOON, "the condition names what is missing", || {
        let (_, reason, message) = condition(&get(SITES, "tcert", "keystore"), "Ready");
        holds(reason == "PasswordNotUsable" && message.contains("keystore-password"), message)
    });
    assert_eq!(get(SITES, "secret", "keystore"), Value::Null, "nothing is issued without it: {message}");

    let password = |text: &str| {
        apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{ name: keystore-password, namespace: {SITES} }}\nstringData: {{ password: '{text}' }}\n"
        ));
    };
    password("first pässword");
    wait_condition((SITES, "tcert", "keystore"), "Ready", "True", SOON);
    let first = opened("first pässword").expect("openssl reads it");
    assert!(first.contains("PRIVATE KEY") && first.matches("BEGIN CERTIFICATE").count() >= 2, "{first}");
    let issued = serial("keystore");
    password("second");
    // What makes the operator look now instead of within ten minutes.
    apply(&format!(
        "apiVersion: sallyport.dev/v1alpha1\nkind: TunnelCertificate\nmetadata: {{ name: keystore, namespace: {SITES}, labels: {{ looked: again }} }}\nspec: {{ endpointRef: {{ name: keystore }}, {more} }}\n"
    ));
    eventually(SOON, "the file has the new password", || opened("second").ok_or_else(|| "it has not".to_owned()));
    assert_eq!(serial("keystore"), issued, "the certificate is the same");
    assert!(opened("first pässword").is_none(), "the old password opens it");
}

/// The keystore's content, if the password opens it.
fn opened(password: &str) -> Option<String> {
    let secret = get(SITES, "secret", "keystore");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("encoded"), secret["data"]["keystore.p12"].as_str()?).unwrap();
    let lines =
        format!("base64 --decode {}/encoded | openssl pkcs12 -nodes -passin env:PASSWORD", folder.path().display());
    let said = output(Command::new("bash").args(["-euo", "pipefail", "-c", &lines]).env("PASSWORD", password));
    said.status.success().then(|| text(&said.stdout))
}

#[test]
fn of_two_that_want_one_secret_the_first_has_it_until_it_goes() {
    let _region = Region::ready();
    let _clean = site("claim", &[("claim-first", "secretName: claim")]);
    wait_condition((SITES, "tcert", "claim-first"), "Ready", "True", SOON);
    let _second = Cleanup(vec![("tcert", "claim-second".to_owned())]);
    tunnel_certificate("claim-second", "claim", "secretName: claim");
    eventually(SOON, "the second is told whose it is", || {
        let (_, reason, message) = condition(&get(SITES, "tcert", "claim-second"), "Ready");
        holds(reason == "SecretClaimed" && message.contains("claim-first"), message)
    });
    let version = || get(SITES, "secret", "claim")["metadata"]["resourceVersion"].clone();
    let before = version();
    assert_eq!(serial("claim-second"), "", "nothing is issued for the second");
    assert_eq!(version(), before);
    delete(SITES, "tcert", "claim-first");
    wait_condition((SITES, "tcert", "claim-second"), "Ready", "True", SOON);
}

#[test]
fn a_suspension_is_measured_for_a_site_and_for_a_device() {
    let _region = Region::ready();
    let _device = Cleanup(vec![("mdev", "pause".to_owned())]);
    let _clean = site("pause", &[]);
    apply(&format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: Device
metadata: {{ name: pause, namespace: {SITES} }}
spec:
  siteRef: {{ name: pause }}
  endpointRef: {{ name: pause }}
  product: {{ model: X, serialNumber: X, class: server }}
  address: 10.0.0.1
  services: [{{ name: ssh, port: 22, protocol: ssh }}]
"
    ));
    wait_condition((SITES, "mdev", "pause"), "Ready", "True", SOON);
    for kind in ["mdev", "csite"] {
        let set = |value: &str| {
            let patch = format!("{{\"spec\":{{\"suspended\":{value}}}}}");
            kubectl(&["--namespace", SITES, "patch", kind, "pause", "--type=merge", "--patch", &patch]);
        };
        set("true");
        wait_condition((SITES, kind, "pause"), "Suspended", "True", SOON);
        let status = get(SITES, kind, "pause")["status"].clone();
        let took = status["suspension"]["milliseconds"].as_u64();
        assert!(took.is_some_and(|took| took < 1000), "{kind}: {status}");
        set("false");
        wait_condition((SITES, kind, "pause"), "Suspended", "False", SOON);
        assert_eq!(get(SITES, kind, "pause")["status"]["suspension"], Value::Null, "{kind}");
    }
}

#[test]
fn every_gateway_shows_the_published_bundle_and_its_certificates() {
    let _region = Region::ready();
    eventually(SOON, "bundle and certificates in the region's status", || {
        let digest = get(NAMESPACE, "ca", NAME)["status"]["trustDigest"].clone();
        let gateways = get(NAMESPACE, "dmz", NAME)["status"]["gateways"].clone();
        let all = gateways.as_array().cloned().unwrap_or_default();
        let complete = |gateway: &Value| {
            let purposes: Vec<_> =
                gateway["certificates"].as_array().into_iter().flatten().map(|c| c["purpose"].clone()).collect();
            digest.is_string() && gateway["trustDigest"] == digest && purposes == ["inner", "outer", "peer"]
        };
        holds(all.len() == 2 && all.iter().all(complete), format!("{digest} {gateways}"))
    });
}
