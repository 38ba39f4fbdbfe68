//! The seven CustomResourceDefinitions, made fit for Kubernetes: integer formats it does not know are replaced by
//! bounds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

/// Every kind's definition, in the order of the manual.
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        crate::DmzRegion::crd(),
        crate::CertificateAuthority::crd(),
        crate::CustomerSite::crd(),
        crate::TunnelEndpoint::crd(),
        crate::TunnelCertificate::crd(),
        crate::Device::crd(),
        crate::AccessPolicy::crd(),
    ]
    .into_iter()
    .map(fit)
    .collect()
}

fn fit(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd).expect("a definition serialises");
    for version in value["spec"]["versions"].as_array_mut().into_iter().flatten() {
        bound_unsigned(&mut version["schema"]["openAPIV3Schema"]);
    }
    serde_json::from_value(value).expect("bounds keep it a definition")
}

/// `format: uint8` and its like are unknown to Kubernetes; the range they mean is said with `minimum` and `maximum`.
fn bound_unsigned(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let widest = match object.get("format").and_then(Value::as_str) {
                Some("uint8") => Some(f64::from(u8::MAX)),
                Some("uint16") => Some(f64::from(u16::MAX)),
                Some("uint32") => Some(f64::from(u32::MAX)),
                // 2^53: what JSON numbers carry exactly.
                Some("uint64" | "uint") => Some(9_007_199_254_740_992.0),
                _ => None,
            };
            if let Some(widest) = widest {
                object.remove("format");
                object.entry("minimum").or_insert(0.0.into());
                object.entry("maximum").or_insert(widest.into());
            }
            object.values_mut().for_each(bound_unsigned);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_unsigned),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
