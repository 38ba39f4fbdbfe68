//! Who wrote what, from `metadata.managedFields`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// The keys of a list's elements (`k:{"name":"x"}`) under `spec.LIST` that a manager wrote.
pub(crate) fn names(fields: &[ManagedFieldsEntry], manager: &str, list: &str) -> Vec<String> {
    keys(fields, manager, &[list], "name")
}

/// The same of a list deeper in the spec, whose elements are told apart by another field.
pub(crate) fn keys(fields: &[ManagedFieldsEntry], manager: &str, path: &[&str], key: &str) -> Vec<String> {
    let of_manager = fields.iter().filter(|entry| entry.manager.as_deref() == Some(manager));
    let elements =
        of_manager.filter_map(|entry| Some(&entry.fields_v1.as_ref()?.0)).filter_map(|tree| element(tree, path));
    let keys = elements.flat_map(|list| list.keys()).filter_map(|key| key.strip_prefix("k:"));
    let names = keys.filter_map(|json| serde_json::from_str::<Value>(json).ok()?[key].as_str().map(str::to_owned));
    names.collect()
}

/// Everybody but `manager` who wrote `spec.FIELD`.
pub(crate) fn others(fields: &[ManagedFieldsEntry], manager: &str, field: &str) -> Vec<String> {
    let wrote = |entry: &&ManagedFieldsEntry| {
        let tree = entry.fields_v1.as_ref().map(|tree| &tree.0);
        tree.is_some_and(|tree| !tree["f:spec"][format!("f:{field}")].is_null())
    };
    let names = fields.iter().filter(wrote).filter_map(|entry| entry.manager.clone());
    names.filter(|name| name != manager).collect()
}

fn element<'a>(tree: &'a Value, path: &[&str]) -> Option<&'a serde_json::Map<String, Value>> {
    path.iter().fold(&tree["f:spec"], |tree, field| &tree[format!("f:{field}")]).as_object()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn elements_and_fields_have_their_writers() {
        let list = json!({ "k:{\"name\":\"a/b\"}": { ".": {}, "f:name": {}, "f:reason": {} } });
        let fields = [
            entry("sallyportctl-lost", json!({ "f:spec": { "f:lostPeers": list } })),
            entry("kubectl", json!({ "f:spec": { "f:lostPeers": { "k:{\"name\":\"c/d\"}": {} }, "f:subject": {} } })),
        ];
        assert_eq!(names(&fields, "sallyportctl-lost", "lostPeers"), ["a/b"]);
        assert_eq!(names(&fields, "sallyportctl-lost", "subject"), Vec::<String>::new());
        let deeper = json!({ "f:spec": { "f:audit": { "f:erasures": { "k:{\"id\":\"e1\"}": {} } } } });
        assert_eq!(keys(&[entry("m", deeper)], "m", &["audit", "erasures"], "id"), ["e1"]);
        assert_eq!(others(&fields, "sallyportctl-lost", "subject"), ["kubectl"]);
        assert_eq!(others(&fields, "kubectl", "subject"), Vec::<String>::new());
    }
}
