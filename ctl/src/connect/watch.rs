//! Whether the session is still open. Bytes that stop do not say why; the gateway does.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::api::Session;
use crate::door::Door;
use crate::failure::Failure;
use crate::{list, output, words};

/// Often enough that a person at a dead terminal learns why before they wonder; 43,200 small requests a day at most.
const EVERY: Duration = Duration::from_secs(2);

/// How a session was over.
#[derive(Clone, Debug)]
pub(crate) enum Over {
    /// The gateway says why.
    Ended(Box<Session>),
    /// The gateway does not know it any more.
    Forgotten,
}

/// Asks in the background until the session is over.
pub(crate) struct Watch {
    over: watch::Receiver<Option<Over>>,
    look: Arc<Notify>,
    task: AbortHandle,
}

impl Watch {
    pub(crate) fn start(door: Door, id: String) -> Self {
        let (told, over) = watch::channel(None);
        let look = Arc::new(Notify::new());
        let nudged = Arc::clone(&look);
        let task = tokio::spawn(async move {
            let over = until_over(door, &id, &nudged).await;
            // Nobody listens any more: then nobody needs to know.
            let _ = told.send(Some(over));
        });
        Self { over, look, task: task.abort_handle() }
    }

    /// Looks now instead of at the next turn.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// Returns when the session is over.
    pub(crate) async fn over(&self) -> Over {
        match self.over.clone().wait_for(Option::is_some).await.map(|over| over.clone()) {
            Ok(Some(over)) => over,
            // The task lives as long as `self`.
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn until_over(mut door: Door, id: &str, look: &Notify) -> Over {
    let mut warned = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = look.notified() => {}
        }
        match door.session(id).await.and_then(|answer| list::read::<Session>(&door, &answer)) {
            Ok(session) if session.is_over() => return Over::Ended(Box::new(session)),
            Ok(_) => warned = false,
            Err(Failure::Answer { code, .. }) if code == "unknownSession" || code == "sessionEnded" => {
                return Over::Forgotten;
            }
            // The session may well go on: its streams have connections of their own.
            Err(failure) if !warned => {
                warned = true;
                output::say(&format!("warning: cannot ask about the session: {}", failure.chain()));
            }
            Err(_) => {}
        }
    }
}

impl Over {
    /// Says how it went. That it ended is a failure, unless the engineer ended it.
    pub(crate) fn report(self, opened: &Session) -> Result<(), Failure> {
        match self {
            Self::Ended(session) => {
                let id = session.id.clone();
                output::say(&format!("session {id} ended {}", words::outcome(&session, Timestamp::now())));
                match session.end_reason.as_deref() {
                    Some("endedByEngineer") => Ok(()),
                    _ => Err(Failure::SessionEnded { id, why: words::end_reason(&session) }),
                }
            }
            Self::Forgotten => {
                let why = "its gateway does not know it any more; it was restarted, or the session ended long ago";
                Err(Failure::SessionEnded { id: opened.id.clone(), why: why.to_owned() })
            }
        }
    }
}
