//! Collecting one gateway's journal, beside its control stream and on the same connection.
//!
//! ```text
//!  which incarnations? ─▶ Collect ─▶ Batch ─▶ verify ─▶ store ─▶ Archived, and again
//!                                       └─ does not fit ─▶ evidence; waits for spec.audit.acceptedForks
//! ```

pub(crate) mod evidence;
mod session;
pub(crate) mod state;
pub(crate) mod store;
mod take;
pub(crate) mod verify;

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_core::name::{Name, RegionId};
use sallyport_plan::catalogue::ObjectKey;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::context::Shared;
use session::{Collector, EndError};

/// Waits between attempts on one connection, jittered.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A stream that lived this long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// Collects for as long as it is polled. Never ends, whatever happens to the stream.
pub(crate) async fn beside(
    ctx: &Shared,
    region: &ObjectKey,
    id: &RegionId,
    pod: &Name,
    channel: Channel,
) -> Infallible {
    let records = ctx.audit.region(region, id);
    let (mut wait, mut said) = (FIRST_WAIT, String::new());
    loop {
        let open = records.open().await;
        let began = Instant::now();
        let collector = Collector { ctx: ctx.clone(), records: records.clone(), open, pod: pod.clone() };
        let EndError { reason } = collector.hold(channel.clone()).await;
        // Whatever is recorded now is not collected. Should it stay so, status will say it.
        records.update(|facts| {
            let gateway = facts.gateways.entry(pod.to_string()).or_default();
            gateway.behind_since.get_or_insert_with(Timestamp::now);
        });
        if began.elapsed() >= GOOD {
            wait = FIRST_WAIT;
        }
        if said != reason {
            tracing::info!(region = %region, gateway = %pod, reason, "audit records are not collected");
            said = reason;
        }
        tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

#[cfg(test)]
pub(crate) mod tests;
