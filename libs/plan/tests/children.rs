//! A region's complete children, as golden YAML. **A change of the pod template in these files restarts every data
//! plane in the field.**

#![allow(clippy::unwrap_used)]

mod common;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use sallyport_api::DmzRegion;
use sallyport_plan::authority::denied::Denied;
use sallyport_plan::authority::keys::{Stored, StoredKey};
use sallyport_plan::drift;
use sallyport_plan::labels::Owner;
use sallyport_plan::objects::{self, Child, Kind, RegionParts};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn children(region: &DmzRegion, image: &str) -> Vec<Child> {
    let owner = Owner { kind: "DmzRegion", name: "eu".into(), uid: "uid-eu".into() };
    objects::region_children(&RegionParts {
        region,
        namespace: "dmz",
        name: "eu",
        owner: &owner,
        image,
        trust: "the trust bundle",
        operator_namespace: "sallyport-system",
        monitoring_namespace: Some("monitoring"),
    })
}

fn yaml(children: &[Child]) -> String {
    children.iter().map(|child| format!("---\n{}", serde_yaml::to_string(&child.object).unwrap())).collect()
}

#[test]
fn the_least_a_region_can_say() {
    common::check("region.yaml", &yaml(&children(&common::region(json!({})), "registry.example/gateway:1")));
}

#[test]
fn everything_a_region_can_say() {
    let door = |host: &str, port: u16| {
        json!({ "host": host, "service": {
            "type": "NodePort", "port": port, "nodePort": port + 30_000 - 443, "annotations": { "a.example/b": "c" },
        }})
    };
    let region = common::region(json!({
        "outer": door("outer.example", 443), "inner": door("inner.example", 444), "replicas": 3,
        "dataPlane": { "image": "registry.example/gateway:2", "storage": { "size": "20Gi", "className": "fast" } },
        "sessions": { "drainGrace": "5m" },
    }));
    common::check("region-full.yaml", &yaml(&children(&region, "registry.example/gateway:2")));
}

/// A misspelt field would be dropped by the API server in silence; here it is lost on the way through the typed form.
#[test]
fn every_field_is_one_that_kubernetes_knows() {
    fn round_trip<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
        serde_json::to_value(serde_json::from_value::<K>(object.clone()).unwrap()).unwrap()
    }
    let owner = Owner { kind: "DmzRegion", name: "eu".into(), uid: "u".into() };
    let entries = [("tls.crt", &b"c"[..]), ("tls.key", &b"k"[..])].into();
    let mut all = children(&common::region(json!({})), "image");
    all.push(objects::tls_secret(&owner, "dmz", "s".into(), json!({}), &entries));
    let denied = [Denied { issuer: "ab".repeat(32), serial: "4a".into(), not_after: Timestamp::UNIX_EPOCH }].into();
    all.push(objects::authority::published("dmz", "ca", "bundle", "lists", &denied, json!({ "a": "b" })));
    let stored = Stored { certificate: "c".into(), key: Some(StoredKey::Pem("k".into())), made: None };
    let object = objects::authority::secret("ca", "dmz", 1, &stored);
    all.push(Child { kind: Kind::Secret, name: "ca-ca".into(), object });
    for Child { kind, name, object } in all {
        let typed = match kind {
            Kind::ConfigMap => round_trip::<ConfigMap>(&object),
            Kind::NetworkPolicy => round_trip::<NetworkPolicy>(&object),
            Kind::PodDisruptionBudget => round_trip::<PodDisruptionBudget>(&object),
            Kind::Secret => round_trip::<Secret>(&object),
            Kind::Service => round_trip::<Service>(&object),
            Kind::ServiceAccount => round_trip::<ServiceAccount>(&object),
            Kind::StatefulSet => round_trip::<StatefulSet>(&object),
        };
        assert!(drift::covers(&object, &typed), "{} {name}: {object} became {typed}", kind.label());
    }
}

/// Else it would go with a `CertificateAuthority` that is deleted by mistake, and all revocations with it.
#[test]
fn what_remembers_revocations_has_no_owner_and_is_known_by_its_labels() {
    let child = objects::authority::published("dmz", "ca", "bundle", "lists", &[].into(), json!({}));
    let metadata = &child.object["metadata"];
    assert_eq!((child.name.as_str(), &metadata["ownerReferences"]), ("ca-ca-trust", &Value::Null));
    let labels = serde_json::from_value(metadata["labels"].clone()).unwrap();
    assert!(objects::authority::is_of(&labels, "ca") && !objects::authority::is_of(&labels, "other"));
    assert!(!objects::authority::is_of(&[].into(), "ca"));
    assert_eq!(child.object["data"]["denied"], "", "what is denied no longer is taken away");
}

#[test]
fn the_default_image_counts_only_when_a_region_is_created() {
    let mut region = common::region(json!({}));
    assert_eq!(objects::image(&region, None, "default"), "default");
    region.status = Some(serde_json::from_value(json!({ "image": "remembered" })).unwrap());
    assert_eq!(objects::image(&region, None, "default"), "remembered");
    let running = json!({ "spec": { "template": { "spec": { "containers": [{ "image": "running" }] } } } });
    assert_eq!(objects::image(&region, Some(&running), "default"), "running");
    region.spec.data_plane.image = Some("wanted".into());
    assert_eq!(objects::image(&region, Some(&running), "default"), "wanted");
}

/// Everything that is not the region's spec or the image may change without a restart of the gateways.
#[test]
fn the_pod_template_depends_on_the_spec_and_the_image_alone() {
    let region = common::region(json!({}));
    let owner = Owner { kind: "DmzRegion", name: "eu".into(), uid: "another".into() };
    let other = objects::region_children(&RegionParts {
        region: &region,
        namespace: "dmz",
        name: "eu",
        owner: &owner,
        image: "image",
        trust: "another",
        operator_namespace: "another",
        monitoring_namespace: None,
    });
    let template = |children: &[Child]| {
        let set = children.iter().find(|child| child.kind == Kind::StatefulSet).unwrap();
        set.object["spec"]["template"].clone()
    };
    assert_eq!(template(&other), template(&children(&region, "image")));
}
