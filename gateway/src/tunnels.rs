//! The tunnels that this replica holds: at most one per endpoint.

mod live;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sallyport_core::name::EndpointId;
use tokio::sync::watch;

use crate::certificate::InUse;
use crate::store::InForce;
use crate::trust::Trust;

pub use live::LiveTunnel;
pub(crate) use live::TELL_AGAIN;

/// One process of an agent, and which of its tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProcess {
    /// Random, made at the process' start.
    pub instance: String,
    /// Number of the tunnel in that process.
    pub slot: String,
}

/// Whether a new tunnel of an endpoint may come in beside what is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing is there, or a ghost of the same tunnel.
    Admit,
    /// The same process already has a tunnel to this replica; it should reach another.
    Held,
    /// Another process with the same certificate has one: it is asked whether it lives, and if so this is a clone.
    AskTheOther,
}

/// Decides on a new tunnel by who holds one already.
pub fn admission(held: Option<&AgentProcess>, new: &AgentProcess) -> Admission {
    match held {
        None => Admission::Admit,
        Some(held) if held == new => Admission::Admit,
        Some(held) if held.instance == new.instance => Admission::Held,
        Some(_) => Admission::AskTheOther,
    }
}

/// All tunnels of this replica.
pub struct Tunnels {
    live: Mutex<BTreeMap<EndpointId, LiveTunnel>>,
    changed: watch::Sender<u64>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self { live: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Tunnels {
    /// The tunnel to an endpoint, if this replica holds one that takes streams.
    pub fn to(&self, endpoint: &EndpointId) -> Option<LiveTunnel> {
        self.lock().get(endpoint).filter(|live| !live.tunnel.is_draining()).cloned()
    }

    /// Registers a tunnel; one that was there for the same endpoint is closed. The number is for [`Tunnels::remove`].
    pub fn insert(&self, endpoint: EndpointId, mut live: LiveTunnel) -> u64 {
        let mut all = self.lock();
        let number = self.changed.borrow().wrapping_add(1);
        live.number = number;
        if let Some(old) = all.insert(endpoint, live) {
            old.tunnel.close("replaced by a newer tunnel of the same agent");
        }
        self.changed.send_replace(number);
        number
    }

    /// Forgets a tunnel that ended, unless a newer one took its place.
    pub fn remove(&self, endpoint: &EndpointId, number: u64) {
        let mut live = self.lock();
        if live.get(endpoint).is_some_and(|held| held.number == number) {
            live.remove(endpoint);
        }
        drop(live);
        self.tell();
    }

    /// Closes what the configuration does not allow and pushes changed offers.
    pub fn enforce(&self, in_force: &InForce) {
        for (endpoint, live) in self.all() {
            match in_force.config.endpoints.get(&endpoint) {
                None => live.cut("the endpoint was removed"),
                Some(config) if config.suspended => live.cut("the site is suspended"),
                Some(config) => {
                    let offer = config.offer.clone();
                    tokio::spawn(async move { live.push_offer(&endpoint, offer).await });
                }
            }
        }
    }

    /// Those that `trust` does not allow, each with the reason.
    pub fn untrusted(&self, trust: &Trust) -> Vec<(EndpointId, LiveTunnel, &'static str)> {
        let refused = |(endpoint, live): (EndpointId, LiveTunnel)| {
            let why = trust.allows(&live.certificate()).err()?;
            Some((endpoint, live, why))
        };
        self.all().into_iter().filter_map(refused).collect()
    }

    /// Hands an agent the announcement of trust, and remembers what it acknowledges.
    pub async fn announce(&self, endpoint: &EndpointId, live: &LiveTunnel, trust: &Arc<Trust>) {
        if live.push_trust(endpoint, trust).await {
            tracing::debug!(%endpoint, sequence = trust.sequence(), "trust acknowledged");
            self.tell();
        }
    }

    /// Another certificate counts for a tunnel from now on. False when it is the same as before.
    pub fn renewed(&self, live: &LiveTunnel, certificate: InUse) -> bool {
        let another = live.certificate.send_if_modified(|current| {
            let another = *current != certificate;
            *current = certificate;
            another
        });
        if another {
            self.tell();
        }
        another
    }

    /// Every tunnel, for reports and draining.
    pub fn all(&self) -> Vec<(EndpointId, LiveTunnel)> {
        self.lock().iter().map(|(endpoint, live)| (endpoint.clone(), live.clone())).collect()
    }

    /// To be told when a tunnel comes or goes, or what is reported of one changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|changed| *changed = changed.wrapping_add(1));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EndpointId, LiveTunnel>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconnect_beats_its_ghost_and_a_clone_is_noticed() {
        let process =
            |instance: &str, slot: &str| AgentProcess { instance: instance.to_owned(), slot: slot.to_owned() };
        let held = process("a", "0");
        assert_eq!(admission(None, &held), Admission::Admit);
        assert_eq!(admission(Some(&held), &process("a", "0")), Admission::Admit);
        assert_eq!(admission(Some(&held), &process("a", "1")), Admission::Held);
        assert_eq!(admission(Some(&held), &process("b", "0")), Admission::AskTheOther);
    }
}
