//! Secrets with a certificate and its key.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::{Child, Kind, object};
use crate::labels::Owner;

/// A Secret of type `kubernetes.io/tls`. `texts` are its entries in PEM form.
pub fn tls(owner: &Owner, namespace: &str, name: String, labels: Value, texts: &BTreeMap<&str, &str>) -> Child {
    object(Kind::Secret, owner, namespace, name, labels, body(texts))
}

/// Type and content. `data`, not `stringData`: the API server tracks no field of the latter for server-side apply.
pub(super) fn body(texts: &BTreeMap<&str, &str>) -> Value {
    let data: BTreeMap<_, _> = texts.iter().map(|(k, v)| (k, ByteString(v.as_bytes().to_vec()))).collect();
    json!({ "type": "kubernetes.io/tls", "data": data })
}
