//! One gateway at a time may be evicted, so that a node drain leaves the other tunnels up.

use serde_json::json;

use super::{Child, Kind, RegionParts, child};
use crate::{labels, names};

pub(super) fn build(parts: &RegionParts<'_>) -> Child {
    let spec = json!({
        "maxUnavailable": 1,
        "selector": { "matchLabels": labels::pods_of_region(parts.name) },
        // A pod that never became ready must not block the drain of its node for ever.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    });
    child(Kind::PodDisruptionBudget, parts, names::gateway(parts.name), json!({ "spec": spec }))
}
