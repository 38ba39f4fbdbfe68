//! How a tunnel that stands moves to the agent's renewed certificate. One task looks at all tunnels: those whose
//! certificate is old, or of an authority that does not sign any more, are asked now and then to prove the one they hold.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_audit::Event;
use sallyport_audit::event::TunnelRenewed;
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::EndpointId;
use sallyport_pki::{inspect, renewal};
use sallyport_tunnel::{NONCE, Proof, PushError};

use crate::certificate::InUse;
use crate::gateway::Gateway;
use crate::trust::Trust;
use crate::tunnels::{LiveTunnel, TELL_AGAIN};

/// Agents asked at once. Each is a round trip; a thousand agents on slow lines are through in seconds.
const AT_ONCE: usize = 64;
/// Nothing is due for so long at most, whatever the certificates say: clocks are set.
const LOOK: Duration = Duration::from_secs(3600);
/// After a tunnel came or went. When all come at once, they are looked at together.
const SETTLE: Duration = Duration::from_secs(1);

/// Asks those that are due, and waits until some are.
pub async fn walk(gateway: Arc<Gateway>) {
    let mut trust = gateway.trust.watch();
    let mut tunnels = gateway.tunnels.watch();
    loop {
        let current = trust.borrow_and_update().clone();
        tunnels.borrow_and_update();
        let Some(current) = current else {
            if trust.changed().await.is_err() {
                return;
            }
            continue;
        };
        let Due { now: due, next } = due(&gateway, &current, Timestamp::now());
        if due.is_empty() {
            tokio::select! {
                changed = trust.changed() => if changed.is_err() { return },
                changed = tunnels.changed() => match changed {
                    Ok(()) => tokio::time::sleep(SETTLE).await,
                    Err(_) => return,
                },
                () = tokio::time::sleep(next) => {}
            }
            continue;
        }
        let asked = due.into_iter().map(|(endpoint, live)| attend(&gateway, endpoint, live));
        futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect::<()>().await;
        tokio::time::sleep(pause(current.renew_within())).await;
    }
}

/// A tenth of the time within which agents renew, so that who renewed is seen soon after; spread by a fifth.
fn pause(renew_within: Duration) -> Duration {
    let every = (renew_within / 10).clamp(Duration::from_secs(2), Duration::from_secs(60));
    every.mul_f64(0.8 + 0.4 * rand::random::<f64>())
}

struct Due {
    now: Vec<(EndpointId, LiveTunnel)>,
    next: Duration,
}

fn due(gateway: &Gateway, trust: &Trust, now: Timestamp) -> Due {
    let mut due = Due { now: Vec::new(), next: LOOK };
    for (endpoint, live) in gateway.tunnels.all() {
        let certificate = live.certificate();
        let at = certificate.two_thirds();
        let to_tell = !knows(&live, trust);
        if is_due(&certificate, trust, now) || to_tell && !live.was_just_told() {
            due.now.push((endpoint, live));
            continue;
        }
        due.next = due.next.min(Duration::try_from(at.duration_since(now)).unwrap_or_default());
        if to_tell {
            due.next = due.next.min(TELL_AGAIN);
        }
    }
    due
}

fn is_due(certificate: &InUse, trust: &Trust, now: Timestamp) -> bool {
    certificate.issuer != trust.issuer() || certificate.two_thirds() <= now
}

fn knows(live: &LiveTunnel, trust: &Trust) -> bool {
    trust.announcement().is_empty() || live.knows(trust)
}

/// Tells an agent of the trust if it does not know it, and asks for its proof if that is due.
async fn attend(gateway: &Arc<Gateway>, endpoint: EndpointId, live: LiveTunnel) {
    let Some(trust) = gateway.trust.current() else { return };
    if !knows(&live, &trust) && !live.was_just_told() {
        gateway.tunnels.announce(&endpoint, &live, &trust).await;
    }
    if is_due(&live.certificate(), &trust, Timestamp::now()) {
        ask(gateway, &endpoint, &live).await;
    }
}

async fn ask(gateway: &Arc<Gateway>, endpoint: &EndpointId, live: &LiveTunnel) {
    let nonce: [u8; NONCE] = rand::random();
    let proof = match live.tunnel.prove(gateway.place.gateway.as_str(), nonce).await {
        Ok(proof) => proof,
        Err(PushError::Closed(_)) => return,
        Err(error) => return tracing::debug!(%endpoint, %error, "the agent did not prove its certificate"),
    };
    let Some(trust) = gateway.trust.current() else { return };
    match verify(gateway, &trust, endpoint, &nonce, &proof) {
        Ok(certificate) => {
            let renewed = gateway.tunnels.renewed(live, certificate.clone());
            // The trust may have changed since it was looked at; what it cuts, it looked for before this.
            if let Some(Err(why)) = gateway.trust.current().map(|trust| trust.allows(&certificate)) {
                return live.cut(why);
            }
            if renewed {
                record(gateway, endpoint, certificate).await;
            }
        }
        Err(reason) => {
            gateway.metrics.proofs_refused.with_label_values(&[reason]).inc();
            tracing::warn!(%endpoint, from = %live.from, reason, "proof of a renewed certificate refused");
        }
    }
}

/// The certificate that an agent proved to hold, as a handshake would have let it in.
fn verify(
    gateway: &Gateway,
    trust: &Trust,
    endpoint: &EndpointId,
    nonce: &[u8; NONCE],
    proof: &Proof,
) -> Result<InUse, &'static str> {
    let chain = [CertificateDer::from(proof.certificate.as_slice())];
    trust.admits(&chain, UnixTime::now()).map_err(|reason| reason.label())?;
    let wanted = Identity { region: gateway.place.region.clone(), role: Role::Endpoint(endpoint.clone()) };
    match inspect::identity(&proof.certificate) {
        Ok(identity) if identity == wanted => {}
        Ok(_) | Err(_) => return Err("otherIdentity"),
    }
    renewal::verify(&proof.certificate, gateway.place.gateway.as_str(), nonce, &proof.signature)
        .map_err(|_| "badSignature")?;
    InUse::read(&proof.certificate, trust.bundle()).ok_or("untrusted")
}

async fn record(gateway: &Gateway, endpoint: &EndpointId, certificate: InUse) {
    gateway.metrics.tunnels_renewed.inc();
    tracing::info!(%endpoint, serial = certificate.serial, not_after = %certificate.not_after, "tunnel renewed");
    let event = Event::TunnelRenewed(TunnelRenewed {
        site: gateway.site_of(endpoint),
        endpoint: endpoint.clone(),
        serial: certificate.serial.into(),
        issuer: certificate.issuer.into(),
    });
    if let Err(error) = gateway.audit.append(event).await {
        tracing::error!(%endpoint, %error, "a tunnel's renewal could not be recorded");
    }
}
