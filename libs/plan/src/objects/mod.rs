//! What a region and a certificate authority are made of. Every `build` is infallible: what can be wrong with a spec
//! has been refused by its schema or is a [`crate::problem::Problem`].
//!
//! **The pod template may depend on the region's spec and the image, and on nothing else**: neither the operator's
//! version nor its settings, so that an upgrade of the operator restarts no gateway. `tests/golden` holds it still; a
//! change there is a restart of every data plane in the field.

pub mod authority;
mod disruption;
mod network_policy;
mod secret;
mod service;
mod service_account;
mod stateful_set;

use sallyport_api::DmzRegion;
use serde_json::{Value, json};

use crate::labels::{self, Owner};
use crate::names;

pub use secret::tls as tls_secret;

/// A kind of object that the operator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1`.
    ConfigMap,
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy/v1`.
    PodDisruptionBudget,
    /// `v1`.
    Secret,
    /// `v1`.
    Service,
    /// `v1`.
    ServiceAccount,
    /// `apps/v1`.
    StatefulSet,
}

impl Kind {
    /// What a region is made of, in the order in which it is applied: what pods need comes before the pods.
    pub const ALL: [Self; 7] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Secret,
        Self::NetworkPolicy,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::StatefulSet,
    ];

    /// API group, version, kind and plural.
    pub fn coordinates(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
        }
    }

    /// As messages and metrics spell it.
    pub fn label(self) -> &'static str {
        self.coordinates().2
    }
}

/// An object as it should be. It names only the fields that are the operator's.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name, in the namespace of its owner.
    pub name: String,
    /// The object.
    pub object: Value,
}

/// What the children of a region depend on.
#[derive(Clone, Debug)]
pub struct RegionParts<'a> {
    /// The region.
    pub region: &'a DmzRegion,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The region as owner.
    pub owner: &'a Owner,
    /// The image of the gateways, see [`image`].
    pub image: &'a str,
    /// The trust bundle, PEM.
    pub trust: &'a str,
    /// Where the operator runs.
    pub operator_namespace: &'a str,
    /// Where Prometheus runs, if anywhere.
    pub monitoring_namespace: Option<&'a str>,
}

/// The children of a region but for the bootstrap Secret, which holds a fresh key whenever it is built.
pub fn region_children(parts: &RegionParts<'_>) -> Vec<Child> {
    vec![
        service_account::build(parts),
        authority::trust(
            parts.owner,
            parts.namespace,
            names::trust(parts.name),
            parts.trust,
            labels::of_region(parts.name),
        ),
        network_policy::build(parts),
        service::headless(parts),
        service::outer(parts),
        service::inner(parts),
        disruption::build(parts),
        stateful_set::build(parts),
    ]
}

/// The image of a region's gateways: what its spec says, else what they run now, else what its status remembers, else
/// the operator's default. The default therefore decides once, at the region's creation.
pub fn image<'a>(region: &'a DmzRegion, stateful_set: Option<&'a Value>, default: &'a str) -> &'a str {
    let running = stateful_set.and_then(|set| set.pointer("/spec/template/spec/containers/0/image")?.as_str());
    let remembered = region.status.as_ref().and_then(|status| status.image.as_deref());
    region.spec.data_plane.image.as_deref().or(running).or(remembered).unwrap_or(default)
}

fn child(kind: Kind, parts: &RegionParts<'_>, name: String, body: Value) -> Child {
    object(kind, parts.owner, parts.namespace, name, labels::of_region(parts.name), body)
}

/// An object with its metadata; `body` holds everything else.
fn object(kind: Kind, owner: &Owner, namespace: &str, name: String, labels: Value, body: Value) -> Child {
    let (group, version, kind_name, _) = kind.coordinates();
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind_name,
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner.reference()],
        },
    });
    if let (Some(object), Value::Object(body)) = (object.as_object_mut(), body) {
        object.extend(body);
    }
    Child { kind, name, object }
}
