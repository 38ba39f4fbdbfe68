//! Label selectors, with the meaning Kubernetes gives them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// An object's labels.
pub(super) type Labels = BTreeMap<String, String>;

/// A selector whose expressions are all understood.
pub(crate) struct Selector<'a> {
    labels: Option<&'a Labels>,
    expressions: Vec<(&'a str, Operator<'a>)>,
}

enum Operator<'a> {
    DoesNotExist,
    Exists,
    In(&'a [String]),
    NotIn(&'a [String]),
}

impl<'a> Selector<'a> {
    /// Reads a selector. One that is not understood selects nothing and is an error: never everything.
    pub(crate) fn new(selector: &'a LabelSelector) -> Result<Self, String> {
        let expressions = selector.match_expressions.iter().flatten().map(operator).collect::<Result<_, _>>()?;
        Ok(Self { labels: selector.match_labels.as_ref(), expressions })
    }

    /// Whether an object with these labels is selected.
    pub(crate) fn matches(&self, labels: Option<&Labels>) -> bool {
        let label = |key: &str| labels.and_then(|labels| labels.get(key));
        let all_equal = self.labels.into_iter().flatten().all(|(key, value)| label(key) == Some(value));
        all_equal
            && self.expressions.iter().all(|(key, operator)| match operator {
                Operator::DoesNotExist => label(key).is_none(),
                Operator::Exists => label(key).is_some(),
                Operator::In(values) => label(key).is_some_and(|v| values.contains(v)),
                Operator::NotIn(values) => label(key).is_none_or(|v| !values.contains(v)),
            })
    }
}

fn operator(requirement: &LabelSelectorRequirement) -> Result<(&str, Operator<'_>), String> {
    let key = requirement.key.as_str();
    let values = requirement.values.as_deref().unwrap_or_default();
    let operator = match (requirement.operator.as_str(), values) {
        ("DoesNotExist", []) => Operator::DoesNotExist,
        ("Exists", []) => Operator::Exists,
        ("In", [_, ..]) => Operator::In(values),
        ("NotIn", [_, ..]) => Operator::NotIn(values),
        ("Exists" | "DoesNotExist", _) => return Err(format!("{key:?}: this operator takes no values")),
        ("In" | "NotIn", _) => return Err(format!("{key:?}: this operator needs values")),
        (other, _) => {
            return Err(format!("{key:?}: operator {other:?} is unknown; use In, NotIn, Exists or DoesNotExist"));
        }
    };
    Ok((key, operator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(operator: &str, values: &[&str]) -> LabelSelector {
        let values = values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let requirement = LabelSelectorRequirement {
            key: "class".into(),
            operator: operator.into(),
            values: (!values.is_empty()).then_some(values),
        };
        LabelSelector { match_expressions: Some(vec![requirement]), match_labels: None }
    }

    #[test]
    fn expressions_mean_what_kubernetes_says() {
        let ct = Labels::from([("class".to_owned(), "ct".to_owned())]);
        let other = Labels::from([("class".to_owned(), "mr".to_owned())]);
        for (operator, values, with, with_other, without) in [
            ("In", &["ct"][..], true, false, false),
            ("NotIn", &["ct"], false, true, true),
            ("Exists", &[], true, true, false),
            ("DoesNotExist", &[], false, false, true),
        ] {
            let selector = selector(operator, values);
            let selector = Selector::new(&selector).unwrap();
            assert_eq!(
                (selector.matches(Some(&ct)), selector.matches(Some(&other)), selector.matches(None)),
                (with, with_other, without),
                "{operator}"
            );
        }
        let empty = LabelSelector::default();
        assert!(Selector::new(&empty).unwrap().matches(None));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (operator, values) in [("in", &["ct"][..]), ("In", &[]), ("Exists", &["ct"]), ("", &[]), ("Gt", &["1"])] {
            assert!(Selector::new(&selector(operator, values)).is_err(), "{operator}");
        }
    }
}
