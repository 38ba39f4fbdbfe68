//! The sessions that this replica carries: opened here, driven by one task each, looked up by id.

mod driver;
mod open;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_audit::event::Denial;
use sallyport_core::access::{Denied, decide};
use sallyport_core::config::{Protocol, RegionConfig};
use sallyport_core::engineer::UserId;
use sallyport_core::name::EndpointId;
use sallyport_core::session::EndReason;
use sallyport_pki::bundle::TrustBundle;
use tokio::sync::watch;

use crate::passage::Passage;
use crate::store::InForce;
use crate::tunnels::LiveTunnel;

pub use open::{OpenRefused, open};
pub use view::SessionView;

/// A session that is or was open on this replica.
pub struct LiveSession {
    /// `ORDINAL-RANDOM`.
    pub id: String,
    /// Its passage.
    pub passage: Passage,
    /// What is spoken.
    pub protocol: Protocol,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Without traffic it ends after this long.
    pub idle: Duration,
    /// The engineers' authorities that were trusted when it was opened.
    authorities: TrustBundle,
    /// Why it was withdrawn, in words; set before `end`, so that whoever sees the end sees them too.
    detail: OnceLock<String>,
    /// The decision's code, when it was withdrawn by the decision; set before `end` too.
    denial: OnceLock<Denial>,
    end: watch::Sender<Option<EndReason>>,
    over: watch::Sender<Option<EndReason>>,
}

impl LiveSession {
    /// As [`LiveSession::end`], because the configuration or the trust does not allow it any more, with what changed in
    /// words for both ends.
    pub fn withdraw(&self, why: &str) {
        if self.end.borrow().is_none() {
            // A second reason, at the same moment, adds nothing.
            let _ = self.detail.set(why.to_owned());
        }
        self.end(EndReason::Withdrawn);
    }

    /// As [`LiveSession::withdraw`], because the decision is another now.
    pub fn deny(&self, denied: &Denied) {
        if self.end.borrow().is_none() {
            let _ = self.denial.set(denied.into());
        }
        self.withdraw(&denied.to_string());
    }

    /// What [`LiveSession::deny`] was told.
    pub fn denial(&self) -> Option<Denial> {
        self.denial.get().copied()
    }

    /// What [`LiveSession::withdraw`] was told.
    pub fn detail(&self) -> Option<&str> {
        self.detail.get().map(String::as_str)
    }

    /// Asks it to end; the first reason stays. No byte passes after this returns.
    pub fn end(&self, reason: EndReason) {
        self.passage.cut();
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            if first {
                *end = Some(reason);
            }
            first
        });
    }

    /// Why it ended, once both legs are closed and the end is recorded.
    pub fn ended(&self) -> Option<EndReason> {
        self.over.borrow().clone()
    }

    /// Waits for that.
    pub async fn wait_ended(&self) -> EndReason {
        let mut over = self.over.subscribe();
        match over.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(EndReason::EndedByEngineer),
            Err(_) => EndReason::GatewayStopping,
        }
    }

    /// Whose it is.
    pub fn user(&self) -> &UserId {
        &self.passage.permit().authorised().engineer().user
    }
}

/// Waits until both legs of each are closed and its end is recorded.
pub async fn all_ended(sessions: Vec<Arc<LiveSession>>) {
    for session in sessions {
        session.wait_ended().await;
    }
}

/// Why a session through a tunnel ends that is not trusted any more.
fn through(endpoint: &EndpointId, why: &str) -> String {
    format!("endpoint {endpoint}: {why}")
}

/// The engineers' authorities of a configuration; unreadable ones are none.
pub fn authorities(config: &RegionConfig) -> TrustBundle {
    TrustBundle::from_pem(&config.settings.engineer_authorities).unwrap_or_else(|_| TrustBundle::empty())
}

/// All sessions of this replica; ended ones are kept for a while so that their end can be told.
pub struct Sessions {
    all: Mutex<BTreeMap<String, Arc<LiveSession>>>,
    changed: watch::Sender<u32>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { all: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

/// Most ended sessions that are remembered: bounds memory (invariant I10).
const REMEMBERED: usize = 256;

impl Sessions {
    /// By id, and only for the engineer whose it is: to others it does not exist.
    pub fn of(&self, user: &UserId, id: &str) -> Option<Arc<LiveSession>> {
        self.lock().get(id).filter(|session| session.user() == user).cloned()
    }

    /// All of an engineer's, the newest first.
    pub fn all_of(&self, user: &UserId) -> Vec<Arc<LiveSession>> {
        let mut mine: Vec<_> = self.lock().values().filter(|session| session.user() == user).cloned().collect();
        mine.sort_by_key(|session| std::cmp::Reverse(session.opened_at));
        mine
    }

    /// Sessions that are open.
    pub fn live(&self) -> Vec<Arc<LiveSession>> {
        self.lock().values().filter(|session| session.ended().is_none()).cloned().collect()
    }

    /// Ends what the configuration no longer allows: the same decision as at the beginning, taken again for each. No byte of
    /// them passes after this returns; their ends are for [`all_ended`] to wait for.
    #[must_use = "they have not ended yet"]
    pub fn withdraw_denied(&self, in_force: &InForce) -> Vec<Arc<LiveSession>> {
        let now = Timestamp::now();
        let trusted = authorities(&in_force.config);
        let mut cut = Vec::new();
        for session in self.live() {
            let authorised = session.passage.permit().authorised();
            let again = decide(&in_force.config, authorised.engineer(), authorised.request(), now);
            let why = match again {
                Err(denied) => {
                    tracing::info!(
                        session = %session.id, device = %authorised.device(), reason = %denied, "session withdrawn"
                    );
                    session.deny(&denied);
                    cut.push(session);
                    continue;
                }
                Ok(again) if again.endpoint() != authorised.endpoint() => "the device moved".to_owned(),
                // Which of them vouched for this engineer is not remembered, so the loss of one ends all.
                Ok(_) if !session.authorities.certificates().all(|authority| trusted.contains(&authority)) => {
                    "an engineers' authority is no longer trusted".to_owned()
                }
                Ok(_) => continue,
            };
            tracing::info!(session = %session.id, device = %authorised.device(), reason = %why, "session withdrawn");
            session.withdraw(&why);
            cut.push(session);
        }
        cut
    }

    /// Ends the sessions through tunnels that are about to be cut, likewise.
    #[must_use = "they have not ended yet"]
    pub fn withdraw_through(&self, tunnels: &[(EndpointId, LiveTunnel, &'static str)]) -> Vec<Arc<LiveSession>> {
        let mut cut = Vec::new();
        let whys: BTreeMap<_, _> = tunnels.iter().map(|(endpoint, _, why)| (endpoint, why)).collect();
        for session in self.live() {
            let endpoint = session.passage.permit().authorised().endpoint();
            if let Some(why) = whys.get(endpoint) {
                tracing::info!(session = %session.id, %endpoint, reason = why, "session withdrawn");
                session.withdraw(&through(endpoint, why));
                cut.push(session);
            }
        }
        cut
    }

    /// Ends every session.
    pub async fn end_all(&self, reason: EndReason) {
        let live = self.live();
        live.iter().for_each(|session| session.end(reason.clone()));
        all_ended(live).await;
    }

    /// The number of open sessions, and to be told when it changes.
    pub fn count(&self) -> watch::Receiver<u32> {
        self.changed.subscribe()
    }

    fn insert(&self, session: Arc<LiveSession>) {
        self.lock().insert(session.id.clone(), session);
        self.recount();
    }

    /// Called when one is over: tells the new count and forgets the oldest ended ones.
    fn recount(&self) {
        let mut all = self.lock();
        let mut ended: Vec<_> =
            all.values().filter(|s| s.ended().is_some()).map(|s| (s.opened_at, s.id.clone())).collect();
        let open = all.len() - ended.len();
        ended.sort();
        for (_, id) in ended.iter().take(ended.len().saturating_sub(REMEMBERED)) {
            all.remove(id);
        }
        drop(all);
        self.changed.send_replace(u32::try_from(open).unwrap_or(u32::MAX));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<LiveSession>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
