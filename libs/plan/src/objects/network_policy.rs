//! The gateways' NetworkPolicy: closed in both directions but for what the architecture names (section 1). A gateway
//! cannot reach the API server, another region or the Internet.

use serde_json::{Value, json};

use super::service::port;
use super::{Child, Kind, RegionParts, child};
use crate::{labels, names};

pub(super) fn build(parts: &RegionParts<'_>) -> Child {
    let pods = json!({ "matchLabels": labels::pods_of_region(parts.name) });
    let peers = json!({ "podSelector": pods });
    let spec = json!({
        "podSelector": pods,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            // Hospitals come from anywhere, engineers from an intranet whose addresses only the platform team knows.
            { "ports": [tcp(port::OUTER), tcp(port::INNER)] },
            { "from": [operator(parts)], "ports": [tcp(port::CONTROL)] },
            { "from": [peers], "ports": [tcp(port::PEER)] },
            { "from": scrapers(parts), "ports": [tcp(port::ADMIN)] },
        ],
        "egress": [
            { "to": [peers], "ports": [tcp(port::PEER)] },
            // The cluster's DNS, wherever it runs; never an address outside the cluster.
            { "to": [{ "namespaceSelector": {} }], "ports": [udp(53), tcp(53)] },
        ],
    });
    child(Kind::NetworkPolicy, parts, names::gateway(parts.name), json!({ "spec": spec }))
}

fn operator(parts: &RegionParts<'_>) -> Value {
    json!({
        "namespaceSelector": { "matchLabels": { labels::NAMESPACE: parts.operator_namespace } },
        "podSelector": { "matchLabels": { labels::NAME: labels::OPERATOR } },
    })
}

fn scrapers(parts: &RegionParts<'_>) -> Vec<Value> {
    let mut namespaces = vec![parts.operator_namespace];
    namespaces.extend(parts.monitoring_namespace.filter(|n| *n != parts.operator_namespace));
    let selector = |namespace| json!({ "namespaceSelector": { "matchLabels": { labels::NAMESPACE: namespace } } });
    namespaces.into_iter().map(selector).collect()
}

fn tcp(port: u16) -> Value {
    json!({ "port": port, "protocol": "TCP" })
}

fn udp(port: u16) -> Value {
    json!({ "port": port, "protocol": "UDP" })
}
