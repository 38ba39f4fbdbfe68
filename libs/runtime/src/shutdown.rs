//! One token that everything of a process watches.

use std::io;

use tokio::signal::unix::{SignalKind, signal as on_signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled on SIGTERM or SIGINT. Must be called inside a tokio runtime.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn signal() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (on_signal(SignalKind::terminate())?, on_signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = cancelled.cancelled() => return,
        };
        tracing::info!(signal = name, "stopping");
        cancelled.cancel();
    });
    Ok(token)
}
