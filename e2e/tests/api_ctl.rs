//! The platform team's commands against a real API server. The operator is away, and its part is played by patches of
//! status: what is tested is what the commands write, what they wait for and what they say.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sallyport_e2e::operators::Gone;
use sallyport_e2e::run::{built, output, text};
use sallyport_e2e::wait::holds;
use sallyport_e2e::{apply, delete, eventually, get, kubectl};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const REGIONS: &str = "e2e-ctl";
const SITES: &str = "e2e-ctl-sites";
const SOON: Duration = Duration::from_secs(30);
const DIGEST: &str = "abababababababababababababababababababababababababababababababab";

/// What one test made, and no operator for as long as it runs.
struct Stage {
    name: &'static str,
    /// Dropped last, so that no operator meets what is left.
    _gone: Option<Gone>,
}

impl Stage {
    /// An authority, a region, a site, an endpoint and its certificate, all of this name.
    fn set(name: &'static str) -> Self {
        let chart = kubectl(&[
            "get",
            "deployment",
            "--namespace",
            "sallyport-system",
            "--output",
            "name",
            "--ignore-not-found",
        ]);
        let gone = (!chart.is_empty()).then(Gone::now);
        for namespace in [REGIONS, SITES] {
            if kubectl(&["get", "namespace", namespace, "--ignore-not-found", "--output", "name"]).is_empty() {
                // Another test may make it at the same moment.
                output(Command::new("kubectl").args(["create", "namespace", namespace]));
            }
        }
        let stage = Self { name, _gone: gone };
        apply(&format!(
            "apiVersion: sallyport.dev/v1alpha1
kind: CertificateAuthority
metadata: {{ name: {name}, namespace: {REGIONS} }}
spec: {{ subject: {{ commonName: CLI test }} }}
---
apiVersion: sallyport.dev/v1alpha1
kind: DmzRegion
metadata: {{ name: {name}, namespace: {REGIONS} }}
spec:
  outer: {{ host: {name}.outer.example, service: {{ port: 8443 }} }}
  inner: {{ host: {name}.inner.example }}
  certificateAuthorityRef: {{ name: {name} }}
  engineers: {{ clientCertificates: {{ authoritiesRef: {{ name: engineers }} }} }}
  allowedSites: {{ namespaces: [{SITES}] }}
---
apiVersion: sallyport.dev/v1alpha1
kind: CustomerSite
metadata: {{ name: {name}, namespace: {SITES} }}
spec:
  customer: {{ name: Hospital {name} }}
  country: DE
  regionRef: {{ name: {name}, namespace: {REGIONS} }}
---
apiVersion: sallyport.dev/v1alpha1
kind: TunnelEndpoint
metadata: {{ name: {name}, namespace: {SITES} }}
spec: {{ siteRef: {{ name: {name} }}, webSocket: {{ route: direct }} }}
---
apiVersion: sallyport.dev/v1alpha1
kind: TunnelCertificate
metadata: {{ name: {name}, namespace: {SITES} }}
spec: {{ endpointRef: {{ name: {name} }} }}
"
        ));
        stage
    }

    /// Generations 1 to n in these states; the last is made for a request.
    fn generations(&self, states: &[&str], more: &Value) {
        let generation = |(index, state): (usize, &&str)| {
            json!({
                "number": index + 1, "fingerprint": format!("{:064}", index + 1), "notBefore": "2026-01-01T00:00:00Z",
                "notAfter": "2036-01-01T00:00:00Z", "state": state, "since": "2026-01-01T00:00:00Z",
                "cause": if index == 0 { "First" } else { "Emergency" }, "madeFor": "x",
            })
        };
        let mut status = more.clone();
        status["generations"] = states.iter().enumerate().map(generation).collect();
        status["issuing"] = (states.iter().position(|state| *state == "Issuing").map(|index| index + 1)).into();
        self.status(REGIONS, "ca", &status);
    }

    fn status(&self, namespace: &str, kind: &str, status: &Value) {
        let patch = json!({ "status": status }).to_string();
        let patch = ["--subresource=status", "--type=merge", "--patch", &patch];
        kubectl(&[["--namespace", namespace, "patch", kind, self.name].as_slice(), &patch].concat());
    }

    fn request(&self) -> Value {
        get(REGIONS, "ca", self.name)["spec"]["rotateRequest"].clone()
    }

    /// Waits until a request that differs from `before` is written, and gives its id.
    fn asked(&self, before: &Value) -> String {
        let (request, _) = eventually(SOON, "the request is written", || {
            let request = self.request();
            holds(request != Value::Null && request != *before, &request).map(|()| request)
        });
        request["id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for kind in ["mdev", "tcert", "tep", "csite"] {
            delete(SITES, kind, self.name);
        }
        for kind in ["dmz", "ca", "configmap"] {
            delete(REGIONS, kind, self.name);
        }
    }
}

fn ctl(args: &[&str]) -> Command {
    let mut command = Command::new(built("sallyportctl"));
    // An engineer's environment must not change what the platform team's commands do.
    command.args(args).env("SALLYPORT_CONTEXT", "an-engineers").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    output(&mut ctl(args))
}

/// Runs, and gives both outputs.
fn expect(code: i32, args: &[&str]) -> (String, String) {
    let run = run(args);
    let (out, err) = (text(&run.stdout), text(&run.stderr));
    assert_eq!(run.status.code(), Some(code), "{args:?}: {out}{err}");
    (out, err)
}

/// Runs beside the test.
struct Beside(Child);

impl Beside {
    fn start(args: &[&str]) -> Self {
        Self(ctl(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        eventually(SOON, "sallyportctl ends", || holds(self.0.try_wait().unwrap().is_some(), "it runs"));
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap().code(), out, err)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn managers(namespace: &str, kind: &str, name: &str) -> Vec<String> {
    let args = ["--namespace", namespace, "get", kind, name, "--output", "json", "--show-managed-fields"];
    let object: Value = serde_json::from_str(&kubectl(&args)).unwrap();
    let fields = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    fields.iter().map(|entry| entry["manager"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_emergency_is_followed_to_its_end_and_says_who_was_cut() {
    let stage = Stage::set("emergency");
    stage.generations(&["Issuing"], &json!({}));
    let ask =
        ["ca", "rotate", "emergency", "-n", REGIONS, "--reason", "key leaked", "--emergency", "--drop-within", "5m"];
    let (_, err) = expect(2, &ask);
    assert!(err.contains("add --yes"), "{err}");
    assert_eq!(stage.request(), Value::Null, "nothing is written without an answer");

    let beside = Beside::start(&[ask.as_slice(), &["--yes", "--wait", "--timeout", "60s"]].concat());
    let id = stage.asked(&Value::Null);
    let request = stage.request();
    assert_eq!(
        (&request["reason"], &request["emergency"], &request["dropWithin"]),
        (&json!("key leaked"), &json!(true), &json!("5m"))
    );
    assert!(managers(REGIONS, "ca", "emergency").contains(&"sallyportctl".to_owned()));
    let rotation = json!({
        "to": 2, "waitsFor": "every live peer to acknowledge the bundle", "done": 1, "of": 2, "blockedBy": 1,
        "blockers": [{ "name": "e2e-ctl-sites/emergency", "reason": "no acknowledgement" }],
    });
    stage.generations(&["Issuing", "NotYetTrusted"], &json!({ "lastRequest": id, "rotation": rotation }));
    stage.generations(&["PhasingOut", "Issuing"], &json!({ "rotation": rotation }));
    let given_up = json!([
        { "name": "e2e-ctl-sites/earlier", "reason": "of an earlier rotation", "at": "2026-01-01T00:00:00Z", "generation": 1 },
        { "name": "e2e-ctl-sites/late", "reason": "deadline", "at": "2026-01-01T00:00:00Z", "generation": 2 },
    ]);
    stage.generations(&["Removed", "Issuing"], &json!({ "givenUp": given_up, "rotation": null }));
    let (code, out, err) = beside.end();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(err.contains("EMERGENCY") && err.contains("generation 2 is"), "{err}");
    assert!(out.contains("generation 2 signs") && out.contains("e2e-ctl-sites/late"), "{out}");
    assert!(!out.contains("earlier"), "{out}");
}

#[test]
fn a_rotation_that_is_not_done_or_goes_another_way_has_its_own_exit_code() {
    let stage = Stage::set("codes");
    stage.generations(&["Issuing"], &json!({}));
    let ask = ["ca", "rotate", "codes", "-n", REGIONS, "--reason", "exercise", "--wait", "--timeout"];
    let (_, err) = expect(7, &[ask.as_slice(), &["1s"]].concat());
    assert!(err.contains("not done after 1s: asked for; the operator has not taken it up yet"), "{err}");
    assert!(err.contains("it goes on without you"), "{err}");

    let before = stage.request();
    let beside = Beside::start(&[ask.as_slice(), &["60s"]].concat());
    let first = stage.asked(&before);
    let second = json!({ "spec": { "rotateRequest": { "id": "another", "reason": "somebody else's" } } }).to_string();
    kubectl(&["--namespace", REGIONS, "patch", "ca", "codes", "--type=merge", "--patch", &second]);
    let (code, _, err) = beside.end();
    assert_eq!(code, Some(6), "{err}");
    assert!(err.contains("another request took its place") && err.contains("somebody else's"), "{err}");

    // Without --wait it takes the field back from whoever has it, under a new id.
    let (out, _) = expect(0, &["ca", "rotate", "codes", "-n", REGIONS, "--reason", "exercise", "-o", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["request"], stage.request());
    assert_ne!(answer["request"]["id"], json!(first));
}

#[test]
fn lost_peers_come_and_go_without_touching_others() {
    let stage = Stage::set("lost");
    let name = |endpoint: &str| format!("{SITES}/{endpoint}");
    for endpoint in ["lost-a", "lost-b", "lost-c"] {
        apply(&format!(
            "apiVersion: sallyport.dev/v1alpha1
kind: TunnelEndpoint
metadata: {{ name: {endpoint}, namespace: {SITES} }}
spec: {{ siteRef: {{ name: lost }}, webSocket: {{ route: direct }} }}
"
        ));
    }
    // Somebody else's, and a request of ours, which must survive.
    expect(0, &["ca", "rotate", "lost", "-n", REGIONS, "--reason", "exercise"]);
    let theirs = json!({ "spec": { "lostPeers": [{ "name": name("theirs"), "reason": "in git" }] } }).to_string();
    kubectl(&[
        "--namespace",
        REGIONS,
        "patch",
        "ca",
        "lost",
        "--type=merge",
        "--patch",
        &theirs,
        "--field-manager=git",
    ]);
    // At the same time: each reads, changes and writes, and none may lose another's.
    let all: Vec<Beside> = ["lost-a", "lost-b", "lost-c"]
        .iter()
        .map(|endpoint| Beside::start(&["ca", "lost", "lost", &name(endpoint), "-n", REGIONS, "--reason", "destroyed"]))
        .collect();
    for one in all {
        let (code, out, err) = one.end();
        assert_eq!(code, Some(0), "{out}{err}");
    }
    let listed = || {
        let peers = get(REGIONS, "ca", "lost")["spec"]["lostPeers"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = peers.iter().map(|peer| peer["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(listed(), [name("lost-a"), name("lost-b"), name("lost-c"), name("theirs")]);
    expect(0, &["ca", "lost", "lost", &name("lost-b"), "-n", REGIONS, "--undo"]);
    assert_eq!(listed(), [name("lost-a"), name("lost-c"), name("theirs")]);
    let (_, err) = expect(1, &["ca", "lost", "lost", &name("theirs"), "-n", REGIONS, "--undo"]);
    assert!(err.contains("somebody else wrote it too (git)"), "{err}");
    let (_, err) = expect(1, &["ca", "lost", "lost", &name("nobody"), "-n", REGIONS, "--reason", "x"]);
    assert!(err.contains(&format!("there is no TunnelEndpoint nobody in namespace {SITES}")), "{err}");
    for endpoint in ["lost-a", "lost-c"] {
        expect(0, &["ca", "lost", "lost", &name(endpoint), "-n", REGIONS, "--undo"]);
    }
    assert_eq!(listed(), [name("theirs")]);
    assert_eq!(stage.request()["reason"], "exercise");
    for endpoint in ["lost-a", "lost-b", "lost-c"] {
        delete(SITES, "tep", endpoint);
    }
}

#[test]
fn a_token_is_shown_once_and_kept_as_a_hash() {
    let stage = Stage::set("token");
    let (_, err) = expect(1, &["enrol", "token", "token", "-n", SITES]);
    assert!(err.contains("no generation signs yet"), "{err}");
    stage.generations(&["Issuing"], &json!({}));
    let (out, err) = expect(0, &["enrol", "token", "token", "-n", SITES, "--valid-for", "15m"]);
    let token = out.trim();
    let kept = || get(SITES, "tcert", "token");
    let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(kept()["spec"]["enrolmentToken"]["sha256"], hash);
    assert!(!kept().to_string().contains(token), "the token itself is nowhere in the cluster");
    let end: jiff::Timestamp = kept()["spec"]["enrolmentToken"]["expiresAt"].as_str().unwrap().parse().unwrap();
    let left = end.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((840..=900).contains(&left), "{left} s");
    let command = format!(
        "sallyport-agent enrol --gateway token.outer.example:8443 --endpoint {SITES}/token --fingerprint {:064}",
        1
    );
    assert!(err.contains(&command), "{err}");
    assert!(!err.contains(token), "only standard output carries it");

    let (out, _) = expect(0, &["enrol", "token", &format!("{SITES}/token"), "-o", "json", "--valid-for", "7d"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_ne!(answer["token"], token);
    assert_eq!(answer["expiresAt"], kept()["spec"]["enrolmentToken"]["expiresAt"]);
    assert_eq!(answer["command"], command);

    let (_, err) = expect(2, &["enrol", "token", "token", "-n", SITES, "--valid-for", "8d"]);
    assert!(err.contains("from 1s to 7d"), "{err}");
    let (_, err) = expect(1, &["enrol", "token", "nobody", "-n", SITES]);
    assert!(err.contains(&format!("there is no TunnelEndpoint nobody in namespace {SITES}")), "{err}");
    expect(0, &["certificate", "revoke", "token", "-n", SITES, "--reason", "superseded"]);
    let (_, err) = expect(1, &["enrol", "token", "token", "-n", SITES]);
    assert!(err.contains("token is revoked (spec.revoked)") && err.contains("kubectl apply"), "{err}");
    assert_eq!(
        kept()["spec"]["enrolmentToken"]["sha256"].as_str().unwrap().len(),
        64,
        "a revocation keeps the token's hash"
    );
}

#[test]
fn a_revocation_waits_for_the_gateways_and_says_how_long_they_took() {
    let stage = Stage::set("revoke");
    let revoke =
        ["certificate", "revoke", "revoke", "-n", SITES, "--reason", "keyCompromise", "--note", "laptop stolen"];
    let beside = Beside::start(&[revoke.as_slice(), &["--wait", "--timeout", "60s"]].concat());
    eventually(SOON, "it is revoked", || {
        let revoked = get(SITES, "tcert", "revoke")["spec"]["revoked"].clone();
        holds(revoked == json!({ "reason": "keyCompromise", "note": "laptop stolen" }), &revoked)
    });
    stage.status(SITES, "tcert", &json!({ "revocation": { "seen": "2026-03-01T00:00:00Z" } }));
    let enforced =
        json!({ "seen": "2026-03-01T00:00:00Z", "enforced": "2026-03-01T00:00:00.412Z", "milliseconds": 412 });
    stage.status(SITES, "tcert", &json!({ "revocation": enforced }));
    let (code, out, err) = beside.end();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("every gateway had cut 412 ms after the operator saw it"), "{out}");
}

#[test]
fn a_suspension_waits_for_its_own_measurement_not_an_older_one() {
    let stage = Stage::set("suspend");
    let old = json!({ "seen": "2025-01-01T00:00:00Z", "enforced": "2025-01-01T00:00:00Z", "milliseconds": 7 });
    stage.status(SITES, "csite", &json!({ "observedGeneration": 1, "suspension": old }));
    let beside = Beside::start(&["suspend", "site", "suspend", "-n", SITES, "--wait", "--timeout", "60s"]);
    eventually(SOON, "it is suspended", || {
        let site = get(SITES, "csite", "suspend");
        holds(site["spec"]["suspended"] == true, &site["spec"])
    });
    let new = json!({ "seen": "2026-01-01T00:00:00Z", "enforced": "2026-01-01T00:00:00Z", "milliseconds": 88 });
    stage.status(SITES, "csite", &json!({ "observedGeneration": 2, "suspension": new }));
    let (code, out, err) = beside.end();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("88 ms"), "{out}");
    let (out, _) = expect(0, &["resume", "site", "suspend", "-n", SITES]);
    assert!(out.contains("is resumed"), "{out}");
    assert_eq!(get(SITES, "csite", "suspend")["spec"]["suspended"], false);
    let (_, err) = expect(1, &["suspend", "device", "suspend", "-n", SITES]);
    assert!(err.contains(&format!("there is no Device suspend in namespace {SITES}")), "{err}");
    // Nobody says that it is enforced.
    let (_, err) = expect(7, &["suspend", "site", "suspend", "-n", SITES, "--wait", "--timeout", "1s"]);
    assert!(err.contains("status.suspension.enforced"), "{err}");
}

#[test]
fn the_status_joins_authority_region_site_endpoint_and_certificate() {
    let stage = Stage::set("status");
    let history =
        json!([{ "at": "2026-01-01T00:00:00Z", "generation": 1, "state": "Issuing", "why": "it is the first" }]);
    stage.generations(&["PhasingOut", "Issuing"], &json!({ "trustDigest": DIGEST, "history": history }));
    let agent = json!({ "serial": "1", "issuer": format!("{:064}", 1), "notAfter": "2100-01-01T00:00:00Z", "trustDigest": DIGEST });
    let away = json!({
        "type": "Connected", "status": "False", "reason": "NoTunnel", "message": "", "lastTransitionTime": "2026-01-05T00:00:00Z",
    });
    stage.status(SITES, "tep", &json!({ "agent": agent, "conditions": [away] }));
    let (out, _) = expect(0, &["ca", "status", "status", "-n", REGIONS, "-o", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    let report = &answer["authorities"][0];
    let site = &report["sites"][0];
    assert_eq!(
        (&site["name"], &site["older"], &site["acknowledged"]),
        (&json!("status"), &json!(1), &json!(1)),
        "{site}"
    );
    assert_eq!(site["endpoints"][0]["offlineSince"], "2026-01-05T00:00:00Z");
    assert_eq!(report["ifDropped"][0]["cut"][0]["name"], format!("{SITES}/status"));
    let (out, _) = expect(0, &["ca", "status", "status", "-n", REGIONS]);
    assert!(
        out.contains("if generation 1 were dropped now, these")
            && out.contains(&format!("{SITES}/status: its certificate")),
        "{out}"
    );
    let (out, _) = expect(0, &["ca", "history", "status", "-n", REGIONS]);
    assert!(out.contains("it is the first"), "{out}");
    let (out, _) = expect(0, &["ca", "status", "-n", "default"]);
    assert!(out.contains("no CertificateAuthority in namespace default"), "{out}");
}

#[test]
fn a_trust_file_follows_its_authority_and_no_other() {
    let stage = Stage::set("trust");
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = (folder.path().join("config.yaml"), folder.path().join("ca.pem"));
    std::fs::write(&config, "current: a\ncontexts: [{ name: a, trust: ca.pem }, { name: b }]\n").unwrap();
    let config = config.to_str().unwrap();
    let update = ["trust", "update", "a", "--from-cluster", "trust", "-n", REGIONS, "--config", config];
    let (_, err) = expect(1, &update);
    assert!(err.contains("no trust bundle is published yet"), "{err}");

    let publish = |bundle: &sallyport_pki::bundle::TrustBundle, fingerprint: &str| {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "trust", "namespace": REGIONS },
            "data": { "ca.crt": bundle.to_pem() },
        });
        apply(&map.to_string());
        stage.generations(&["Issuing"], &json!({ "trustBundle": "trust" }));
        let patch = json!([{ "op": "replace", "path": "/status/generations/0/fingerprint", "value": fingerprint }]);
        let patch = ["--subresource=status", "--type=json", "--patch", &patch.to_string()].map(str::to_owned);
        let patch: Vec<&str> = patch.iter().map(String::as_str).collect();
        kubectl(&[["--namespace", REGIONS, "patch", "ca", "trust"].as_slice(), &patch].concat());
    };
    let print = |bundle: &sallyport_pki::bundle::TrustBundle| {
        sallyport_pki::inspect::fingerprint(&bundle.certificates().next().unwrap())
    };
    let (one, other) = (sallyport_testkit::EngineersCa::new().bundle(), sallyport_testkit::EngineersCa::new().bundle());
    publish(&one, &print(&one));
    let (out, _) = expect(0, &update);
    assert!(out.contains(&format!("+ {}", print(&one))), "{out}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), one.to_pem());
    let (out, _) = expect(0, &update);
    assert!(out.contains("holds the current bundle"), "{out}");
    let both = one.union(&other);
    publish(&both, &print(&one));
    expect(0, &update);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), both.to_pem());
    // Another authority's file is not overwritten.
    publish(&one, &print(&one));
    let (_, err) = expect(1, &update);
    assert!(err.contains(&print(&other)) && err.contains("--from-cluster"), "{err}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), both.to_pem());
    let (_, err) = expect(2, &["trust", "update", "b", "--from-cluster", "trust", "-n", REGIONS, "--config", config]);
    assert!(err.contains("context b") && err.contains("has no trust file"), "{err}");
}

#[test]
fn what_is_missing_is_named() {
    let _stage = Stage::set("missing");
    let status = ["ca", "status", "nobody", "-n", REGIONS];
    let (_, err) = expect(1, &status);
    assert!(err.contains(&format!("there is no CertificateAuthority nobody in namespace {REGIONS}")), "{err}");
    assert!(err.contains("kubectl get certificateauthorities"), "{err}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let with = |config: &Value| {
        std::fs::write(&file, config.to_string()).unwrap();
        [status.as_slice(), &["--kubeconfig", file.to_str().unwrap()]].concat()
    };
    let mut config: Value =
        serde_json::from_str(&kubectl(&["config", "view", "--raw", "--flatten", "--output", "json"])).unwrap();
    config["users"][0]["user"]["as"] = json!("nobody");
    let (_, err) = expect(3, &with(&config));
    let right = format!("get certificateauthorities.sallyport.dev in namespace {REGIONS}");
    assert!(err.contains("forbids it") && err.contains(&right), "{err}");

    config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
    let (_, err) = expect(5, &with(&config));
    assert!(err.contains("no answer from the API server https://127.0.0.1:1"), "{err}");

    let (_, err) = expect(2, &[status.as_slice(), &["--context", "osaka"]].concat());
    assert!(err.contains("no cluster is known") && err.contains("osaka"), "{err}");
    let none = output(ctl(&status).env_remove("KUBECONFIG").env("HOME", folder.path()));
    assert_eq!(none.status.code(), Some(2), "{}", text(&none.stderr));
    assert!(text(&none.stderr).contains("--kubeconfig"), "{}", text(&none.stderr));
    let (_, err) = expect(2, &["--server", "https://a", "ca", "status"]);
    assert!(err.contains("--server") && err.contains("engineers"), "{err}");
}
