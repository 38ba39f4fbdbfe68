//! The operator against a real API server: children, drift, references, deletion order, silence.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::collections::BTreeSet;
use std::time::Duration;

use sallyport_e2e::kubectl::{condition, wait_condition};
use sallyport_e2e::wait::holds;
use sallyport_e2e::{apply, delete, eventually, get, kubectl, lab};
use serde_json::Value;

const REGIONS: &str = "e2e-api";
const SITES: &str = "e2e-api-sites";
const SOON: Duration = Duration::from_secs(60);

fn region(name: &str) -> String {
    format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: CertificateAuthority
metadata: {{ name: {name}, namespace: {REGIONS} }}
spec: {{ subject: {{ commonName: API test }} }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{ name: {name}-engineers, namespace: {REGIONS} }}
data:
  ca.crt: |
{}
---
apiVersion: sallyport.dev/v1alpha1
kind: DmzRegion
metadata: {{ name: {name}, namespace: {REGIONS} }}
spec:
  outer: {{ host: {name}.outer.example }}
  inner: {{ host: {name}.inner.example }}
  replicas: 1
  certificateAuthorityRef: {{ name: {name} }}
  engineers: {{ clientCertificates: {{ authoritiesRef: {{ name: {name}-engineers }} }} }}
  allowedSites: {{ namespaces: [{SITES}] }}
",
        sallyport_testkit::EngineersCa::new()
            .bundle()
            .to_pem()
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    )
}

fn site(name: &str, region: &str) -> String {
    format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: CustomerSite
metadata: {{ name: {name}, namespace: {SITES} }}
spec:
  customer: {{ name: Hospital {name} }}
  country: DE
  regionRef: {{ name: {region}, namespace: {REGIONS} }}
---
apiVersion: sallyport.dev/v1alpha1
kind: TunnelEndpoint
metadata: {{ name: {name}, namespace: {SITES} }}
spec: {{ siteRef: {{ name: {name} }}, webSocket: {{ route: direct }} }}
"
    )
}

/// Removes what a test made, also after a failure.
struct Cleanup(Vec<(&'static str, &'static str, String)>);

impl Drop for Cleanup {
    fn drop(&mut self) {
        for (namespace, kind, name) in &self.0 {
            delete(namespace, kind, name);
        }
    }
}

fn clean_region(name: &str) -> Cleanup {
    let mine = |kind| (REGIONS, kind, name.to_owned());
    Cleanup(vec![mine("apol"), mine("dmz"), mine("ca"), (REGIONS, "configmap", format!("{name}-engineers"))])
}

fn clean_site(name: &str) -> Cleanup {
    let mine = |kind| (SITES, kind, name.to_owned());
    Cleanup(vec![mine("mdev"), mine("tcert"), mine("tep"), mine("csite")])
}

fn names(namespace: &str, kinds: &str, region: &str) -> BTreeSet<String> {
    let selector = format!("sallyport.dev/region={region}");
    let args = ["--namespace", namespace, "get", kinds, "--selector", &selector, "--output", "name"];
    kubectl(&args).lines().map(str::to_owned).collect()
}

#[test]
fn a_region_becomes_its_children_and_drift_is_put_right() {
    let _clean = clean_region("children");
    apply(&region("children"));
    wait_condition((REGIONS, "dmz", "children"), "Ready", "True", Duration::from_secs(120));
    let kinds = "statefulset,service,serviceaccount,poddisruptionbudget,networkpolicy,secret,configmap";
    let made = names(REGIONS, kinds, "children");
    for child in [
        "statefulset.apps/children-gateway",
        "service/children-gateways",
        "service/children-inner",
        "service/children-outer",
        "serviceaccount/children-gateway",
        "poddisruptionbudget.policy/children-gateway",
        "networkpolicy.networking.k8s.io/children-gateway",
        "secret/children-gateway-bootstrap",
        "configmap/children-trust",
    ] {
        assert!(made.contains(child), "{child} is not in {made:?}");
    }
    let account = get(REGIONS, "serviceaccount", "children-gateway");
    assert_eq!(account["automountServiceAccountToken"], false);

    // Somebody changes and somebody deletes.
    kubectl(&[
        "--namespace",
        REGIONS,
        "patch",
        "service",
        "children-outer",
        "--type=json",
        "--patch",
        r#"[{"op":"replace","path":"/spec/ports/0/port","value":444}]"#,
    ]);
    kubectl(&["--namespace", REGIONS, "delete", "networkpolicy", "children-gateway"]);
    eventually(SOON, "the port and the policy are put right", || {
        let (service, policy) =
            (get(REGIONS, "service", "children-outer"), get(REGIONS, "networkpolicy", "children-gateway"));
        holds(service["spec"]["ports"][0]["port"] == 443 && policy != Value::Null, format!("{service} {policy}"))
    });

    // What the region wanted once and does not want now goes.
    let stale = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: children-stale\n  namespace: e2e-api\n  labels: LABELS\n  ownerReferences: OWNERS\n";
    let trust = get(REGIONS, "configmap", "children-trust");
    apply(
        &stale
            .replace("LABELS", &trust["metadata"]["labels"].to_string())
            .replace("OWNERS", &trust["metadata"]["ownerReferences"].to_string()),
    );
    eventually(SOON, "the stale child is pruned", || {
        holds(get(REGIONS, "configmap", "children-stale") == Value::Null, "it is there")
    });
}

#[test]
fn converged_means_no_write() {
    if !lab::is_here() {
        return skipped("the API server's audit log is the lab's");
    }
    let _clean = (clean_region("silent"), clean_site("silent"));
    apply(&region("silent"));
    apply(&site("silent", "silent"));
    wait_condition((REGIONS, "dmz", "silent"), "Ready", "True", Duration::from_secs(120));
    wait_condition((SITES, "tep", "silent"), "Ready", "True", SOON);
    let writes = || {
        let all = lab::writes_by("system:serviceaccount:sallyport-system:sallyport").into_iter();
        all.filter(|write| write.contains("e2e-api")).count()
    };
    // Quiet for ten seconds in a row, within a minute: then it has converged, and the ten seconds are the proof.
    let mut quiet_since = (writes(), std::time::Instant::now());
    eventually(SOON, "ten seconds without a write", || {
        let now = writes();
        if now != quiet_since.0 {
            quiet_since = (now, std::time::Instant::now());
        }
        holds(quiet_since.1.elapsed() > Duration::from_secs(10), format!("{now} writes"))
    });
    assert!(writes() > 0, "the audit log names another user than the operator's");
}

#[test]
fn a_missing_or_foreign_reference_is_a_condition_and_heals() {
    let _clean = (clean_site("orphan"), clean_region("later"));
    apply(&site("orphan", "later"));
    let (message, _) = wait_condition((SITES, "csite", "orphan"), "Ready", "False", SOON);
    assert!(message.contains("later"), "{message}");
    apply(&region("later"));
    wait_condition((SITES, "csite", "orphan"), "Ready", "True", Duration::from_secs(120));
    wait_condition((SITES, "tep", "orphan"), "Ready", "True", SOON);
    // The region takes its permission back.
    kubectl(&[
        "--namespace",
        REGIONS,
        "patch",
        "dmz",
        "later",
        "--type=merge",
        "--patch",
        r#"{"spec":{"allowedSites":{"namespaces":[]}}}"#,
    ]);
    let (message, _) = wait_condition((SITES, "csite", "orphan"), "Ready", "False", SOON);
    assert!(message.contains("allowedSites"), "{message}");
}

#[test]
fn a_device_of_another_sites_endpoint_is_left_out_and_says_so() {
    let _clean = (clean_region("mixed"), clean_site("one"), clean_site("two"));
    apply(&region("mixed"));
    apply(&site("one", "mixed"));
    apply(&site("two", "mixed"));
    apply(&format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: Device
metadata: {{ name: one, namespace: {SITES} }}
spec:
  siteRef: {{ name: one }}
  endpointRef: {{ name: two }}
  product: {{ model: X, serialNumber: X, class: server }}
  address: 10.0.0.1
  services: [{{ name: ssh, port: 22, protocol: ssh }}]
"
    ));
    let (message, _) = wait_condition((SITES, "mdev", "one"), "Ready", "False", SOON);
    assert!(message.contains("two") && message.contains("endpointRef"), "{message}");
}

#[test]
fn a_secret_that_is_somebody_elses_is_never_overwritten() {
    let _clean = (clean_region("foreign"), clean_site("foreign"), Cleanup(vec![(SITES, "secret", "taken".to_owned())]));
    kubectl(&["--namespace", SITES, "create", "secret", "generic", "taken", "--from-literal=mine=1"]);
    apply(&region("foreign"));
    apply(&site("foreign", "foreign"));
    apply(&format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: TunnelCertificate
metadata: {{ name: foreign, namespace: {SITES} }}
spec: {{ endpointRef: {{ name: foreign }}, secretName: taken }}
"
    ));
    let (_, message) = {
        let (message, took) = wait_condition((SITES, "tcert", "foreign"), "Ready", "False", SOON);
        eventually(SOON, "the condition names the secret", || {
            let (_, _, message) = condition(&get(SITES, "tcert", "foreign"), "Ready");
            holds(message.contains("taken"), &message)
        });
        (took, message)
    };
    let secret = get(SITES, "secret", "taken");
    assert_eq!(secret["data"].as_object().map(serde_json::Map::len), Some(1), "{message}");
}

#[test]
fn a_site_goes_after_its_tunnels_are_cut_and_a_region_without_gateways_does_not_hold_it() {
    let _clean = (clean_site("leaving"), clean_region("leaving"));
    apply(&region("leaving"));
    apply(&site("leaving", "leaving"));
    wait_condition((REGIONS, "dmz", "leaving"), "Ready", "True", Duration::from_secs(120));
    wait_condition((SITES, "tep", "leaving"), "Ready", "True", SOON);
    let finalizers = get(SITES, "tep", "leaving")["metadata"]["finalizers"].to_string();
    assert!(finalizers.contains("sallyport.dev/tunnels-cut"), "{finalizers}");
    delete(SITES, "csite", "leaving");
    delete(SITES, "tep", "leaving");
    assert_eq!(get(SITES, "tep", "leaving"), Value::Null);
    assert_eq!(get(SITES, "csite", "leaving"), Value::Null);
}

#[test]
fn hostile_text_changes_nothing_and_crashes_nothing() {
    let _clean = (clean_region("hostile"), clean_site("hostile"));
    apply(&region("hostile"));
    apply(&site("hostile", "hostile"));
    wait_condition((SITES, "tep", "hostile"), "Ready", "True", Duration::from_secs(120));
    let restarts = || {
        kubectl(&[
            "--namespace",
            "sallyport-system",
            "get",
            "pods",
            "--selector",
            "app.kubernetes.io/name=sallyport-operator",
            "--output",
            "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
        ])
    };
    let before = restarts();
    for name in ["${jndi:x}", "a\\nb: c", "{{ .Values }}", "\\\"'; DROP", "\\u202egnp.exe", "аbc"] {
        let patch = format!("{{\"spec\":{{\"customer\":{{\"name\":\"{name}\"}}}}}}");
        let patch = ["--namespace", SITES, "patch", "csite", "hostile", "--type=merge", "--patch", &patch];
        // Control characters are refused at admission; the rest is text and stays text.
        let _ = sallyport_e2e::output(std::process::Command::new("kubectl").args(patch));
    }
    let generation = get(SITES, "csite", "hostile")["metadata"]["generation"].clone();
    eventually(SOON, "the last text is observed", || {
        let site = get(SITES, "csite", "hostile");
        holds(site["status"]["observedGeneration"] == generation, &site["status"])
    });
    wait_condition((SITES, "csite", "hostile"), "Ready", "True", SOON);
    assert_eq!(restarts(), before);
}

#[test]
fn another_operator_takes_over_when_the_leader_goes() {
    let holder = || {
        get("sallyport-system", "lease", "sallyport")["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    };
    let (leader, _) = eventually(SOON, "somebody leads", || {
        let holder = holder();
        holds(!holder.is_empty(), "nobody").map(|()| holder)
    });
    let pod = leader.split(['/', '_']).next().unwrap_or(&leader).to_owned();
    kubectl(&["--namespace", "sallyport-system", "delete", "pod", &pod, "--grace-period=0", "--force"]);
    let (_, took) = eventually(SOON, "another leads", || {
        let now = holder();
        holds(!now.is_empty() && now != leader, now)
    });
    assert!(took < Duration::from_secs(40), "{took:?}");
    let _clean = (clean_region("after"), clean_site("after"));
    apply(&region("after"));
    wait_condition((REGIONS, "dmz", "after"), "Ready", "True", Duration::from_secs(120));
}

#[allow(clippy::print_stderr, reason = "said, never counted as passed")]
fn skipped(why: &str) {
    eprintln!("skipped, not here: {why}");
}
