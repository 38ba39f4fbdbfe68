//! Is an object as it should be? The answer decides whether the operator writes, so "converged means zero writes"
//! and "an edit of our field is put right" are both decided here.

use serde_json::{Map, Value};

/// Whether everything `desired` says is so in `observed`. Maps may have more entries than desired (defaults and other
/// managers' fields); lists are ours as a whole, element by element. `null` and an empty list mean absent.
pub fn covers(desired: &Value, observed: &Value) -> bool {
    covered(desired, Some(observed), Text::Exact)
}

/// How two texts are compared.
#[derive(Clone, Copy)]
enum Text {
    Exact,
    /// Under `requests` and `limits`: the API server rewrites `1024Mi` to `1Gi`.
    Quantity,
}

fn covered(desired: &Value, observed: Option<&Value>, text: Text) -> bool {
    match (desired, observed) {
        (Value::Null, None | Some(Value::Null)) => true,
        (Value::Array(wanted), None | Some(Value::Null)) => wanted.is_empty(),
        (Value::String(wanted), None | Some(Value::Null)) => wanted.is_empty(),
        (Value::Object(wanted), Some(Value::Object(found))) => wanted.iter().all(|(key, value)| {
            let text = if matches!(key.as_str(), "requests" | "limits") { Text::Quantity } else { text };
            covered(value, found.get(key), text)
        }),
        (Value::Array(wanted), Some(Value::Array(found))) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(w, f)| covered(w, Some(f), text))
        }
        (Value::String(wanted), Some(Value::String(found))) => wanted == found || same_quantity(wanted, found, text),
        (Value::Number(wanted), Some(Value::Number(found))) => wanted.as_f64() == found.as_f64(),
        (wanted, Some(found)) => wanted == found,
        (_, None) => false,
    }
}

fn same_quantity(a: &str, b: &str, text: Text) -> bool {
    matches!(text, Text::Quantity) && quantity(a).is_some_and(|a| Some(a) == quantity(b))
}

/// A quantity in thousandths, if it is one that fits.
fn quantity(text: &str) -> Option<u128> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u128 = match unit {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => return None,
    };
    digits.parse::<u128>().ok()?.checked_mul(factor)
}

/// `observed` with everything `desired` says, and nothing more in the lists that are ours. For a replace, where an
/// apply is not enough: elements that somebody else added to a list survive an apply.
pub fn corrected(desired: &Value, observed: &Value) -> Value {
    match (desired, observed) {
        (Value::Object(wanted), Value::Object(found)) => {
            let mut merged: Map<String, Value> = found.clone();
            for (key, value) in wanted {
                let before = found.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), corrected(value, before));
            }
            Value::Object(merged)
        }
        (Value::Array(wanted), Value::Array(found)) => {
            Value::Array(wanted.iter().map(|w| corrected(w, twin(w, found).unwrap_or(&Value::Null))).collect())
        }
        (wanted, _) => wanted.clone(),
    }
}

/// The element of `found` that is the same thing as `wanted`: by name, as nearly all of Kubernetes' lists are keyed.
fn twin<'a>(wanted: &Value, found: &'a [Value]) -> Option<&'a Value> {
    let name = wanted.get("name")?;
    found.iter().find(|f| f.get("name") == Some(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_foreign_fields_are_no_drift() {
        let desired = json!({"spec": {"ports": [{"name": "a", "port": 1}], "empty": [], "none": null}});
        let observed =
            json!({"metadata": {"uid": "x"}, "spec": {"ports": [{"name": "a", "port": 1, "protocol": "TCP"}]}});
        assert!(covers(&desired, &observed));
    }

    #[test]
    fn a_changed_or_missing_field_is_drift() {
        let desired = json!({"a": {"b": [1, 2], "c": false}});
        for observed in [
            json!({"a": {"b": [1, 2]}}),
            json!({"a": {"b": [2, 1], "c": false}}),
            json!({"a": {"b": [1, 2, 3], "c": false}}),
            json!({"a": {"b": [1, 2], "c": true}}),
            json!({}),
            Value::Null,
        ] {
            assert!(!covers(&desired, &observed), "{observed}");
        }
    }

    #[test]
    fn an_empty_selector_is_not_an_absent_one() {
        assert!(!covers(&json!({"podSelector": {}}), &json!({})));
        assert!(covers(&json!({"podSelector": {}}), &json!({"podSelector": {}})));
    }

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        let size = |text: &str| json!({"resources": {"requests": {"storage": text}}});
        assert!(covers(&size("1024Mi"), &size("1Gi")));
        assert!(!covers(&size("1025Mi"), &size("1Gi")));
        assert!(!covers(&size("x"), &size("1Gi")));
        assert!(!covers(&json!({"labels": {"a": "1024Mi"}}), &json!({"labels": {"a": "1Gi"}})));
    }

    #[test]
    fn what_an_apply_leaves_behind_is_put_right() {
        let desired = json!({"spec": {"containers": [{"name": "gateway", "image": "a"}]}});
        let observed = json!({"spec": {"dns": "x", "containers": [
            {"name": "spy", "image": "b"}, {"name": "gateway", "image": "a", "pull": "Always"}]}});
        let corrected = corrected(&desired, &observed);
        assert!(covers(&desired, &corrected));
        assert_eq!(corrected["spec"]["containers"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&corrected["spec"]["dns"], &corrected["spec"]["containers"][0]["pull"]),
            (&json!("x"), &json!("Always"))
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-zA-Z0-9]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]|requests|name", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_as_desired_is_covered(desired in value()) {
            prop_assert!(covers(&desired, &desired));
        }

        #[test]
        fn corrected_is_covered_whatever_was_there(desired in value(), observed in value()) {
            prop_assert!(covers(&desired, &corrected(&desired, &observed)));
        }

        #[test]
        fn more_in_a_map_changes_nothing(desired in value(), extra in value()) {
            let mut observed = desired.clone();
            if let Value::Object(map) = &mut observed {
                map.insert("zz".into(), extra);
                prop_assert!(covers(&desired, &observed));
            }
        }
    }
}
