//! The Services of a region: one that names each pod, and one in front of each door.

use sallyport_api::dmz_region::{Door, ServiceType};
use serde_json::{Value, json};

use super::{Child, Kind, RegionParts, child};
use crate::{labels, names};

/// Ports of a gateway (`docs/design/contracts.md`).
pub(super) mod port {
    pub(crate) const OUTER: u16 = 8443;
    pub(crate) const INNER: u16 = 8444;
    pub(crate) const CONTROL: u16 = 8445;
    pub(crate) const PEER: u16 = 8446;
    pub(crate) const ADMIN: u16 = 9464;
}

/// Names every pod, ready or not: a gateway is attached to before it is ready.
pub(super) fn headless(parts: &RegionParts<'_>) -> Child {
    let spec = json!({
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": labels::pods_of_region(parts.name),
        "ports": [
            port_of("control", port::CONTROL, "control"),
            port_of("peer", port::PEER, "peer"),
            port_of("admin", port::ADMIN, "admin"),
        ],
    });
    child(Kind::Service, parts, names::headless(parts.name), json!({ "spec": spec }))
}

pub(super) fn outer(parts: &RegionParts<'_>) -> Child {
    let door = &parts.region.spec.outer;
    let mut spec = door_spec(parts, door, "outer");
    if door.service.type_ != ServiceType::ClusterIP {
        // The gateway must see the site's address: it is recorded, shown in status and may be restricted.
        spec["externalTrafficPolicy"] = "Local".into();
    }
    door_service(parts, door, names::outer(parts.name), spec)
}

pub(super) fn inner(parts: &RegionParts<'_>) -> Child {
    let door = &parts.region.spec.inner;
    door_service(parts, door, names::inner(parts.name), door_spec(parts, door, "inner"))
}

fn door_spec(parts: &RegionParts<'_>, door: &Door, target: &str) -> Value {
    let mut port = port_of(target, door.service.port, target);
    if let Some(node_port) = door.service.node_port {
        port["nodePort"] = node_port.into();
    }
    json!({
        "type": door.service.type_.label(),
        "selector": labels::pods_of_region(parts.name),
        "ports": [port],
    })
}

fn door_service(parts: &RegionParts<'_>, door: &Door, name: String, spec: Value) -> Child {
    let mut service = child(Kind::Service, parts, name, json!({ "spec": spec }));
    if !door.service.annotations.is_empty() {
        service.object["metadata"]["annotations"] = json!(door.service.annotations);
    }
    service
}

fn port_of(name: &str, port: u16, target: &str) -> Value {
    json!({ "name": name, "port": port, "protocol": "TCP", "targetPort": target })
}
