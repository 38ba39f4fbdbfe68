//! The gateway's own keys and certificates. Keys are made here and never leave the volume; certificates are asked for
//! over the control stream and renewed when a third of their life is left.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sallyport_control::wire::{CertificateRequest, Purpose, SignedCertificate};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::{csr, inspect};
use sallyport_runtime::tls::{self, ClientAuth, KeyMaterial};
use sallyport_runtime::{admin, files};
use serde::{Deserialize, Serialize};

use crate::doors::Doors;
use crate::gateway::Gateway;
use crate::peers::PeerTls;

/// Each certificate a gateway needs: what it is for and its file on the volume.
const PURPOSES: [(Purpose, &str); 3] =
    [(Purpose::Peer, "peer"), (Purpose::OuterDoor, "outer"), (Purpose::InnerDoor, "inner")];

/// Keys, certificates and trust, and the doors that use them.
pub struct Certificates {
    gateway: Arc<Gateway>,
    doors: Arc<Doors>,
    folder: PathBuf,
    bootstrap: KeyMaterial,
    ready: admin::Requirement,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trust: TrustBundle,
    held: Vec<(Purpose, Held)>,
    /// Keys whose certificate was asked for and has not come.
    asked: Vec<(Purpose, PrivateKey, String)>,
}

/// A key with its certificate, as the volume keeps it.
#[derive(Clone, Serialize, Deserialize)]
struct Held {
    chain: String,
    key: String,
    /// The host name it was asked for; when the region's changes, another certificate is asked for.
    host: String,
}

/// A certificate or bundle that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct CertificateProblem {
    what: &'static str,
    why: String,
}

impl CertificateProblem {
    fn new(what: &'static str, why: impl ToString) -> Self {
        Self { what, why: why.to_string() }
    }
}

impl Certificates {
    /// Reads the bootstrap certificate, the trust bundle and what the volume keeps, and opens the doors that can be.
    pub fn open(
        gateway: Arc<Gateway>,
        doors: Arc<Doors>,
        ready: admin::Requirement,
    ) -> Result<Self, CertificateProblem> {
        let place = &gateway.place;
        let bootstrap = KeyMaterial::read(&place.bootstrap.join("tls.crt"), &place.bootstrap.join("tls.key"));
        let trust = files::read_trust_bundle(&place.trust);
        let folder = place.volume.join("certificates");
        std::fs::create_dir_all(&folder).map_err(|error| CertificateProblem::new("certificates' folder", error))?;
        let held =
            PURPOSES.iter().filter_map(|(purpose, name)| Some((*purpose, read(&file(&folder, name))?))).collect();
        let certificates = Self {
            bootstrap: bootstrap.map_err(|error| CertificateProblem::new("bootstrap certificate", error))?,
            doors,
            folder,
            ready,
            state: Mutex::new(State {
                trust: trust.map_err(|error| CertificateProblem::new("trust bundle", error))?,
                held,
                asked: Vec::new(),
            }),
            gateway,
        };
        certificates.refresh();
        Ok(certificates)
    }

    /// Requests for certificates that are missing, made for another name, or due for renewal, and not yet asked for.
    pub fn wanted(&self) -> Vec<CertificateRequest> {
        let mut state = self.lock();
        let mut requests = Vec::new();
        for (purpose, _) in PURPOSES {
            let Some(host) = self.host(purpose) else { continue };
            let held = state.held.iter().any(|(p, held)| *p == purpose && held.host == host && !due(held));
            let asked = state.asked.iter().any(|(p, _, asked)| *p == purpose && *asked == host);
            if held || asked {
                continue;
            }
            match request(purpose) {
                Ok((key, request)) => {
                    state.asked.retain(|(p, ..)| *p != purpose);
                    state.asked.push((purpose, key, host));
                    requests.push(request);
                }
                Err(error) => tracing::error!(?purpose, %error, "no key could be made"),
            }
        }
        requests
    }

    /// What was asked for does not come any more: the operator is another, or it refused.
    pub fn forget_asked(&self, purpose: Option<Purpose>) {
        self.lock().asked.retain(|(asked, ..)| purpose.is_some_and(|purpose| purpose != *asked));
    }

    /// A certificate that was asked for: written to the volume, then used for handshakes from now on.
    pub fn receive(&self, signed: &SignedCertificate) -> Result<(), CertificateProblem> {
        let purpose = signed.purpose();
        let name = PURPOSES.iter().find(|(p, _)| *p == purpose).map(|(_, name)| *name);
        let name = name.ok_or_else(|| CertificateProblem::new("certificate", "of an unknown purpose"))?;
        let mut state = self.lock();
        let asked = state.asked.iter().position(|(p, ..)| *p == purpose);
        let asked = asked.ok_or_else(|| CertificateProblem::new(name, "it was not asked for"))?;
        let (_, key, host) = state.asked.swap_remove(asked);
        let held = Held { chain: signed.chain.clone(), key: key.to_pem().to_string(), host };
        // Refuses a chain that cannot be read or does not fit the key.
        tls::server(&held.material(), ClientAuth::None, &[]).map_err(|error| CertificateProblem::new(name, error))?;
        let bytes = serde_json::to_vec(&held).map_err(|error| CertificateProblem::new(name, error))?;
        files::write_atomic(&file(&self.folder, name), &bytes, 0o600)
            .map_err(|error| CertificateProblem::new(name, error))?;
        state.held.retain(|(p, _)| *p != purpose);
        state.held.push((purpose, held));
        drop(state);
        tracing::info!(purpose = name, "certificate received");
        self.refresh();
        Ok(())
    }

    /// A new trust bundle, for handshakes from now on.
    pub fn trust(&self, pem: &str) -> Result<(), CertificateProblem> {
        let trust = TrustBundle::from_pem(pem).map_err(|error| CertificateProblem::new("trust bundle", error))?;
        if trust.is_empty() {
            return Err(CertificateProblem::new("trust bundle", "it is empty"));
        }
        self.lock().trust = trust;
        self.refresh();
        Ok(())
    }

    /// Brings the doors in line with certificates, trust and configuration. A door whose parts are incomplete stays as
    /// it is; a door that was never complete is closed.
    pub fn refresh(&self) {
        let state = self.lock();
        let peer = state.material(Purpose::Peer);
        let control = peer.as_ref().unwrap_or(&self.bootstrap);
        set("control", &self.doors.control, tls::server(control, ClientAuth::Required(&state.trust), &[b"h2"]));
        if let Some(peer) = peer {
            set("peer", &self.doors.peer, tls::server(&peer, ClientAuth::Required(&state.trust), &[b"http/1.1"]));
            self.gateway.peers.use_tls(PeerTls { material: peer, trust: state.trust.clone() });
        }
        if let Some(outer) = state.material(Purpose::OuterDoor) {
            set("outer", &self.doors.outer, tls::server(&outer, ClientAuth::Required(&state.trust), &[b"http/1.1"]));
        }
        if let Some(inner) = state.material(Purpose::InnerDoor) {
            self.open_inner(&inner);
        }
        self.tell(&state);
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

    fn tell(&self, state: &State) {
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
        } else if missing.is_empty() {
            self.ready.met();
        } else {
            self.ready.unmet(&format!("certificates are missing: {}", missing.join(", ")));
        }
    }

    /// The name the certificate is for, as far as the gateway knows; the operator decides.
    fn host(&self, purpose: Purpose) -> Option<String> {
        let in_force = self.gateway.store.current();
        match purpose {
            Purpose::Peer => Some(self.gateway.place.gateway.to_string()),
            Purpose::OuterDoor if in_force.generation > 0 => Some(in_force.config.settings.outer_host.clone()),
            Purpose::InnerDoor if in_force.generation > 0 => Some(in_force.config.settings.inner_host.clone()),
            Purpose::OuterDoor | Purpose::InnerDoor | Purpose::Unspecified => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn material(&self, purpose: Purpose) -> Option<KeyMaterial> {
        self.held.iter().find(|(p, _)| *p == purpose).map(|(_, held)| held.material())
    }
}

impl Held {
    fn material(&self) -> KeyMaterial {
        KeyMaterial { chain_pem: self.chain.clone(), key_pem: self.key.clone().into() }
    }
}

fn set(name: &str, door: &tls::Door, config: Result<Arc<rustls::ServerConfig>, tls::TlsError>) {
    match config {
        Ok(config) => door.replace(config),
        Err(error) => tracing::error!(door = name, %error, "a door keeps its configuration: the new one is unusable"),
    }
}

fn request(purpose: Purpose) -> Result<(PrivateKey, CertificateRequest), CertificateProblem> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).map_err(|error| CertificateProblem::new("key", error))?;
    let csr = csr::request(&key).map_err(|error| CertificateProblem::new("request", error))?;
    Ok((key, CertificateRequest { purpose: purpose.into(), csr }))
}

/// Two thirds of its life are over. Unreadable counts as over.
fn due(held: &Held) -> bool {
    let validity = held.material().leaf().ok().and_then(|leaf| inspect::validity(&leaf).ok());
    validity.is_none_or(|validity| {
        let life = validity.not_after.duration_since(validity.not_before);
        let third = SignedDuration::from_secs(life.as_secs() / 3);
        Timestamp::now() >= validity.not_after - third
    })
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn read(path: &Path) -> Option<Held> {
    let bytes = std::fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::error!(path = %path.display(), %error, "a kept certificate is unreadable"))
        .ok()
}
