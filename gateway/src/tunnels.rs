//! The tunnels that this replica holds: at most one per endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_core::name::EndpointId;
use sallyport_tunnel::{PushError, Tunnel};
use tokio::sync::watch;

use crate::store::InForce;

/// A tunnel with what is known of its agent.
#[derive(Clone)]
pub struct LiveTunnel {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// Which process of the agent dialled it.
    pub agent: AgentProcess,
    /// Since when.
    pub since: Timestamp,
    /// From where.
    pub from: SocketAddr,
    /// The agent's version, as it says.
    pub agent_version: String,
    number: u64,
}

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
        let number = self.changed.borrow().wrapping_add(1);
        live.number = number;
        if let Some(old) = self.lock().insert(endpoint, live) {
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
        self.changed.send_modify(|changed| *changed = changed.wrapping_add(1));
    }

    /// Closes what the configuration does not allow and pushes changed offers.
    pub fn enforce(&self, in_force: &InForce) {
        for (endpoint, live) in self.all() {
            match in_force.config.endpoints.get(&endpoint) {
                None => live.tunnel.close("the endpoint was removed"),
                Some(config) if config.suspended => live.tunnel.close("the site is suspended"),
                Some(config) => live.push_offer(endpoint, config.offer.clone()),
            }
        }
    }

    /// Every tunnel, for reports and draining.
    pub fn all(&self) -> Vec<(EndpointId, LiveTunnel)> {
        self.lock().iter().map(|(endpoint, live)| (endpoint.clone(), live.clone())).collect()
    }

    /// To be told when a tunnel comes or goes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EndpointId, LiveTunnel>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveTunnel {
    /// A tunnel that was just established.
    pub fn new(tunnel: Tunnel, agent: AgentProcess, from: SocketAddr, agent_version: String, since: Timestamp) -> Self {
        Self { tunnel, agent, since, from, agent_version, number: 0 }
    }

    /// Hands the agent its offer. An agent that refuses it keeps the one it has, which is at worst narrower.
    pub fn push_offer(&self, endpoint: EndpointId, offer: Vec<u8>) {
        let tunnel = self.tunnel.clone();
        tokio::spawn(async move {
            match tunnel.push_offer(offer.into()).await {
                Ok(()) => tracing::debug!(%endpoint, "offer taken"),
                Err(PushError::Closed(_)) => {}
                Err(error) => tracing::warn!(%endpoint, %error, "offer not taken"),
            }
        });
    }

    /// Whether the agent behind this tunnel answers. A tunnel is asked when another process claims its endpoint.
    pub async fn answers(&self, offer: Vec<u8>) -> bool {
        /// Enough for any live line; the new agent waits meanwhile.
        const PATIENCE: Duration = Duration::from_secs(3);
        let answer = tokio::time::timeout(PATIENCE, self.tunnel.push_offer(offer.into())).await;
        matches!(answer, Ok(Ok(()) | Err(PushError::Refused(_))))
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
