//! Says early that a revocation list is about to end. What ends closes doors: nobody may come in on the strength of a
//! list that could hide a revocation.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::List;
use crate::gateway::Gateway;

/// Between two looks; a list lives for hours at least.
const LOOK: Duration = Duration::from_secs(60);
/// Between two errors about the same thing.
const REPEAT: Duration = Duration::from_secs(3600);

/// Logs an error, at most once in an hour, while a list has less than a third of its life left; the operator signs it
/// anew when a third is over, so then something has been wrong for a third of its life.
pub async fn watch_lists(gateway: Arc<Gateway>) {
    let mut trust = gateway.trust.watch();
    let mut said: Option<Instant> = None;
    loop {
        let current = trust.borrow_and_update().clone();
        if let Some(list) = current.as_ref().and_then(|trust| trust.first_to_end()) {
            let now = Timestamp::now();
            gateway.metrics.revocation_list_next_update.set(list.list.next_update().as_second());
            if list.is_overdue(now) {
                if said.is_none_or(|said| said.elapsed() >= REPEAT) {
                    said = Some(Instant::now());
                    complain(list, now);
                }
            } else {
                said = None;
            }
        }
        tokio::select! {
            changed = trust.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn complain(list: &List, now: Timestamp) {
    let (authority, ends) = (&list.issuer, list.list.next_update());
    let what = match ends <= now {
        true => "revocation list ended: doors for agents and peers are closed until the operator sends another",
        false => "revocation list is overdue: when it ends, doors for agents and peers close; look at the operator",
    };
    tracing::error!(authority, %ends, "{what}");
}
