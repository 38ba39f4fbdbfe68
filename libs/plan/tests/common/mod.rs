//! Objects for the tests, and golden files.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test file uses a part"
)]

use std::path::Path;
use std::sync::Arc;

use sallyport_api::{AccessPolicy, CustomerSite, Device, DmzRegion, TunnelEndpoint};
use sallyport_plan::catalogue::{Catalogue, ObjectKey, Objects};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Compares with `tests/golden/NAME`, or writes it when `UPDATE_GOLDEN` is set.
pub fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs; UPDATE_GOLDEN=1 writes it anew:\n{text}");
}

pub fn object<K: DeserializeOwned>(kind: &str, namespace: &str, name: &str, spec: Value) -> K {
    serde_json::from_value(json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": kind,
        "metadata": { "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 3 },
        "spec": spec,
    }))
    .unwrap()
}

pub fn region(spec: Value) -> DmzRegion {
    let mut whole = json!({
        "outer": { "host": "outer.example", "service": { "type": "LoadBalancer" } },
        "inner": { "host": "inner.example" },
        "certificateAuthorityRef": { "name": "ca" },
        "engineers": { "clientCertificates": { "authoritiesRef": { "name": "engineers" } } },
        "allowedSites": { "namespaces": ["lyon"] },
    });
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    object("DmzRegion", "dmz", "eu", whole)
}

pub fn site(namespace: &str, name: &str, spec: Value) -> CustomerSite {
    let mut whole = json!({
        "customer": { "name": "Hospital" }, "country": "FR", "regionRef": { "name": "eu", "namespace": "dmz" },
        "access": { "ceiling": "full" },
    });
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    object("CustomerSite", namespace, name, whole)
}

pub fn endpoint(namespace: &str, name: &str, site: &str) -> TunnelEndpoint {
    let spec = json!({ "siteRef": { "name": site }, "webSocket": { "route": "direct" } });
    object("TunnelEndpoint", namespace, name, spec)
}

pub fn device(namespace: &str, name: &str, site: &str, endpoint: &str, address: &str) -> Device {
    let spec = json!({
        "siteRef": { "name": site }, "endpointRef": { "name": endpoint },
        "product": { "manufacturer": "Example", "model": "CT", "serialNumber": "7", "class": "inVivo" },
        "address": address,
        "services": [{ "name": "ssh", "port": 22, "protocol": "ssh", "examinationSafe": true }],
        "access": { "ceiling": "permanentLimited" },
    });
    object("Device", namespace, name, spec)
}

pub fn policy(name: &str, spec: Value) -> AccessPolicy {
    let mut whole = json!({ "regionRef": { "name": "eu" }, "subjects": { "groups": ["ct"] }, "siteSelector": {} });
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    object("AccessPolicy", "dmz", name, whole)
}

pub fn objects<K: kube::ResourceExt>(items: Vec<K>) -> Objects<K> {
    items.into_iter().map(|item| (ObjectKey::of(&item), Arc::new(item))).collect()
}

/// A region, a site with an endpoint and a device, and a policy.
pub fn catalogue() -> Catalogue {
    Catalogue {
        regions: objects(vec![region(json!({}))]),
        sites: objects(vec![site("lyon", "hospital", json!({}))]),
        endpoints: objects(vec![endpoint("lyon", "agent", "hospital")]),
        devices: objects(vec![device("lyon", "ct", "hospital", "agent", "10.77.0.10")]),
        policies: objects(vec![policy("all", json!({}))]),
    }
}
