//! Secrets with a certificate and its key.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::{Child, Kind, object};
use crate::labels::Owner;

/// A Secret of type `kubernetes.io/tls` with these entries. `data`, not `stringData`: the API server tracks no field of
/// the latter for server-side apply.
pub fn tls(owner: &Owner, namespace: &str, name: String, labels: Value, entries: &BTreeMap<&str, &[u8]>) -> Child {
    let data: BTreeMap<_, _> = entries.iter().map(|(k, v)| (k, ByteString(v.to_vec()))).collect();
    object(Kind::Secret, owner, namespace, name, labels, json!({ "type": "kubernetes.io/tls", "data": data }))
}
