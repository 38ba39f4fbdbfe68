//! When may the finalizer of an endpoint or site go? Once no gateway can hold a tunnel of it any more: an Ack means "in
//! force", so a gateway that acknowledged a configuration without the endpoint has cut its tunnels.

use std::collections::BTreeMap;

/// The finalizer on `TunnelEndpoint` and `CustomerSite`.
pub const FINALIZER: &str = "sallyport.dev/tunnels-cut";

/// What is known of a gateway whose pod exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// What it last acknowledged still has the endpoint, or an endpoint of the site.
    Holds,
    /// Nobody knows what it enforces: it has not been attached since the operator began.
    Unknown,
    /// What it last acknowledged does not have it; it keeps that on its volume, whatever happens to the operator.
    Without,
}

/// Whether the finalizer may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Release,
    /// These gateways must acknowledge first; those without a control stream are named apart.
    Wait {
        /// Attached, not yet acknowledged.
        acknowledging: Vec<String>,
        /// Out of reach.
        unreachable: Vec<String>,
    },
}

/// Decides. `gateways` are the region's pods that exist; a region that does not exist has none.
pub fn decide(gateways: &BTreeMap<String, Gateway>) -> Decision {
    let named = |state| gateways.iter().filter(|(_, s)| **s == state).map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let (acknowledging, unreachable) = (named(Gateway::Holds), named(Gateway::Unknown));
    if acknowledging.is_empty() && unreachable.is_empty() {
        Decision::Release
    } else {
        Decision::Wait { acknowledging, unreachable }
    }
}

impl Decision {
    /// What a person reads while it waits.
    pub fn message(&self) -> String {
        let Self::Wait { acknowledging, unreachable } = self else { return String::new() };
        let mut parts = Vec::new();
        if !acknowledging.is_empty() {
            parts.push(format!("waiting for {} to cut the tunnels and acknowledge", acknowledging.join(", ")));
        }
        if !unreachable.is_empty() {
            let names = unreachable.join(", ");
            parts.push(format!("the operator has no control stream to {names}, which may still hold a tunnel; it goes on when the gateway is reached or its pod is deleted"));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gateway() -> impl Strategy<Value = Gateway> {
        prop_oneof![Just(Gateway::Holds), Just(Gateway::Unknown), Just(Gateway::Without)]
    }

    proptest! {
        /// A finalizer goes exactly when every gateway that exists is known to be without.
        #[test]
        fn no_finalizer_goes_before_the_last_tunnel(gateways in prop::collection::btree_map("[a-c]-[0-2]", gateway(), 0..5)) {
            let free = gateways.values().all(|g| *g == Gateway::Without);
            prop_assert_eq!(decide(&gateways) == Decision::Release, free);
        }
    }

    #[test]
    fn the_message_names_who_is_waited_for() {
        let gateways = BTreeMap::from([
            ("eu-gateway-0".to_owned(), Gateway::Holds),
            ("eu-gateway-1".to_owned(), Gateway::Unknown),
        ]);
        let message = decide(&gateways).message();
        assert!(message.contains("eu-gateway-0") && message.contains("eu-gateway-1"), "{message}");
    }
}
