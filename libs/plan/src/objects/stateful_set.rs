//! The gateways. Their pods satisfy Pod Security *restricted* and hold no Kubernetes credential.

use serde_json::{Value, json};

use super::service::port;
use super::{Child, Kind, RegionParts, child};
use crate::{labels, names};

/// The user of the gateway image.
const USER: u32 = 65532;
/// What a gateway needs after its drain grace to close its volume and end, in seconds.
const AFTER_DRAIN: u64 = 15;

pub(super) fn build(parts: &RegionParts<'_>) -> Child {
    let pods = labels::pods_of_region(parts.name);
    let spec = json!({
        "replicas": parts.region.spec.replicas,
        "serviceName": names::headless(parts.name),
        "podManagementPolicy": "Parallel",
        // An agent whose tunnel was cut by the upgrade of one gateway is back within seconds; the next one waits for it.
        "minReadySeconds": 10,
        "selector": { "matchLabels": pods },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
        "template": { "metadata": { "labels": labels::of_region(parts.name) }, "spec": pod(parts) },
        "volumeClaimTemplates": [claim(parts)],
    });
    child(Kind::StatefulSet, parts, names::gateway(parts.name), json!({ "spec": spec }))
}

fn pod(parts: &RegionParts<'_>) -> Value {
    let drain = parts.region.spec.sessions.drain_grace.length().as_secs();
    let selector = json!({ "matchLabels": labels::pods_of_region(parts.name) });
    let spread = |key: &str| {
        json!({
            "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector,
        })
    };
    json!({
        "serviceAccountName": names::gateway(parts.name),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": drain + AFTER_DRAIN,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "topologySpreadConstraints": [spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")],
        "containers": [container(parts)],
        "volumes": [
            { "name": "bootstrap", "secret": { "secretName": names::bootstrap(parts.name), "defaultMode": 0o440 } },
            { "name": "trust", "configMap": { "name": names::trust(parts.name) } },
        ],
    })
}

fn container(parts: &RegionParts<'_>) -> Value {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    json!({
        "name": "gateway",
        "image": parts.image,
        "args": ["run"],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            { "name": "SALLYPORT_REGION", "value": parts.name },
        ],
        "ports": [
            port("outer", port::OUTER), port("inner", port::INNER), port("control", port::CONTROL),
            port("peer", port::PEER), port("admin", port::ADMIN),
        ],
        // Two minutes to read a large volume after a crash before liveness counts.
        "startupProbe": probe("/healthz", 2, 60),
        "livenessProbe": probe("/healthz", 10, 3),
        "readinessProbe": probe("/readyz", 5, 2),
        "resources": {
            // An idle gateway; a tunnel costs some 30 KiB, so the limit has room for thousands and still protects the node.
            "requests": { "cpu": "50m", "memory": "64Mi" },
            "limits": { "memory": "1Gi" },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "data", "mountPath": "/var/lib/sallyport" },
            { "name": "bootstrap", "mountPath": "/etc/sallyport/bootstrap", "readOnly": true },
            { "name": "trust", "mountPath": "/etc/sallyport/trust", "readOnly": true },
        ],
    })
}

fn probe(path: &str, period: u32, failures: u32) -> Value {
    json!({
        "httpGet": { "path": path, "port": "admin" },
        "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures,
    })
}

fn claim(parts: &RegionParts<'_>) -> Value {
    let storage = &parts.region.spec.data_plane.storage;
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": storage.size } },
    });
    if let Some(class) = &storage.class_name {
        spec["storageClassName"] = class.as_str().into();
    }
    json!({ "metadata": { "name": "data" }, "spec": spec })
}
