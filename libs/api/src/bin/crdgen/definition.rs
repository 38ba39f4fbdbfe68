//! A definition as YAML: a plain file, and a template of the Helm chart.
//!
//! Helm never upgrades what is in a chart's `crds/` folder, and an uninstall that takes the definitions along deletes
//! every site. Hence templates, with a switch, and `helm.sh/resource-policy: keep`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Number, Value};

const HEADER: &str = "# Generated from libs/api by `make generate`. Do not edit.\n";
const METADATA: &str = "\nmetadata:\n";

/// The definition without any frame.
pub(crate) fn yaml(crd: &CustomResourceDefinition) -> String {
    let mut value = serde_json::to_value(crd).expect("a definition serialises");
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    whole_numbers(&mut value);
    serde_yaml::to_string(&value).expect("JSON is YAML")
}

/// For `kubectl apply --server-side -f crds/`.
pub(crate) fn file(yaml: &str) -> String {
    format!("{HEADER}{yaml}")
}

/// For the chart. Text of a definition may contain `{{`, which Helm must not read as an action.
pub(crate) fn template(yaml: &str) -> String {
    let escaped = yaml.replace("{{", "{{ \"{{\" }}");
    let keep =
        "\nmetadata:\n  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n";
    let annotated = escaped.replacen(METADATA, keep, 1);
    format!("{HEADER}{{{{- if .Values.crds.enabled }}}}\n{annotated}{{{{- end }}}}\n")
}

/// The types of a definition hold bounds as floating point; people write and read `1`, not `1.0`, and the API server
/// returns it so.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // 2^53: what floating point carries exactly.
            if let Some(float) = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0) {
                #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53, see above")]
                let whole = float as i64;
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        Value::Bool(_) | Value::Null | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_carries_the_switches_and_no_action_of_the_text() {
        for crd in sallyport_api::crd::all() {
            let template = template(&yaml(&crd));
            assert!(template.contains("helm.sh/resource-policy: keep"), "{:?}", crd.metadata.name);
        }
        let text = template("kind: X\nmetadata:\n  name: y\ndescription: use {{ name }}\n");
        assert!(text.contains(r#"use {{ "{{" }} name }}"#), "{text}");
    }

    #[test]
    fn bounds_are_whole_numbers() {
        let mut value = serde_json::json!({"maximum": 65535.0, "share": 0.5, "deep": [{"minimum": -1.0}]});
        whole_numbers(&mut value);
        assert_eq!(value.to_string(), r#"{"deep":[{"minimum":-1}],"maximum":65535,"share":0.5}"#);
    }
}
