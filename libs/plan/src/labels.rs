//! Labels by which the operator finds what it made, and the owner reference by which it proves that it did.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// Whose work an object is.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] on everything the operator makes.
pub const OPERATOR: &str = "sallyport-operator";
/// Which program an object belongs to.
pub const NAME: &str = "app.kubernetes.io/name";
/// Value of [`NAME`] on what a region is made of.
pub const GATEWAY: &str = "sallyport-gateway";
/// The region an object belongs to.
pub const REGION: &str = "sallyport.dev/region";
/// The certificate authority an object belongs to.
pub const AUTHORITY: &str = "sallyport.dev/authority";
/// The namespace of that certificate authority, on what is in none.
pub const AUTHORITY_NAMESPACE: &str = "sallyport.dev/authority-namespace";
/// The tunnel certificate a Secret belongs to.
pub const CERTIFICATE: &str = "sallyport.dev/certificate";
/// The label that Kubernetes puts on every namespace.
pub const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// Selects everything the operator makes.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=sallyport-operator";
/// Selects the pods of all regions.
pub const POD_SELECTOR: &str = "app.kubernetes.io/name=sallyport-gateway";

/// The longest value a label may have.
const MAX_VALUE: usize = 63;

/// A name as a label's value: itself, or cut to what fits. Ownership is proved by [`is_controlled_by`], so two long
/// names that are cut alike do no harm.
pub fn value(name: &str) -> String {
    let cut: String = name.chars().take(MAX_VALUE).collect();
    cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Labels of everything a region is made of.
pub fn of_region(region: &str) -> Value {
    json!({ MANAGED_BY: OPERATOR, NAME: GATEWAY, REGION: value(region) })
}

/// Labels that select a region's pods.
pub fn pods_of_region(region: &str) -> Value {
    json!({ NAME: GATEWAY, REGION: value(region) })
}

/// The object that owns another: it is deleted with its owner, and nobody else manages it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind, of our API group.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Owner {
    /// The owner reference.
    pub fn reference(&self) -> Value {
        json!({
            "apiVersion": format!("{}/{}", sallyport_api::GROUP, sallyport_api::VERSION),
            "kind": self.kind, "name": self.name, "uid": self.uid, "controller": true,
        })
    }
}

/// Whether the object with this uid is the one that controls an object with this metadata.
pub fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    let owners = metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// Name of the object of our kind that controls an object with this metadata.
pub fn controller_of<'a>(metadata: &'a ObjectMeta, kind: &str) -> Option<&'a str> {
    let ours = format!("{}/", sallyport_api::GROUP);
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|o| o.controller == Some(true) && o.kind == kind && o.api_version.starts_with(&ours))
        .map(|o| o.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_value_is_always_valid() {
        assert_eq!(value("frankfurt"), "frankfurt");
        let long = format!("{}-.{}", "a".repeat(62), "b".repeat(100));
        assert_eq!(value(&long), "a".repeat(62));
    }
}
