//! What is kept of an object: nothing that no decision reads. A thousand sites are some ten thousand objects.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::DynamicObject;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use sallyport_plan::secret_facts::SecretFacts;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Forgets who wrote which field, and kubectl's copy of the whole object.
pub fn strip(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
}

/// One of our kinds.
///
/// # Errors
/// It is not as this operator knows the kind.
pub fn ours<K: Resource>(object: DeserializeGuard<K>) -> Result<K, Box<InvalidObject>> {
    let mut object = object.0.map_err(Box::new)?;
    strip(object.meta_mut());
    Ok(object)
}

/// Something the operator made.
pub fn child(mut object: DynamicObject) -> DynamicObject {
    strip(&mut object.metadata);
    object
}

/// A Secret, without its key.
pub fn secret(secret: Secret) -> SecretFacts {
    let mut facts = SecretFacts::of(secret);
    strip(&mut facts.metadata);
    facts
}

/// A ConfigMap, with nothing but its certificates.
pub fn config_map(mut object: ConfigMap) -> ConfigMap {
    strip(&mut object.metadata);
    object.binary_data = None;
    if let Some(data) = &mut object.data {
        for text in data.values_mut().filter(|text| !text.contains("BEGIN CERTIFICATE")) {
            text.clear();
        }
    }
    object
}

/// A pod, as far as one is dialled and waited for.
pub fn pod(mut object: Pod) -> Pod {
    strip(&mut object.metadata);
    object.metadata.annotations = None;
    object.spec = None;
    if let Some(status) = &mut object.status {
        let (ip, phase) = (status.pod_ip.take(), status.phase.take());
        *status = k8s_openapi::api::core::v1::PodStatus { pod_ip: ip, phase, ..Default::default() };
    }
    object
}
