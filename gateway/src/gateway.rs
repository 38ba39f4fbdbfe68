//! What all parts of the process share.

use std::sync::Arc;

use futures::StreamExt as _;
use sallyport_audit::Event;
use sallyport_audit::event::CertificateRevoked;
use sallyport_core::name::{EndpointId, Name, SiteId};
use tokio::sync::watch;

use crate::audit::Audit;
use crate::certificate::InUse;
use crate::connections::Connections;
use crate::enrolments::Enrolments;
use crate::metrics::Metrics;
use crate::outer::{Refusals, Unknown};
use crate::peers::Peers;
use crate::place::Place;
use crate::queries::Queries;
use crate::readings;
use crate::sessions::{self, Sessions};
use crate::store::{InForce, Store};
use crate::trust::{Trust, TrustStore};
use crate::tunnels::Tunnels;

/// Records that wait for a sync together; the queue has room for everybody else.
const RECORDED_AT_ONCE: usize = 256;

/// The gateway's parts, made once in `main`.
pub struct Gateway {
    /// Where it stands.
    pub place: Place,
    /// The configuration in force.
    pub store: Store,
    /// The trust in force.
    pub trust: TrustStore,
    /// Its audit log.
    pub audit: Audit,
    /// Tunnels it holds.
    pub tunnels: Tunnels,
    /// Sessions it carries.
    pub sessions: Sessions,
    /// The other replicas.
    pub peers: Peers,
    /// Connections between replicas, to be cut.
    pub connections: Connections,
    /// Requests for endpoints' certificates.
    pub enrolments: Enrolments,
    /// Questions about archived records.
    pub queries: Queries,
    /// How often who reads may do so.
    pub reading: readings::Limits,
    /// Refused tunnels that were recorded.
    pub refusals: Refusals,
    /// Limits of those who have no certificate.
    pub unknown: Unknown,
    /// What it counts.
    pub metrics: Metrics,
    /// True once it was told to stop: nothing new is accepted.
    pub draining: watch::Sender<bool>,
}

impl Gateway {
    /// Whether nothing new is accepted.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Cuts everything that `in_force` does not allow, and returns when it is cut and recorded: only then is a
    /// configuration acknowledged. What is opened meanwhile checks the configuration again after it has registered itself.
    pub async fn enforce(self: &Arc<Self>, in_force: &InForce) {
        let withdrawn = self.sessions.withdraw_denied(in_force);
        self.tunnels.enforce(in_force);
        self.metrics.generation.set(i64::try_from(in_force.generation).unwrap_or(i64::MAX));
        sessions::all_ended(withdrawn).await;
    }

    /// Cuts everything that `trust` does not allow, and returns when it is cut and recorded: sessions first, so that their
    /// end says why, then at once tunnels and connections between replicas; what ends slowly, or is recorded slowly, keeps
    /// no revoked tunnel open. Requests over other connections from before are checked one by one.
    pub async fn enforce_trust(self: &Arc<Self>, trust: &Arc<Trust>) {
        let untrusted = self.tunnels.untrusted(trust);
        let withdrawn = self.sessions.withdraw_through(&untrusted);
        let revoked: Vec<_> = untrusted
            .iter()
            .map(|(endpoint, live, _)| (endpoint.clone(), live.certificate()))
            .filter(|(_, certificate)| trust.revokes(certificate))
            .collect();
        for (endpoint, live, why) in untrusted {
            tracing::warn!(%endpoint, from = %live.from, reason = why, "tunnel cut");
            self.metrics.tunnels_cut.inc();
            live.cut(why);
        }
        let connections = self.connections.enforce(trust);
        if connections > 0 {
            tracing::warn!(connections, "connections of other replicas cut: their certificates are no longer trusted");
        }
        sessions::all_ended(withdrawn).await;
        let recorded = revoked.into_iter().map(|(endpoint, certificate)| self.record_revoked(endpoint, certificate));
        futures::stream::iter(recorded).buffer_unordered(RECORDED_AT_ONCE).collect::<()>().await;
    }

    async fn record_revoked(&self, endpoint: EndpointId, certificate: InUse) {
        let site = self.site_of(&endpoint);
        let (serial, issuer) = (certificate.serial.as_str().into(), certificate.issuer.as_str().into());
        let event = Event::CertificateRevoked(CertificateRevoked { site, endpoint, serial, issuer });
        if let Err(error) = self.audit.append(event).await {
            tracing::error!(serial = certificate.serial, %error, "a revocation could not be recorded");
        }
    }

    /// Whose an endpoint is, if the configuration names it.
    pub fn site_of(&self, endpoint: &EndpointId) -> Option<SiteId> {
        self.store.current().config.endpoints.get(endpoint).map(|endpoint| endpoint.site.clone())
    }

    /// The other replicas, by name.
    pub fn peer_names(&self) -> Vec<Name> {
        let config = self.store.current().config;
        config.settings.gateways.iter().filter(|name| **name != self.place.gateway).cloned().collect()
    }
}
