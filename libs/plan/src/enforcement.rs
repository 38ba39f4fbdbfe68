//! When is a revocation or suspension in force? Once every gateway that runs has said that what it forbids is cut; how
//! long that took is what invariant I2 promises, so it is measured and shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_api::common::Enforcement;

/// What is known of a gateway whose pod exists. One without a pod holds no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// It said that this is in force.
    Enforces {
        /// When it said so.
        since: Timestamp,
    },
    /// It has a control stream, and has not said so yet.
    Owes,
    /// It has no control stream, and has not said so.
    Unreachable,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What status shows.
    pub status: Enforcement,
    /// Gateways that have not said so, for people; nothing when all have.
    pub waits_for: Option<String>,
}

/// Measures. `before` is what status says; `seen` is when the operator saw the change, for as long as it remembers.
/// What was once enforced stays so. A gateway that comes later with what it stored before holds its doors until it has
/// been told, or for as long as it can be expected that somebody tells it; then it opens them with what it has, so that
/// the sites outlive an operator that is away (I9 before I2).
pub fn progress(
    before: Option<&Enforcement>,
    seen: Option<Timestamp>,
    gateways: &BTreeMap<String, Gateway>,
    now: Timestamp,
) -> Progress {
    if let Some(done) = before.filter(|before| before.enforced.is_some()) {
        return Progress { status: done.clone(), waits_for: None };
    }
    let begun = begun(before, seen, now);
    let waits_for = waiting(gateways);
    if waits_for.is_some() {
        return Progress { status: begun, waits_for };
    }
    let seen: Timestamp = begun.seen.parse().unwrap_or(now);
    let last = gateways.values().filter_map(|gateway| match gateway {
        Gateway::Enforces { since } => Some(*since),
        Gateway::Owes | Gateway::Unreachable => None,
    });
    // A gateway may have said so before the operator looked: nothing was ever allowed after that.
    let enforced = last.max().unwrap_or(now).max(seen);
    let took = enforced.duration_since(seen).as_millis();
    let status = Enforcement {
        seen: text(seen),
        enforced: Some(text(enforced)),
        milliseconds: Some(u64::try_from(took).unwrap_or_default()),
    };
    Progress { status, waits_for: None }
}

/// What status shows before anybody enforces it. `before` is what it says already.
pub fn begun(before: Option<&Enforcement>, seen: Option<Timestamp>, now: Timestamp) -> Enforcement {
    let remembered = before.and_then(|before| before.seen.parse().ok());
    Enforcement { seen: text(remembered.or(seen).unwrap_or(now)), enforced: None, milliseconds: None }
}

fn waiting(gateways: &BTreeMap<String, Gateway>) -> Option<String> {
    let named = |wanted| {
        let names = gateways.iter().filter(|(_, state)| **state == wanted).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (owing, unreachable) = (named(Gateway::Owes), named(Gateway::Unreachable));
    let mut parts = Vec::new();
    if !owing.is_empty() {
        parts.push(format!("waiting for {owing} to cut and acknowledge"));
    }
    if !unreachable.is_empty() {
        parts.push(format!("the operator has no control stream to {unreachable}, which may still hold a tunnel"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// To the millisecond: what is measured here is a second at most.
fn text(at: Timestamp) -> String {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
    }

    fn gateways(states: &[Gateway]) -> BTreeMap<String, Gateway> {
        states.iter().enumerate().map(|(n, state)| (format!("eu-gateway-{n}"), *state)).collect()
    }

    #[test]
    fn the_last_gateway_ends_the_measurement() {
        let two = gateways(&[Gateway::Enforces { since: at(120) }, Gateway::Enforces { since: at(340) }]);
        let done = progress(None, Some(at(0)), &two, at(900));
        assert_eq!((done.status.milliseconds, done.waits_for.clone()), (Some(340), None));
        let later = progress(Some(&done.status), None, &gateways(&[Gateway::Owes]), at(5000));
        assert_eq!(later.status, done.status, "once enforced, for good");
    }

    #[test]
    fn an_operator_that_begins_anew_goes_on_measuring_from_what_status_remembers() {
        let waiting = progress(None, Some(at(0)), &gateways(&[Gateway::Owes]), at(10));
        assert!(waiting.status.enforced.is_none() && waiting.status.seen == at(0).to_string());
        let done = progress(Some(&waiting.status), Some(at(700)), &gateways(&[]), at(800));
        assert_eq!(done.status.milliseconds, Some(800));
    }

    #[test]
    fn a_gateway_that_enforced_it_before_it_was_seen_took_no_time() {
        let early = gateways(&[Gateway::Enforces { since: at(-5000) }]);
        assert_eq!(progress(None, Some(at(0)), &early, at(3)).status.milliseconds, Some(0));
    }

    #[test]
    fn who_is_waited_for_is_named() {
        let states = gateways(&[Gateway::Owes, Gateway::Unreachable, Gateway::Enforces { since: at(0) }]);
        let said = progress(None, None, &states, at(0)).waits_for.unwrap();
        assert!(said.contains("eu-gateway-0") && said.contains("eu-gateway-1") && !said.contains("eu-gateway-2"));
    }

    proptest! {
        /// Nothing is called enforced while a gateway that runs has not said so.
        #[test]
        fn enforced_means_everywhere(states in prop::collection::vec(prop_oneof![
            Just(Gateway::Owes), Just(Gateway::Unreachable), (0i64..2000).prop_map(|ms| Gateway::Enforces { since: at(ms) }),
        ], 0..5)) {
            let all = states.iter().all(|state| matches!(state, Gateway::Enforces { .. }));
            let progress = progress(None, Some(at(0)), &gateways(&states), at(3000));
            prop_assert_eq!(progress.status.enforced.is_some(), all);
            prop_assert_eq!(progress.waits_for.is_none(), all);
        }
    }
}
