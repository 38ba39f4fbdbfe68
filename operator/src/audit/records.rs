//! What is known of one region's records, and the ways to its gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_audit::tlog::note::Signer;
use sallyport_audit::{Event, Incarnation, Keeper, Person, Scope};
use sallyport_core::name::{Name, RegionId, SiteId};
use sallyport_plan::audit::facts::{Archive as Reach, AuditFacts, Evidence, Paced, SiteAuditFacts, SiteLog, Urgency};
use sallyport_plan::catalogue::ObjectKey;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use super::archive::Archive;
use super::collect::state::State;

/// An archive and the key that signs what is put into it.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) archive: Arc<Archive>,
    pub(crate) signer: Arc<Signer>,
}

/// What is known of one region's records.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) key: ObjectKey,
    pub(crate) id: RegionId,
    known: Mutex<Known>,
    open: watch::Sender<Option<Open>>,
    /// Held by who changes a person's keys.
    pub(crate) persons: AsyncMutex<()>,
    /// Held by who changes a checkpoint.
    pub(crate) checkpoints: AsyncMutex<()>,
    /// Held by who stores a batch of this gateway.
    storing: Mutex<BTreeMap<Name, Arc<AsyncMutex<()>>>>,
    writers: Mutex<BTreeMap<Name, mpsc::Sender<Write>>>,
}

#[derive(Debug, Default)]
struct Known {
    facts: AuditFacts,
    states: BTreeMap<Keeper, State>,
    /// Gateways and incarnations of which something did not fit.
    suspects: BTreeSet<(String, String)>,
    shown: Paced<AuditFacts>,
    /// Whether it is known how the archive is: before that status stays as it was.
    heard: bool,
    sites: BTreeMap<ObjectKey, Site>,
    /// When the region is to be looked at.
    due: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Site {
    delivery: Delivery,
    shown: Paced<SiteAuditFacts>,
}

/// What came of sending checkpoints to a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) last: Option<Timestamp>,
    pub(crate) failed: Option<String>,
}

/// An act that is to be recorded by a gateway.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) event: Event<Person>,
    pub(crate) done: oneshot::Sender<Result<Written, WriteError>>,
}

/// Where an act stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) incarnation: Incarnation,
    pub(crate) sequence: u64,
}

/// A gateway writes a record within milliseconds; one that does not is asked no more.
const PATIENCE: Duration = Duration::from_secs(10);

impl Records {
    pub(crate) fn new(key: ObjectKey, id: RegionId) -> Self {
        Self {
            key,
            id,
            known: Mutex::default(),
            open: watch::Sender::new(None),
            persons: AsyncMutex::new(()),
            checkpoints: AsyncMutex::new(()),
            storing: Mutex::default(),
            writers: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The archive can be written from now on.
    pub(crate) fn opened(&self, open: Open) {
        let verifier_key = open.signer.verifier_key().to_string();
        self.open.send_replace(Some(open));
        self.update(|facts| facts.verifier_key = Some(verifier_key));
        self.reach(Reach::Ready);
    }

    /// Waits until the archive can be written.
    pub(crate) async fn open(&self) -> Open {
        let mut open = self.open.subscribe();
        loop {
            if let Some(open) = open.borrow_and_update().clone() {
                return open;
            }
            if open.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Changes what is known.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut AuditFacts) -> T) -> T {
        change(&mut self.known().facts)
    }

    /// The archive answered, or did not. Before that is known status stays as it was.
    pub(crate) fn reach(&self, reach: Reach) {
        let mut known = self.known();
        known.heard = true;
        known.facts.archive = reach;
    }

    /// Something that did not fit was stored: nothing more is collected of that incarnation.
    pub(crate) fn found(&self, evidence: Evidence) {
        self.known().suspects.insert((evidence.gateway.clone(), evidence.incarnation.clone()));
        self.says(evidence);
    }

    /// Somebody else says that a log does not fit. A witness is not ours: it can raise the alarm, and stop nothing.
    pub(crate) fn says(&self, evidence: Evidence) {
        let about = |found: &Evidence| found.what.split(": ").next().map(str::to_owned);
        let same = |found: &Evidence| {
            (&found.gateway, &found.incarnation, found.kind, about(found))
                == (&evidence.gateway, &evidence.incarnation, evidence.kind, about(&evidence))
        };
        let mut known = self.known();
        // The same thing in other numbers is not said again.
        if !known.facts.evidence.iter().any(same) {
            known.facts.evidence.push(evidence);
        }
    }

    /// Whether something of this incarnation did not fit.
    pub(crate) fn is_suspect(&self, keeper: &Keeper) -> bool {
        self.known().suspects.contains(&(keeper.gateway.to_string(), keeper.incarnation.to_string()))
    }

    /// What is archived of an incarnation.
    pub(crate) fn archived(&self, keeper: &Keeper, state: &State) {
        self.known().states.insert(keeper.clone(), state.clone());
    }

    /// What is archived of all incarnations.
    pub(crate) fn states(&self) -> BTreeMap<Keeper, State> {
        self.known().states.clone()
    }

    /// The incarnations of one gateway that are archived.
    pub(crate) fn states_of(&self, gateway: &Name) -> BTreeMap<Keeper, State> {
        let known = self.known();
        let of = known.states.iter().filter(|(keeper, _)| keeper.gateway == *gateway);
        of.map(|(keeper, state)| (keeper.clone(), state.clone())).collect()
    }

    /// Held by who stores a batch of a gateway: a task that was left alone finishes before the next one begins.
    pub(crate) fn storing(&self, gateway: &Name) -> Arc<AsyncMutex<()>> {
        self.storing.lock().unwrap_or_else(PoisonError::into_inner).entry(gateway.clone()).or_default().clone()
    }

    /// What status shows. What changes with every record is shown once a minute, what somebody must know at once.
    pub(crate) fn shown(&self, now: Timestamp) -> Option<AuditFacts> {
        let mut known = self.known();
        if !known.heard {
            return None;
        }
        let facts = known.facts.clone();
        let urgency = urgency(known.shown.shown(), &facts);
        known.shown.settle(now);
        known.due = known.shown.offer(facts, urgency, now);
        known.shown.shown().cloned()
    }

    /// Whether status would show something else now. Asked once a second; a region is looked at only then.
    pub(crate) fn is_news(&self, now: Timestamp) -> bool {
        let mut known = self.known();
        let differs = known.heard && known.shown.shown() != Some(&known.facts);
        let urgent = urgency(known.shown.shown(), &known.facts) == Urgency::Now;
        let due = known.due.is_none_or(|due| due <= now);
        if differs && (urgent || due) {
            known.due = None;
            return true;
        }
        false
    }

    /// What status shows of a site.
    pub(crate) fn site_shown(&self, site: &ObjectKey, now: Timestamp) -> Option<SiteAuditFacts> {
        let mut known = self.known();
        if !known.heard {
            return None;
        }
        let logs = known.states.iter().flat_map(|(keeper, state)| site_logs(keeper, state, site)).collect();
        let shown = known.sites.entry(site.clone()).or_default();
        let Delivery { last, failed } = shown.delivery.clone();
        let facts = SiteAuditFacts { logs, last_delivered: last, failed };
        let urgent = shown.shown.shown().is_none_or(|shown| shown.failed != facts.failed);
        shown.shown.settle(now);
        shown.shown.offer(facts, if urgent { Urgency::Now } else { Urgency::Paced }, now);
        shown.shown.shown().cloned()
    }

    /// Notes what came of a delivery.
    pub(crate) fn delivered(&self, site: &ObjectKey, change: impl FnOnce(&mut Delivery)) {
        change(&mut self.known().sites.entry(site.clone()).or_default().delivery);
    }

    /// A gateway takes acts to record, until the receiver is dropped.
    pub(crate) fn takes_writes(&self, gateway: &Name) -> mpsc::Receiver<Write> {
        /// Acts are rare.
        const WAITING: usize = 16;
        let (sender, receiver) = mpsc::channel(WAITING);
        self.writers().insert(gateway.clone(), sender);
        receiver
    }

    /// Gateways that take acts to record.
    pub(crate) fn attached(&self) -> Vec<Name> {
        self.writers().iter().filter(|(_, writer)| !writer.is_closed()).map(|(name, _)| name.clone()).collect()
    }

    /// Has an act recorded by any gateway but `avoid`, or by that one if there is no other.
    pub(crate) async fn write(&self, event: Event<Person>, avoid: Option<&Name>) -> Result<Written, WriteError> {
        let mut gateways = self.attached();
        gateways.sort_by_key(|gateway| Some(gateway) == avoid);
        let mut last = WriteError::NobodyThere;
        for gateway in gateways {
            match self.write_to(&gateway, event.clone()).await {
                Ok(written) => return Ok(written),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Has an act recorded by one gateway.
    pub(crate) async fn write_to(&self, gateway: &Name, event: Event<Person>) -> Result<Written, WriteError> {
        let writer = self.writers().get(gateway).cloned().ok_or(WriteError::NobodyThere)?;
        let (done, written) = oneshot::channel();
        let asked = async {
            writer.send(Write { event, done }).await.map_err(|_| WriteError::NobodyThere)?;
            written.await.map_err(|_| WriteError::NobodyThere)?
        };
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| WriteError::NoAnswer)?
    }

    fn writers(&self) -> MutexGuard<'_, BTreeMap<Name, mpsc::Sender<Write>>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn urgency(shown: Option<&AuditFacts>, facts: &AuditFacts) -> Urgency {
    let Some(shown) = shown else { return Urgency::Now };
    let gateways = facts
        .gateways
        .iter()
        .any(|(name, log)| shown.gateways.get(name).is_none_or(|shown| log.differs_gravely(shown)));
    let rest = |facts: &AuditFacts| {
        (facts.verifier_key.clone(), facts.archive.clone(), facts.evidence.clone(), facts.erased.clone())
    };
    if gateways || rest(shown) != rest(facts) { Urgency::Now } else { Urgency::Paced }
}

fn site_logs(keeper: &Keeper, state: &State, site: &ObjectKey) -> Option<SiteLog> {
    let scope = Scope::Site(SiteId::parse(&site.namespace, &site.name).ok()?);
    let log = state.journal.logs.get(&scope)?;
    Some(SiteLog {
        gateway: keeper.gateway.to_string(),
        incarnation: keeper.incarnation.to_string(),
        size: log.tree.size(),
        checkpoint_at: log.at,
    })
}

/// Why an act is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// It said nothing in time.
    #[error("the gateway did not say that it recorded the act")]
    NoAnswer,
    /// None is attached.
    #[error("no gateway is there to record the act")]
    NobodyThere,
    /// It could not.
    #[error("the gateway did not record the act: {0}")]
    Refused(String),
}
