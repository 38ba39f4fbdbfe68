//! Stopping: tunnels move first, live sessions get their grace, then everything ends with a record.

use std::sync::Arc;

use sallyport_core::session::EndReason;

use crate::gateway::Gateway;

/// Stops taking anything new, moves the agents, waits for the sessions within the region's grace, ends the rest.
pub async fn drain(gateway: &Arc<Gateway>) {
    gateway.draining.send_replace(true);
    let tunnels = gateway.tunnels.all();
    tracing::info!(tunnels = tunnels.len(), sessions = gateway.sessions.live().len(), "draining");
    let told = tunnels.into_iter().map(|(endpoint, live)| async move {
        if let Err(error) = live.tunnel.drain().await {
            tracing::info!(%endpoint, %error, "the agent could not be told to move");
        }
    });
    let grace = gateway.store.current().config.settings.drain_grace;
    let sessions_end = async {
        futures::future::join_all(told).await;
        let mut count = gateway.sessions.count();
        // An error would mean that the registry is gone, and with it every session.
        let _ = count.wait_for(|open| *open == 0).await;
    };
    if tokio::time::timeout(grace, sessions_end).await.is_err() {
        tracing::warn!(sessions = gateway.sessions.live().len(), "grace is over; ending sessions");
    }
    gateway.sessions.end_all(EndReason::GatewayStopping).await;
    for (_, live) in gateway.tunnels.all() {
        live.tunnel.close("this gateway stops");
    }
    tracing::info!("drained");
}
