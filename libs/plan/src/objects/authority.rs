//! What a certificate authority is made of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Child, Kind, object};
use crate::authority::denied::Denied;
use crate::authority::keys::{self, Stored};
use crate::authority::published;
use crate::labels::{self, Owner};
use crate::names;

/// The ConfigMap with a trust bundle, for a region's gateways.
pub fn trust(owner: &Owner, namespace: &str, name: String, bundle: &str, labels: Value) -> Child {
    object(Kind::ConfigMap, owner, namespace, name, labels, json!({ "data": { published::BUNDLE: bundle } }))
}

/// The ConfigMap in which an authority publishes its bundle and its revocation lists, with what belongs on a list that
/// nobody can sign. It has no owner, as the Secret has none: when the `CertificateAuthority` is deleted by mistake and
/// made again, what was revoked stays revoked. [`is_of`] tells whose it is.
pub fn published(
    namespace: &str,
    authority: &str,
    bundle: &str,
    lists: &str,
    denied: &BTreeSet<Denied>,
    annotations: Value,
) -> Child {
    let name = names::authority_trust(authority);
    // Also when there is none: what is not written here is not taken away there.
    let denied = published::denied_lines(denied);
    let data = json!({ published::BUNDLE: bundle, published::LISTS: lists, published::DENIED: denied });
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels(authority), "annotations": annotations,
        },
        "data": data,
    });
    Child { kind: Kind::ConfigMap, name, object }
}

/// Whether an object with these labels was made for this authority. The caller knows its name, which no other authority's
/// object has.
pub fn is_of(found: &BTreeMap<String, String>, authority: &str) -> bool {
    let is = |key: &str, value: &str| found.get(key).is_some_and(|found| found == value);
    is(labels::MANAGED_BY, labels::OPERATOR) && is(labels::AUTHORITY, &labels::value(authority))
}

/// The Secret with the first generation, as it is created. It has no owner: when the `CertificateAuthority` is deleted
/// by mistake and made again, it finds its key here, and no site has to be visited.
pub fn secret(name: &str, namespace: &str, number: u32, stored: &Stored) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": keys::TYPE,
        "metadata": { "name": names::authority(name), "namespace": namespace, "labels": labels(name) },
        "data": keys::added(number, stored),
    })
}

/// The `ClusterTrustBundle`. It is of the whole cluster, so it has no owner: labels say whose it is, and it is deleted
/// with its authority.
pub fn cluster_trust_bundle(version: &str, namespace: &str, name: &str, bundle: &str) -> Value {
    let mut labels = labels(name);
    labels[labels::AUTHORITY_NAMESPACE] = labels::value(namespace).into();
    json!({
        "apiVersion": format!("certificates.k8s.io/{version}"), "kind": "ClusterTrustBundle",
        "metadata": { "name": names::cluster_trust_bundle(namespace, name), "labels": labels },
        "spec": { "trustBundle": bundle },
    })
}

/// Whether a `ClusterTrustBundle` with these labels is that of this authority.
pub fn is_cluster_trust_bundle_of(found: &BTreeMap<String, String>, namespace: &str, name: &str) -> bool {
    let of = found.get(labels::AUTHORITY_NAMESPACE);
    is_of(found, name) && of.is_some_and(|of| *of == labels::value(namespace))
}

/// Labels of everything a certificate authority is made of.
pub fn labels(name: &str) -> Value {
    json!({
        labels::MANAGED_BY: labels::OPERATOR,
        labels::NAME: "sallyport-authority",
        labels::AUTHORITY: labels::value(name),
    })
}
