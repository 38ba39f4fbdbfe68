//! The life of a certificate authority against a real API server: rotation, emergency, loss, backup and restore, and a
//! Secret from before rotations. No region refers to these, so nobody is waited for.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sallyport_e2e::kubectl::{condition, patch, wait_condition};
use sallyport_e2e::operators::{self, Gone};
use sallyport_e2e::wait::holds;
use sallyport_e2e::{apply, delete, eventually, get, kubectl, output};
use sallyport_pki::authority::{Authority, AuthoritySubject, Serial};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use serde_json::{Value, json};

const NAMESPACE: &str = "e2e-api";
const SOON: Duration = Duration::from_secs(60);

/// A certificate authority, removed with all it leaves when the test ends.
struct Ca(&'static str);

impl Ca {
    fn apply(name: &'static str) -> Self {
        let ca = Self(name);
        ca.remove();
        ca.again();
        ca
    }

    fn again(&self) {
        apply(&format!(
            "apiVersion: sallyport.dev/v1alpha1
kind: CertificateAuthority
metadata: {{ name: {}, namespace: {NAMESPACE} }}
spec: {{ subject: {{ commonName: API test }}, rotation: {{ publishFor: 0s }} }}
",
            self.0
        ));
    }

    fn key(&self) -> (&'static str, &'static str, &'static str) {
        (NAMESPACE, "ca", self.0)
    }

    fn object(&self) -> Value {
        get(NAMESPACE, "ca", self.0)
    }

    fn secret(&self) -> Value {
        get(NAMESPACE, "secret", &format!("{}-ca", self.0))
    }

    fn config_map(&self) -> Value {
        get(NAMESPACE, "configmap", &format!("{}-ca-trust", self.0))
    }

    fn cluster_bundle(&self) -> String {
        format!("sallyport.{NAMESPACE}.{}", self.0)
    }

    fn ready(&self) -> Value {
        wait_condition(self.key(), "Ready", "True", SOON);
        self.object()
    }

    /// Waits until the condition has this reason, and gives its message.
    fn reason(&self, reason: &str) -> String {
        let (message, _) = eventually(SOON, &format!("{} says {reason}", self.0), || {
            let (status, seen, message) = condition(&self.object(), "Ready");
            holds(seen == reason, format!("{status} {seen}: {message}")).map(|()| message)
        });
        message
    }

    fn request(&self, request: Value) {
        patch(self.key(), &json!({ "spec": { "rotateRequest": request } }));
    }

    /// Waits until a generation signs and each of these before it is removed.
    fn signs(&self, number: u32, removed: &[u32]) -> Value {
        eventually(SOON, &format!("generation {number} of {} signs", self.0), || {
            let object = self.object();
            let gone = removed.iter().all(|old| stage(&object, *old) == "Removed");
            holds(object["status"]["issuing"] == number && gone, &object["status"]).map(|()| object)
        })
        .0
    }

    fn remove(&self) {
        delete(NAMESPACE, "ca", self.0);
        delete(NAMESPACE, "secret", &format!("{}-ca", self.0));
        delete(NAMESPACE, "configmap", &format!("{}-ca-trust", self.0));
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        self.remove();
    }
}

fn stage(object: &Value, number: u32) -> String {
    let generations = object["status"]["generations"].as_array().cloned().unwrap_or_default();
    let found = generations.iter().find(|generation| generation["number"] == number);
    found.and_then(|generation| generation["state"].as_str()).unwrap_or_default().to_owned()
}

fn fingerprint(object: &Value, number: u32) -> String {
    let generations = object["status"]["generations"].as_array().cloned().unwrap_or_default();
    let found = generations.iter().find(|generation| generation["number"] == number);
    found.and_then(|generation| generation["fingerprint"].as_str()).unwrap_or_default().to_owned()
}

fn sequence(object: &Value) -> u64 {
    object["status"]["trustSequence"].as_u64().unwrap_or_default()
}

/// Fingerprints of a published bundle.
fn published(config_map: &Value) -> Vec<String> {
    let bundle = TrustBundle::from_pem(config_map["data"]["ca.crt"].as_str().unwrap_or_default()).unwrap();
    bundle.certificates().map(|der| inspect::fingerprint(&der)).collect()
}

fn entries(secret: &Value) -> Vec<String> {
    secret["data"].as_object().map(|data| data.keys().cloned().collect()).unwrap_or_default()
}

/// An object as a backup holds it: without what the API server adds.
fn backup(object: &Value) -> Value {
    let mut kept = object.clone();
    for field in ["resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"] {
        kept["metadata"].as_object_mut().unwrap().remove(field);
    }
    kept
}

fn restore(object: &Value) {
    delete(NAMESPACE, object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
    apply(&object.to_string());
}

/// Writes a status as it was, as `kubectl` does it.
fn restore_status(ca: &Ca, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    // A merge would leave what the older one does not have.
    let cleared = json!({ "status": null }).to_string();
    for patch in [cleared, patch] {
        kubectl(&[
            "--namespace",
            NAMESPACE,
            "patch",
            "ca",
            ca.0,
            "--subresource=status",
            "--type=merge",
            "--patch",
            &patch,
        ]);
    }
}

#[test]
fn a_rotation_goes_from_request_to_removed() {
    let ca = Ca::apply("rotates");
    let first = ca.ready();
    assert_eq!(
        (stage(&first, 1), ca.secret()["type"].clone()),
        ("Issuing".into(), json!("sallyport.dev/certificate-authority"))
    );
    ca.request(json!({ "id": "one", "reason": "a test" }));
    let second = ca.signs(2, &[1]);
    assert_eq!(second["status"]["lastRequest"], "one");
    assert!(sequence(&second) > sequence(&first));
    let stages: Vec<_> = second["status"]["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["generation"] == 2)
        .map(|entry| entry["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(stages, ["NotYetTrusted", "Trusted", "Issuing"]);
    eventually(SOON, "the old key is gone and the new bundle is everywhere", || {
        let (secret, config_map) = (ca.secret(), ca.config_map());
        let bundle = config_map["data"]["ca.crt"].clone();
        let cluster = get("", "clustertrustbundle", &ca.cluster_bundle());
        let here = cluster == Value::Null || cluster["spec"]["trustBundle"] == bundle;
        let fine = entries(&secret) == ["generation-2.crt", "generation-2.key", "generation-2.made"]
            && published(&config_map) == [fingerprint(&second, 2)]
            && here;
        holds(fine, format!("{:?} {:?} {cluster}", entries(&secret), published(&config_map)))
    });
    let events =
        kubectl(&["--namespace", NAMESPACE, "get", "events", "--field-selector", "involvedObject.name=rotates"]);
    for reason in [
        "GenerationNotYetTrusted",
        "GenerationTrusted",
        "GenerationIssuing",
        "GenerationPhasingOut",
        "GenerationRemoved",
    ] {
        assert!(events.contains(reason), "{reason} is not in\n{events}");
    }
    // The same request again is none.
    ca.request(json!({ "id": "one", "reason": "another word" }));
    ca.request(json!({ "id": "two", "reason": "a key leaked", "emergency": true, "dropWithin": "1m" }));
    let third = ca.signs(3, &[2]);
    let generations = third["status"]["generations"].as_array().unwrap().clone();
    assert_eq!(generations[2]["cause"], "Emergency");
    assert!(generations[2]["dropOthersAt"].is_string());

    delete(NAMESPACE, "ca", "rotates");
    eventually(SOON, "the ClusterTrustBundle goes with its authority", || {
        let left = get("", "clustertrustbundle", &ca.cluster_bundle());
        holds(left == Value::Null, left)
    });
    assert!(ca.secret() != Value::Null, "the key outlives its object");
}

#[test]
fn an_object_that_is_made_again_finds_its_root() {
    let ca = Ca::apply("again");
    let before = ca.ready();
    assert_eq!(
        ca.config_map()["metadata"]["ownerReferences"],
        Value::Null,
        "else it goes, and all revocations with it"
    );
    delete(NAMESPACE, "ca", "again");
    ca.again();
    let after = ca.ready();
    assert_eq!(fingerprint(&after, 1), fingerprint(&before, 1));
    assert!(sequence(&after) >= sequence(&before), "a peer refuses what counts below what it has seen");
}

#[test]
fn a_lost_key_waits_for_its_backup_or_for_a_request() {
    let ca = Ca::apply("lost");
    let before = ca.ready();
    let kept = backup(&ca.secret());
    delete(NAMESPACE, "secret", "lost-ca");
    let message = ca.reason("AuthorityLost");
    assert!(message.contains("backup") && message.contains("ca rotate"), "{message}");
    assert_eq!(published(&ca.config_map()), [fingerprint(&before, 1)], "what is trusted stays trusted");
    restore(&kept);
    let after = ca.ready();
    assert_eq!((fingerprint(&after, 1), after["status"]["issuing"].clone()), (fingerprint(&before, 1), json!(1)));

    // Without a backup somebody decides, and the machine goes on.
    delete(NAMESPACE, "secret", "lost-ca");
    ca.reason("AuthorityLost");
    ca.request(json!({ "id": "replace", "reason": "the backup is gone too" }));
    ca.signs(2, &[1]);
    ca.ready();
}

/// Only the ConfigMap remembers that there was an authority. It makes nobody trusted, and no number comes twice.
#[test]
fn status_and_key_that_are_lost_together_wait_for_a_request() {
    let ca = Ca::apply("both");
    let first = ca.ready();
    {
        let _gone = Gone::now();
        delete(NAMESPACE, "secret", "both-ca");
        restore_status(&ca, &Value::Null);
    }
    operators::back();
    ca.reason("AuthorityLost");
    ca.request(json!({ "id": "anew", "reason": "nothing is left" }));
    let second = ca.signs(2, &[1]);
    assert_eq!(
        (fingerprint(&second, 1), second["status"]["lastRequest"].clone()),
        (fingerprint(&first, 1), json!("anew"))
    );
    assert!(sequence(&second) > sequence(&first));
    eventually(SOON, "only the new root is published", || {
        let seen = published(&ca.config_map());
        holds(seen == [fingerprint(&second, 2)], format!("{seen:?}"))
    });
    ca.ready();
}

/// Status and Secret come from a backup that is older than the last rotation: nothing is dropped behind anybody's back,
/// and no number comes twice.
#[test]
fn an_older_backup_drops_nobody_and_no_number_comes_twice() {
    let ca = Ca::apply("older");
    let first = ca.ready();
    let (secret, status) = (backup(&ca.secret()), first["status"].clone());
    ca.request(json!({ "id": "one", "reason": "a test" }));
    let second = ca.signs(2, &[1]);
    eventually(SOON, "only the second is published", || {
        let seen = published(&ca.config_map());
        holds(seen == [fingerprint(&second, 2)], format!("{seen:?}"))
    });
    {
        let _gone = Gone::now();
        restore(&secret);
        restore_status(&ca, &status);
        patch(ca.key(), &json!({ "spec": { "rotateRequest": null } }));
    }
    operators::back();
    let message = ca.reason("AuthorityRestored");
    assert!(message.contains(&fingerprint(&second, 2)), "{message}");
    assert_eq!(published(&ca.config_map()), [fingerprint(&second, 2)], "nothing is published before it is decided");

    // Somebody goes on trusting what the backup does not know: from the ConfigMap into the Secret.
    let certificate = STANDARD.encode(ca.config_map()["data"]["ca.crt"].as_str().unwrap());
    patch((NAMESPACE, "secret", "older-ca"), &json!({ "data": { "generation-2.crt": certificate } }));
    let (restored, _) = eventually(SOON, "both are trusted again", || {
        let object = ca.object();
        let both = stage(&object, 1) == "Issuing" && stage(&object, 2) == "PhasingOut";
        holds(both && published(&ca.config_map()).len() == 2, &object["status"]).map(|()| object)
    });
    assert_eq!(fingerprint(&restored, 2), fingerprint(&second, 2));
    assert!(sequence(&restored) > sequence(&second), "a peer refuses what counts below what it has seen");
    ca.ready();
    ca.request(json!({ "id": "two", "reason": "a test" }));
    let third = ca.signs(3, &[1, 2]);
    assert!(![fingerprint(&second, 1), fingerprint(&second, 2)].contains(&fingerprint(&third, 3)));
}

#[test]
fn a_status_that_cannot_be_read_is_no_fresh_start() {
    let ca = Ca::apply("damaged");
    let before = ca.ready();
    let damaged = |text: &str| {
        let patch = json!([{ "op": "replace", "path": "/status/generations/0/notAfter", "value": text }]).to_string();
        kubectl(&[
            "--namespace",
            NAMESPACE,
            "patch",
            "ca",
            "damaged",
            "--subresource=status",
            "--type=json",
            "--patch",
            &patch,
        ]);
    };
    damaged("soon");
    let message = ca.reason("StatusUnreadable");
    assert!(message.contains("notAfter"), "{message}");
    assert_eq!(entries(&ca.secret()), ["generation-1.crt", "generation-1.key", "generation-1.made"]);
    damaged(before["status"]["generations"][0]["notAfter"].as_str().unwrap());
    let after = ca.ready();
    assert_eq!(fingerprint(&after, 1), fingerprint(&before, 1));
}

/// What was deployed before rotations: a Secret of another type, which never changes, and a status that says less.
#[test]
fn a_secret_from_before_rotations_keeps_its_root_and_rotates() {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.to_pem().to_string();
    let subject = AuthoritySubject { common_name: "API test".into(), organization: None };
    let year = Duration::from_secs(365 * 86_400);
    let old = Authority::create(1, &subject, Box::new(key), 10 * year, Serial::from_random([7; 16]), Timestamp::now());
    let old = old.unwrap();
    let ca = Ca("old");
    ca.remove();
    let data =
        BTreeMap::from([("tls.crt", STANDARD.encode(old.certificate_pem())), ("tls.key", STANDARD.encode(&pem))]);
    let labels = json!({ "app.kubernetes.io/managed-by": "sallyport-operator", "sallyport.dev/authority": "old" });
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
        "metadata": { "name": "old-ca", "namespace": NAMESPACE, "labels": labels } });
    apply(&secret.to_string());
    ca.again();
    let first = ca.ready();
    assert_eq!(fingerprint(&first, 1), old.fingerprint());
    ca.request(json!({ "id": "one", "reason": "a test" }));
    ca.signs(2, &[1]);
    eventually(SOON, "the old key is destroyed", || {
        let secret = ca.secret();
        let emptied = secret["data"]["tls.key"] == "" && secret["data"]["tls.crt"] == "";
        holds(emptied && entries(&secret).contains(&"generation-2.key".to_owned()), entries(&secret).join(" "))
    });
    ca.ready();
}

/// Nobody but the operator may read the key: not the gateways' accounts, not the people to whom the chart gives rights.
#[test]
fn nobody_we_make_may_read_the_key_but_the_operator() {
    let ca = Ca::apply("closed");
    ca.ready();
    let may = |who: &str| {
        let asked = ["auth", "can-i", "get", "secret/closed-ca", "--namespace", NAMESPACE, "--as", who];
        let said = output(Command::new("kubectl").args(asked));
        String::from_utf8_lossy(&said.stdout).trim() == "yes"
    };
    assert!(may("system:serviceaccount:sallyport-system:sallyport"));
    assert!(!may(&format!("system:serviceaccount:{NAMESPACE}:closed-gateway")));
    assert!(!may(&format!("system:serviceaccount:{NAMESPACE}:default")));
    let editor = "e2e-region-editor";
    let bind = ["--namespace", NAMESPACE, "create", "rolebinding", editor, "--clusterrole=sallyport-region-editor"];
    delete(NAMESPACE, "rolebinding", editor);
    kubectl(&[bind.as_slice(), &["--user", editor]].concat());
    let read = may(editor);
    delete(NAMESPACE, "rolebinding", editor);
    assert!(!read, "a region's editor reads no key");
}
