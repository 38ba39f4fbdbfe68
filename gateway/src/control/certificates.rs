//! The gateway's own keys and certificates. Keys are made here and never leave the volume; certificates are asked for
//! over the control stream, and renewed when a third of their life is left or another authority signs.

mod doors;
mod held;
mod hold;
mod mounted;
mod taking;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_control::wire::{self, CertificateRequest, Purpose, SignedCertificate};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::csr;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_runtime::tls::{self, ClientAuth, KeyMaterial};
use sallyport_runtime::{admin, files};
use tokio::sync::watch;

use crate::doors::Doors;
use crate::gateway::Gateway;
use crate::trust::Trust;

use held::Held;
use hold::Hold;
use mounted::Mounted;

pub use hold::Told;

/// Each certificate a gateway needs: what it is for and its file on the volume.
const PURPOSES: [(Purpose, &str); 3] =
    [(Purpose::Peer, "peer"), (Purpose::OuterDoor, "outer"), (Purpose::InnerDoor, "inner")];

/// After a refusal, and the longest time between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// Keys, certificates and mounted trust, and the doors that use them.
pub struct Certificates {
    gateway: Arc<Gateway>,
    doors: Arc<Doors>,
    folder: PathBuf,
    ready: admin::Requirement,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

struct State {
    mounted: Mounted,
    /// Authorities that a trust in force had and a later one has not. What is mounted may lag behind by minutes; what was
    /// dropped is not trusted again because of that.
    dropped: TrustBundle,
    held: Vec<(Purpose, Held)>,
    /// What came and is not valid yet, while the one before is good. Not on the volume: a process that starts meanwhile
    /// starts with the one before, and asks again.
    next: Vec<(Purpose, Held)>,
    hold: Hold,
    /// Keys whose certificate was asked for and has not come.
    asked: Vec<(Purpose, PrivateKey, String)>,
    /// Not asked for before then, because the operator refused.
    refused: Vec<(Purpose, Timestamp)>,
    moves: Vec<Move>,
}

/// A certificate that is to move to another authority, and when.
struct Move {
    purpose: Purpose,
    to: String,
    within: Duration,
    at: Timestamp,
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
        let mounted = Mounted::read(place)?;
        let folder = place.volume.join("certificates");
        std::fs::create_dir_all(&folder).map_err(|error| CertificateProblem::new("certificates' folder", error))?;
        let kept = |(purpose, name): &(Purpose, &str)| Some((*purpose, held::read(&held::file(&folder, name))?));
        let state = State {
            mounted,
            dropped: TrustBundle::empty(),
            held: PURPOSES.iter().filter_map(kept).collect(),
            next: Vec::new(),
            hold: Hold::lasting(place.hold),
            asked: Vec::new(),
            refused: Vec::new(),
            moves: Vec::new(),
        };
        let changed = watch::Sender::new(());
        let certificates = Self { doors, folder, ready, state: Mutex::new(state), gateway, changed };
        certificates.refresh();
        Ok(certificates)
    }

    /// Requests for certificates that are missing, made for another name, or due for renewal, and not yet asked for.
    pub fn wanted(&self) -> Vec<CertificateRequest> {
        let now = Timestamp::now();
        let mut state = self.lock();
        let mut requests = Vec::new();
        for (purpose, host, at) in self.due(&mut state, now) {
            if at > now || state.asked.iter().any(|(p, _, asked)| *p == purpose && *asked == host) {
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

    /// How long until [`Certificates::wanted`] may want another: not longer than a minute.
    pub fn next_look(&self) -> Duration {
        let now = Timestamp::now();
        let mut state = self.lock();
        let due = self.due(&mut state, now);
        let open = due
            .into_iter()
            .filter(|(purpose, host, _)| !state.asked.iter().any(|(asked, _, name)| asked == purpose && name == host));
        let soonest = open.map(|(_, _, at)| at).min();
        let wait = soonest.map_or(LOOK, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        // Whatever goes wrong with a key, it is not tried in a circle.
        wait.clamp(Duration::from_millis(100), LOOK)
    }

    /// Each certificate that this gateway should have, the name it is for, and when it is to be asked for.
    fn due(&self, state: &mut State, now: Timestamp) -> Vec<(Purpose, String, Timestamp)> {
        let trust = self.gateway.trust.current();
        let mut due = Vec::new();
        for (purpose, _) in PURPOSES {
            let Some(host) = self.host(purpose) else { continue };
            // What came and waits is as good as held: it is not asked for again.
            let mut all = state.next.iter().chain(&state.held);
            let held = all.find(|(p, held)| *p == purpose && held.host == host).map(|(_, held)| held);
            let at = match (held, trust.as_deref()) {
                (None, _) => now,
                (Some(held), None) => held.ages_at(),
                (Some(held), Some(trust)) => {
                    let issuer = held.in_use(trust.bundle()).map(|in_use| in_use.issuer).unwrap_or_default();
                    held.ages_at().min(moves_at(&mut state.moves, purpose, &issuer, trust, now))
                }
            };
            let not_before = state.refused.iter().find(|(p, _)| *p == purpose).map_or(at, |(_, until)| *until);
            due.push((purpose, host, at.max(not_before)));
        }
        due
    }

    /// What was asked for does not come any more: the operator is another, or it refused.
    pub fn forget_asked(&self, purpose: Option<Purpose>) {
        let mut state = self.lock();
        state.asked.retain(|(asked, ..)| purpose.is_some_and(|purpose| purpose != *asked));
        match purpose {
            None => state.refused.clear(),
            Some(purpose) => {
                state.refused.retain(|(refused, _)| *refused != purpose);
                state.refused.push((purpose, Timestamp::now() + LOOK));
            }
        }
    }

    /// A certificate that was asked for: written to the volume, then used for handshakes from now on, or from when it is
    /// valid on. Connections that stand go on.
    pub fn receive(&self, signed: &SignedCertificate) -> Result<(), CertificateProblem> {
        let purpose = signed.purpose();
        let name = PURPOSES.iter().find(|(p, _)| *p == purpose).map(|(_, name)| *name);
        let name = name.ok_or_else(|| CertificateProblem::new("certificate", "of an unknown purpose"))?;
        let mut state = self.lock();
        let asked = state.asked.iter().position(|(p, ..)| *p == purpose);
        let asked = asked.ok_or_else(|| CertificateProblem::new(name, "it was not asked for"))?;
        if held::is_for_another(&signed.chain, &state.asked[asked].1) {
            // The answer to what was asked before an operator attached anew; what was asked since is waited for.
            tracing::info!(purpose = name, "the answer to an earlier request for a certificate was left aside");
            return Ok(());
        }
        let (_, key, host) = state.asked.swap_remove(asked);
        // Should it turn out to be unusable, it is not asked for again at once.
        state.refused.push((purpose, Timestamp::now() + LOOK));
        let held = Held::new(signed.chain.clone(), key.to_pem().to_string(), host);
        // Refuses a chain that cannot be read or does not fit the key.
        tls::server(&held.material(), ClientAuth::None, &[]).map_err(|error| CertificateProblem::new(name, error))?;
        // One that the signing authority did not issue would be asked for again at once, and again.
        let trust = self.gateway.trust.current();
        let issuer = trust.as_ref().and_then(|trust| held.in_use(trust.bundle())).map(|in_use| in_use.issuer);
        let of_signer = trust.as_ref().is_none_or(|trust| issuer.is_some_and(|issuer| issuer == trust.issuer()));
        let now = Timestamp::now();
        let taken_at = state.taken_at(purpose, &held, trust.as_deref().map(Trust::bundle), now);
        state.next.retain(|(p, _)| *p != purpose);
        if taken_at > now {
            tracing::warn!(
                purpose = name, used_from = %taken_at,
                "certificate received that is not valid yet; the one before stays in use. Compare the clocks of operator \
                 and gateway"
            );
            state.next.push((purpose, held));
        } else {
            self.keep(name, &held)?;
            state.held.retain(|(p, _)| *p != purpose);
            state.held.push((purpose, held));
            tracing::info!(purpose = name, "certificate received");
        }
        if of_signer {
            state.refused.retain(|(p, _)| *p != purpose);
        }
        drop(state);
        self.refresh();
        self.changed.send_replace(());
        Ok(())
    }

    fn keep(&self, name: &'static str, held: &Held) -> Result<(), CertificateProblem> {
        let bytes = serde_json::to_vec(held).map_err(|error| CertificateProblem::new(name, error))?;
        files::write_atomic(&held::file(&self.folder, name), &bytes, 0o600)
            .map_err(|error| CertificateProblem::new(name, error))
    }

    /// Another trust is in force: for handshakes from now on. `before` is what was.
    pub fn trust_changed(&self, before: Option<&Trust>, now: &Trust) {
        let gone = before.map_or_else(TrustBundle::empty, |before| before.bundle().without(now.bundle()));
        let mut state = self.lock();
        state.dropped = state.dropped.union(&gone);
        state.refused.clear();
        self.take(&mut state, Some(now.bundle()));
        drop(state);
        self.refresh();
        // Whose issuer is which depends on it.
        self.changed.send_replace(());
    }

    /// Looks at the mounted files again. What cannot be read now, in the middle of a change for instance, is looked at
    /// the next time.
    pub fn look_at_mounted(&self) {
        match Mounted::read(&self.gateway.place) {
            Ok(mounted) => {
                let mut state = self.lock();
                if state.mounted.is(&mounted) {
                    return;
                }
                state.mounted = mounted;
                drop(state);
                tracing::info!("mounted bootstrap certificate or trust bundle changed");
                self.refresh();
            }
            Err(error) => tracing::warn!(%error, "what is mounted cannot be read; what it was stays"),
        }
    }

    /// For the report.
    pub fn in_use(&self) -> Vec<wire::Certificate> {
        let state = self.lock();
        let bundle = state.published().union(&self.in_force());
        let held = state.held.iter();
        held.filter_map(|(purpose, held)| Some(held.in_use(&bundle)?.to_wire(*purpose))).collect()
    }

    /// To be told when a certificate or its issuer's standing changes.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn in_force(&self) -> TrustBundle {
        self.gateway.trust.current().map_or_else(TrustBundle::empty, |trust| trust.bundle().clone())
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

    /// What the operator published last, as far as it is known.
    fn published(&self) -> TrustBundle {
        self.mounted.trust.without(&self.dropped)
    }
}

/// When a certificate of `issuer` moves to the authority that signs now: never, when it is of that one; at once, when its
/// own is not trusted any more; else at a moment drawn once for this authority and spread.
fn moves_at(moves: &mut Vec<Move>, purpose: Purpose, issuer: &str, trust: &Trust, now: Timestamp) -> Timestamp {
    if issuer == trust.issuer() {
        moves.retain(|planned| planned.purpose != purpose);
        return Timestamp::MAX;
    }
    if issuer.is_empty() {
        return now;
    }
    let (to, within) = (trust.issuer(), trust.renew_within());
    if let Some(planned) = moves.iter().find(|m| m.purpose == purpose && m.to == to && m.within == within) {
        return planned.at;
    }
    let spread = SignedDuration::try_from(within.mul_f64(rand::random())).unwrap_or_default();
    let at = now.checked_add(spread).unwrap_or(now);
    moves.retain(|planned| planned.purpose != purpose);
    moves.push(Move { purpose, to: to.to_owned(), within, at });
    at
}

fn request(purpose: Purpose) -> Result<(PrivateKey, CertificateRequest), CertificateProblem> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).map_err(|error| CertificateProblem::new("key", error))?;
    let csr = csr::request(&key).map_err(|error| CertificateProblem::new("request", error))?;
    Ok((key, CertificateRequest { purpose: purpose.into(), csr }))
}

#[cfg(test)]
mod tests;
