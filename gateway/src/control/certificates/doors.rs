//! Bringing the doors in line with certificates, trust and configuration.

use std::sync::Arc;

use jiff::Timestamp;
use sallyport_control::wire::Purpose;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use sallyport_runtime::tls::{self, ClientAuth, KeyMaterial};

use super::{Certificates, PURPOSES, State};
use crate::peers::PeerTls;
use crate::trust::Trust;

impl Certificates {
    /// Brings the doors in line. A door whose parts are incomplete stays as it is; a door that was never complete is
    /// closed. Doors for agents and peers are closed until there is trust, and while they are held after a start; peers are
    /// not dialled either, because engineers' authorities may be old too.
    pub fn refresh(&self) {
        let state = self.lock();
        let trust = self.gateway.trust.current();
        self.open_control(&state);
        let usable = trust.as_deref().filter(|_| state.hold.is_over());
        match (usable, state.material(Purpose::Peer)) {
            (Some(trust), Some(peer)) => {
                let clients = ClientAuth::Checked { trust: trust.bundle(), lists: trust.lists_der() };
                set_or_close("peer", &self.doors.peer, tls::server(&peer, clients, &[b"http/1.1"]));
                self.gateway.peers.use_tls(PeerTls { material: peer, trust: trust.bundle().clone() });
            }
            _ => self.doors.peer.close(),
        }
        match (usable, state.material(Purpose::OuterDoor)) {
            (Some(trust), Some(outer)) => {
                // Optional, because an endpoint without a certificate asks for one here.
                let clients = ClientAuth::CheckedIfShown { trust: trust.bundle(), lists: trust.lists_der() };
                set_or_close("outer", &self.doors.outer, tls::server(&outer, clients, &[b"http/1.1"]));
            }
            _ => self.doors.outer.close(),
        }
        if let Some(inner) = state.material(Purpose::InnerDoor) {
            self.open_inner(&inner);
        }
        self.tell(&state, trust.as_deref());
    }

    /// The operator is let in by what is in force and by what is mounted: the one may be older than a whole rotation,
    /// the other lags minutes behind. Without revocation lists, because it is the operator who brings them: a list that
    /// ended while it was away must not keep it out.
    fn open_control(&self, state: &State) {
        let published = state.published();
        let peer = state.material(Purpose::Peer);
        let own = state.mounted.for_control(peer.as_ref(), &published, Timestamp::now());
        let trusted = published.union(&self.in_force());
        set("control", &self.doors.control, tls::server(own, ClientAuth::Required(&trusted), &[b"h2"]));
    }

    /// Engineers' authorities that cannot be read admit nobody: an unreadable policy is never the default.
    fn open_inner(&self, inner: &KeyMaterial) {
        let pem = &self.gateway.store.current().config.settings.engineer_authorities;
        let config = TrustBundle::from_pem(pem)
            .map_err(|error| error.to_string())
            .and_then(|bundle| if bundle.is_empty() { Err("there are none".to_owned()) } else { Ok(bundle) })
            .and_then(|bundle| {
                tls::server(inner, ClientAuth::Required(&bundle), &[b"http/1.1"]).map_err(|error| error.to_string())
            });
        match config {
            Ok(config) => self.doors.inner.replace(config),
            Err(error) => {
                self.doors.inner.close();
                tracing::error!(error, "inner door closed: the engineers' authorities are unusable");
            }
        }
    }

    fn tell(&self, state: &State, trust: Option<&Trust>) {
        let missing: Vec<&str> = PURPOSES
            .iter()
            .filter(|(purpose, _)| !state.held.iter().any(|(p, _)| p == purpose))
            .map(|(_, name)| *name)
            .collect();
        for (purpose, name) in PURPOSES {
            let end =
                state.material(purpose).and_then(|m| inspect::validity(&m.leaf().ok()?).ok()).map(|v| v.not_after);
            let gauge = self.gateway.metrics.certificates_not_after.with_label_values(&[name]);
            gauge.set(end.map_or(0, Timestamp::as_second));
        }
        if self.gateway.store.current().generation == 0 {
            self.ready.unmet("no configuration yet: the operator has not attached");
        } else if trust.is_none() {
            self.ready.unmet("no trust with revocation lists yet");
        } else if let Some(waits_for) = state.hold.waits_for() {
            let hold = self.gateway.place.hold.as_secs();
            self.ready.unmet(&format!(
                "doors for agents and peers are held: waiting for an operator to say which {waits_for} counts now, for \
                 {hold} s after the start at most"
            ));
        } else if missing.is_empty() {
            // A list that ends later does not take this back: it closes the doors that need it, and the inner door, which
            // readiness would close too, is none of them.
            self.ready.met();
        } else {
            self.ready.unmet(&format!("certificates are missing: {}", missing.join(", ")));
        }
    }
}

fn set(name: &str, door: &tls::Door, config: Result<Arc<rustls::ServerConfig>, tls::TlsError>) {
    match config {
        Ok(config) => door.replace(config),
        Err(error) => tracing::error!(door = name, %error, "a door keeps its configuration: the new one is unusable"),
    }
}

/// For a door whose configuration says who is revoked: with an old one it would let them in.
fn set_or_close(name: &str, door: &tls::Door, config: Result<Arc<rustls::ServerConfig>, tls::TlsError>) {
    match config {
        Ok(config) => door.replace(config),
        Err(error) => {
            door.close();
            tracing::error!(door = name, %error, "door closed: its certificate, authorities or revocation lists are unusable");
        }
    }
}
