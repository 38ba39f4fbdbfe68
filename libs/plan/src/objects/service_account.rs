//! The gateways' ServiceAccount. It exists so that they do not run under `default`, to which somebody may bind rights;
//! its token is never mounted: nothing in the DMZ holds a Kubernetes credential.

use serde_json::json;

use super::{Child, Kind, RegionParts, child};
use crate::names;

pub(super) fn build(parts: &RegionParts<'_>) -> Child {
    child(Kind::ServiceAccount, parts, names::gateway(parts.name), json!({ "automountServiceAccountToken": false }))
}
