//! `connect`: asks for a session, carries its bytes, and ends it, whatever happens in between.
//!
//! ```text
//!  wish ─▶ request ─▶ open ─▶ announce ─▶ carry (local port | standard streams) ─▶ end, outcome
//!                                            ▲ watch: is the session still open?
//! ```

mod local;
mod request;
mod stdio;
mod watch;

use std::io;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::Session;
use crate::cli::Wish;
use crate::door::Door;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{list, words};
use watch::{Over, Watch};

/// Why carrying stopped.
enum Stop {
    /// The engineer, or the program that uses us, is done.
    Done,
    /// It could not go on; the session is ours to end.
    Failed(Failure),
    /// The session is over already.
    Over(Over),
}

pub(crate) async fn run(door: &mut Door, wish: Wish, output: &Output) -> Result<(), Failure> {
    let request = request::of(door, &wish).await?;
    // Before the session: a port that is taken must not leave a session and its record behind.
    let listener = if wish.stdio { None } else { Some(local::listen(wish.listen).await?) };
    let asked_to_stop =
        signals().map_err(|source| Failure::Local { what: "cannot watch for signals".to_owned(), source })?;

    let answer = door.open(&request).await?;
    let session: Session = list::read(door, &answer)?;
    let watch = Watch::start(door.another(), session.id.clone());
    let stop = match listener {
        Some(listener) => match announce(&session, &answer, &listener, output) {
            Ok(()) => local::carry(&listener, &door.dialler(), &session.id, &watch, &asked_to_stop).await,
            Err(failure) => Stop::Failed(failure),
        },
        None => {
            output::say(&format!("session {} on {}, service {}", session.id, session.device, session.service));
            stdio::carry(&door.dialler(), &session.id, &watch, &asked_to_stop).await
        }
    };
    finish(door, &session, stop).await
}

/// Cancelled by Ctrl-C, by `kill`, and when the terminal or the ssh that started us goes.
fn signals() -> io::Result<CancellationToken> {
    let stopped = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, stopped) = (signal(kind)?, stopped.clone());
        tokio::spawn(async move {
            signals.recv().await;
            stopped.cancel();
        });
    }
    Ok(stopped)
}

fn announce(
    session: &Session,
    answer: &serde_json::Value,
    listener: &TcpListener,
    output: &Output,
) -> Result<(), Failure> {
    let address =
        listener.local_addr().map_err(|source| Failure::Local { what: "no local port".to_owned(), source })?;
    if !output.is_for_people() {
        return output.answer(&json!({ "listen": address, "session": answer }), String::new);
    }
    output.line(&format!(
        "session {} on {}, service {}\n  until {} at the latest; without traffic it ends after {}\n  listening on {address}",
        session.id,
        session.device,
        session.service,
        words::time(session.expires_at),
        words::length(session.idle_timeout_seconds),
    ))?;
    if let Some(command) = local::command(session, address) {
        output.line(&format!("\n  {command}\n"))?;
    }
    output.line("Ctrl-C ends the session.")
}

/// Ends the session if it is not over, and says how it went. A session that the other side ended a moment before keeps
/// its reason, so the answer tells the truth.
async fn finish(door: &mut Door, session: &Session, stop: Stop) -> Result<(), Failure> {
    let failure = match stop {
        Stop::Over(over) => return over.report(session),
        Stop::Done => None,
        Stop::Failed(failure) => Some(failure),
    };
    let ended = match door.end(&session.id).await {
        Ok(answer) => Over::Ended(Box::new(list::read(door, &answer)?)),
        Err(Failure::Answer { code, .. }) if code == "unknownSession" => Over::Forgotten,
        Err(error) => {
            let limit = words::length(session.idle_timeout_seconds);
            output::say(&format!("warning: session {} could not be ended: {}", session.id, error.chain()));
            output::say(&format!("  it ends by itself after {limit} without traffic; sallyportctl end {}", session.id));
            return Err(failure.unwrap_or(error));
        }
    };
    let how = ended.report(session);
    failure.map_or(how, Err)
}
