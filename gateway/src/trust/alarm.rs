//! Says early that a revocation list is about to end. What ends closes doors: nobody may come in on the strength of a
//! list that could hide a revocation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{ListState, Trust};
use crate::gateway::Gateway;

/// Between two looks; a list lives for hours at least.
const LOOK: Duration = Duration::from_secs(60);
/// Between two errors about the same thing.
const REPEAT: Duration = Duration::from_secs(3600);

/// What was said of which authority, and when.
type Said = BTreeMap<String, (ListState, Instant)>;

/// Logs an error for each authority, at most once in an hour, while its list is missing, has ended, or has less than a
/// third of its life left; the operator signs it anew when a third is over, so then something has been wrong for a third
/// of its life.
pub async fn watch_lists(gateway: Arc<Gateway>) {
    let mut trust = gateway.trust.watch();
    let mut said = Said::new();
    loop {
        let current = trust.borrow_and_update().clone();
        if let Some(trust) = current {
            look(&gateway, &trust, &mut said, Timestamp::now());
        }
        tokio::select! {
            changed = trust.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn look(gateway: &Gateway, trust: &Trust, said: &mut Said, now: Timestamp) {
    let first = trust.lists().iter().map(|list| list.list.next_update()).min();
    gateway.metrics.revocation_list_next_update.set(first.map_or(0, Timestamp::as_second));
    let mut counts = BTreeMap::new();
    for (authority, list) in trust.authorities() {
        let state = ListState::of(list, now);
        *counts.entry(state.label()).or_insert(0) += 1;
        if state == ListState::Current {
            said.remove(authority);
        } else if said.get(authority).is_none_or(|(last, at)| *last != state || at.elapsed() >= REPEAT) {
            said.insert(authority.to_owned(), (state, Instant::now()));
            complain(authority, state, list.map(|list| list.list.next_update()));
        }
    }
    said.retain(|authority, _| trust.authorities().any(|(known, _)| known == authority));
    for state in ListState::ALL.map(ListState::label) {
        gateway.metrics.revocation_lists.with_label_values(&[state]).set(counts.get(state).copied().unwrap_or(0));
    }
}

fn complain(authority: &str, state: ListState, ends: Option<Timestamp>) {
    let what = match state {
        ListState::Current => return,
        ListState::Ended => {
            "revocation list ended: doors for agents and peers are closed to certificates of this authority until the \
             operator sends another; compare the clocks of operator and gateway, and look at the CertificateAuthority"
        }
        ListState::Missing => {
            "no revocation list: doors for agents and peers are closed to certificates of this authority until the \
             operator sends one; look at the CertificateAuthority"
        }
        ListState::Overdue => {
            "revocation list is overdue: when it ends, doors for agents and peers close to certificates of this \
             authority; look at the operator"
        }
    };
    match ends {
        Some(ends) => tracing::error!(authority, %ends, "{what}"),
        None => tracing::error!(authority, "{what}"),
    }
}
