//! The reference manual: one page for each kind, every field with its type, default, bounds, rules and meaning, as the
//! API server enforces them. Nothing is written by hand, so the manual cannot say what the schema does not.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

const HEADER: &str = "<!-- Generated from libs/api by `make generate`. Do not edit. -->\n";

/// Name of a kind's page.
pub(crate) fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.md", crd.spec.names.kind.to_lowercase())
}

/// The list of all kinds.
pub(crate) fn index(definitions: &[CustomResourceDefinition]) -> String {
    let mut text = format!(
        "{HEADER}# Reference manual\n\n\
         API group `sallyport.dev`, version `v1alpha1`. All kinds are namespaced; `kubectl get sallyport -A` lists every \
         object of every kind, and `kubectl explain KIND.spec` prints what these pages say.\n\n\
         | kind | short | what it is |\n|---|---|---|\n"
    );
    for crd in definitions {
        let names = &crd.spec.names;
        let short = names.short_names.iter().flatten().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
        let schema = schema(crd);
        let summary = one_line(&text_of(&schema, "description"));
        let _ = writeln!(text, "| [{}]({}) | {short} | {summary} |", names.kind, file_name(crd));
    }
    text.push_str(
        "\nLengths of time are a whole number of seconds, minutes, hours or days: `90s`, `15m`, `8h`, `90d`. Every kind \
         reports the condition `Ready`, whose message says what is missing and what to do, and `Reconciling` or \
         `Stalled` when it is not ready.\n",
    );
    text
}

/// The page of a kind.
pub(crate) fn page(crd: &CustomResourceDefinition) -> String {
    let names = &crd.spec.names;
    let schema = schema(crd);
    let spec = &schema["properties"]["spec"];
    let mut text = format!("{HEADER}# {}\n\n", names.kind);
    let _ = writeln!(text, "{}\n", text_of(spec, "description"));
    identity(crd, &mut text);

    text.push_str("## At a glance\n\n```yaml\n");
    let _ = writeln!(
        text,
        "apiVersion: {}/{}\nkind: {}",
        crd.spec.group,
        version(crd)["name"].as_str().unwrap_or(""),
        names.kind
    );
    text.push_str("metadata:\n  name: string\nspec:\n");
    outline(spec, 1, &mut text);
    text.push_str("```\n");

    let rules = rules_of(&schema).into_iter().chain(rules_of(spec)).collect::<Vec<_>>();
    if !rules.is_empty() {
        text.push_str("\n## Rules across fields\n\n");
        rules.iter().for_each(|rule| text.push_str(rule));
    }
    text.push_str("\n## Spec\n");
    fields(spec, "spec", &mut text);
    text.push_str("\n## Status\n\nWritten by the operator, never by hand.\n");
    fields(&schema["properties"]["status"], "status", &mut text);
    text
}

/// Under which names and columns `kubectl` knows the kind.
fn identity(crd: &CustomResourceDefinition, text: &mut String) {
    let names = &crd.spec.names;
    let short = names.short_names.iter().flatten().map(String::as_str).collect::<Vec<_>>();
    let _ = writeln!(text, "- `kubectl get {}`, or for short `kubectl get {}`", names.plural, short.join(", "));
    let version = version(crd);
    let list = |key: &str, of: &str| {
        let entries = version[key].as_array().into_iter().flatten();
        entries.filter_map(|entry| entry[of].as_str()).map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(text, "- columns: {}", list("additionalPrinterColumns", "name"));
    let selectable = list("selectableFields", "jsonPath").replace("`.", "`");
    if !selectable.is_empty() {
        let _ = writeln!(text, "- fields for `--field-selector`: {selectable}");
    }
    text.push('\n');
}

/// The spec as YAML with types for values.
fn outline(object: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for (name, field) in properties(object) {
        let remark = if is_required(object, name) { "  # required" } else { "" };
        let list = field["type"] == "array";
        let inner = if list { &field["items"] } else { field };
        if properties(inner).next().is_none() {
            let value = match &field["default"] {
                Value::Null => type_of(field),
                default => default.to_string().trim_matches('"').to_owned(),
            };
            let _ = writeln!(text, "{indent}{name}: {value}{remark}");
        } else if list {
            let _ = writeln!(text, "{indent}{name}:{remark}");
            let mut entries = String::new();
            outline(inner, depth + 2, &mut entries);
            // The first field of an entry carries the dash.
            let dash = format!("{indent}  - ");
            text.push_str(&entries.replacen(&"  ".repeat(depth + 2), &dash, 1));
        } else {
            let _ = writeln!(text, "{indent}{name}:{remark}");
            outline(inner, depth + 1, text);
        }
    }
}

/// A section for each field below `object`, depth first.
fn fields(object: &Value, path: &str, text: &mut String) {
    for (name, field) in properties(object) {
        let path = format!("{path}.{name}");
        let _ = writeln!(text, "\n### {path}\n");
        let mut facts = vec![type_of(field)];
        if is_required(object, name) {
            facts.push("**required**".to_owned());
        }
        facts.extend(default_of(field));
        facts.extend(bounds_of(field));
        let _ = writeln!(text, "{}\n", facts.join(" · "));
        let _ = writeln!(text, "{}", text_of(field, "description"));
        let rules = rules_of(field);
        if !rules.is_empty() {
            text.push('\n');
            rules.iter().for_each(|rule| text.push_str(rule));
        }
        match field["type"].as_str() {
            // Kubernetes' own type, the same everywhere: the field's description says which types there are.
            _ if name == "conditions" => {}
            Some("array") => fields(&field["items"], &format!("{path}[]"), text),
            _ => fields(field, &path, text),
        }
    }
}

fn type_of(field: &Value) -> String {
    match field["type"].as_str() {
        Some("array") => format!("list of {}", type_of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    }
}

fn default_of(field: &Value) -> Option<String> {
    match &field["default"] {
        Value::Null => None,
        default => Some(format!("default `{}`", default.to_string().trim_matches('"'))),
    }
}

fn bounds_of(field: &Value) -> Vec<String> {
    let number = |key: &str| field[key].as_f64();
    let mut bounds = Vec::new();
    if let Some(values) = field["enum"].as_array() {
        let values = values.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect::<Vec<_>>();
        bounds.push(format!("one of {}", values.join(", ")));
    }
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => bounds.push(format!("{least} to {most}")),
        (Some(least), None) => bounds.push(format!("at least {least}")),
        (None, Some(most)) => bounds.push(format!("at most {most}")),
        (None, None) => {}
    }
    let mut range = |least: &str, most: &str, what: &str| match (number(least), number(most)) {
        (Some(least), Some(most)) => bounds.push(format!("{least} to {most} {what}")),
        (None, Some(most)) => bounds.push(format!("at most {most} {what}")),
        (Some(least), None) => bounds.push(format!("at least {least} {what}")),
        (None, None) => {}
    };
    range("minLength", "maxLength", "characters");
    range("minItems", "maxItems", "entries");
    range("minProperties", "maxProperties", "entries");
    if let Some(pattern) = field["pattern"].as_str() {
        bounds.push(format!("matches `{pattern}`"));
    }
    if field["x-kubernetes-list-type"] == "set" {
        bounds.push("no entry twice".to_owned());
    }
    let keys = field["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    bounds.extend(keys.map(|key| format!("no `{key}` twice")));
    let each = &field["items"];
    if each["type"] == "string" {
        let bounds_of_each = bounds_of(each);
        if !bounds_of_each.is_empty() {
            bounds.push(format!("each {}", bounds_of_each.join(", ")));
        }
    }
    bounds
}

/// What a broken rule says, and the rule.
fn rules_of(field: &Value) -> Vec<String> {
    let rules = field["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.map(|rule| format!("- {}: `{}`\n", text_of(rule, "message"), text_of(rule, "rule"))).collect()
}

fn properties(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object["properties"].as_object().into_iter().flatten()
}

fn is_required(object: &Value, name: &str) -> bool {
    object["required"].as_array().into_iter().flatten().any(|required| required == name)
}

fn text_of(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn version(crd: &CustomResourceDefinition) -> Value {
    serde_json::to_value(&crd.spec.versions[0]).expect("a definition serialises")
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    version(crd)["schema"]["openAPIV3Schema"].take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_kind_is_explained() {
        for crd in sallyport_api::crd::all() {
            let schema = schema(&crd);
            let mut unexplained = Vec::new();
            silent(&schema["properties"], &crd.spec.names.kind, &mut unexplained);
            assert_eq!(unexplained, Vec::<String>::new());
        }
    }

    /// Collects the paths of fields without a description.
    fn silent(fields: &Value, path: &str, unexplained: &mut Vec<String>) {
        for (name, field) in fields.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if text_of(field, "description").is_empty() {
                unexplained.push(path.clone());
            }
            silent(&field["properties"], &path, unexplained);
            silent(&field["items"]["properties"], &path, unexplained);
        }
    }

    #[test]
    fn a_page_names_types_defaults_bounds_and_rules() {
        let region = sallyport_api::crd::all().remove(0);
        let page = page(&region);
        for line in [
            "### spec.outer.service.port",
            "integer · default `443` · 1 to 65535",
            "### spec.replicas",
            "- spec.certificateAuthorityRef: is immutable; create a new region to use another authority: `self == oldSelf`",
            "### status.gateways[].attached",
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
    }
}
