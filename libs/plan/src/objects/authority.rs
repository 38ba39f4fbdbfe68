//! What a certificate authority is made of.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Child, Kind, object};
use crate::authority::keys::{self, Stored};
use crate::authority::published;
use crate::labels::{self, Owner};
use crate::names;

/// The ConfigMap with a trust bundle, for a region's gateways.
pub fn trust(owner: &Owner, namespace: &str, name: String, bundle: &str, labels: Value) -> Child {
    object(Kind::ConfigMap, owner, namespace, name, labels, json!({ "data": { published::BUNDLE: bundle } }))
}

/// The ConfigMap in which an authority publishes its bundle and its revocation lists.
pub fn published(owner: &Owner, namespace: &str, bundle: &str, lists: &str, annotations: Value) -> Child {
    let (name, labels) = (names::authority_trust(&owner.name), labels(&owner.name));
    let data = json!({ "data": { published::BUNDLE: bundle, published::LISTS: lists } });
    let mut child = object(Kind::ConfigMap, owner, namespace, name, labels, data);
    child.object["metadata"]["annotations"] = annotations;
    child
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
    let is = |key: &str, value: &str| found.get(key).is_some_and(|found| found == value);
    is(labels::MANAGED_BY, labels::OPERATOR)
        && is(labels::AUTHORITY, &labels::value(name))
        && is(labels::AUTHORITY_NAMESPACE, &labels::value(namespace))
}

/// Labels of everything a certificate authority is made of.
pub fn labels(name: &str) -> Value {
    json!({
        labels::MANAGED_BY: labels::OPERATOR,
        labels::NAME: "sallyport-authority",
        labels::AUTHORITY: labels::value(name),
    })
}
