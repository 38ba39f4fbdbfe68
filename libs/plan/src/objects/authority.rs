//! What a certificate authority is made of.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Child, Kind, object};
use crate::labels::{self, Owner};
use crate::names;

/// The ConfigMap with a trust bundle.
pub fn trust(owner: &Owner, namespace: &str, name: String, bundle: &str, labels: Value) -> Child {
    object(Kind::ConfigMap, owner, namespace, name, labels, json!({ "data": { "ca.crt": bundle } }))
}

/// The Secret with a generation's certificate and key. It has no owner: when the `CertificateAuthority` is deleted by
/// mistake and made again, it finds its key here, and no site has to be visited.
pub fn key(name: &str, namespace: &str, texts: &BTreeMap<&str, &str>) -> Child {
    let secret = names::authority(name);
    let metadata = json!({ "name": secret, "namespace": namespace, "labels": labels(name) });
    let mut object = super::secret::body(texts);
    object["apiVersion"] = "v1".into();
    object["kind"] = "Secret".into();
    object["metadata"] = metadata;
    Child { kind: Kind::Secret, name: secret, object }
}

/// Labels of everything a certificate authority is made of.
pub fn labels(name: &str) -> Value {
    json!({
        labels::MANAGED_BY: labels::OPERATOR,
        labels::NAME: "sallyport-authority",
        labels::AUTHORITY: labels::value(name),
    })
}
