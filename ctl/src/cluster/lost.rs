//! `ca lost`: peers that a rotation does not wait for.

use kube::ResourceExt as _;
use sallyport_api::certificate_authority::LostPeer;
use sallyport_api::common::condition::CONNECTED;
use sallyport_api::{CertificateAuthority, TunnelEndpoint};
use serde_json::json;

use super::client::Cluster;
use super::owned;
use super::refusal::Refusal;
use crate::failure::Failure;
use crate::output::{self, Output};

const MANAGER: &str = "sallyportctl-lost";
/// Somebody else named a peer at the same moment; more often than this it is no coincidence.
const TRIES: usize = 5;

/// Whom a rotation waits for, as `status.rotation.blockers` names it.
#[derive(Debug, PartialEq, Eq)]
enum Peer<'a> {
    /// The certificate that a region's gateways begin with.
    Bootstrap,
    /// A `TunnelEndpoint`: its namespace and name.
    Endpoint(&'a str, &'a str),
    /// A gateway.
    Gateway,
}

impl<'a> Peer<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let (kind, key) = text.split_once(' ').map_or((None, text), |(kind, key)| (Some(kind), key));
        let parts = key.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
        match (kind, parts) {
            (None, Some((namespace, name))) => Ok(Self::Endpoint(namespace, name)),
            (Some("bootstrap"), Some(_)) => Ok(Self::Bootstrap),
            (Some("gateway"), Some(_)) => Ok(Self::Gateway),
            _ => Err(Failure::Usage(format!(
                "{text:?} is no peer; write NAMESPACE/NAME of an endpoint, 'gateway NAMESPACE/POD' or 'bootstrap \
                 NAMESPACE/REGION', as ca status names who is waited for"
            ))),
        }
    }

    /// How it comes back.
    fn comes_back(&self) -> &'static str {
        match self {
            Self::Bootstrap => "once its region has renewed its Secret",
            Self::Endpoint(..) => "by enrolling again",
            Self::Gateway => "by a new certificate when it starts",
        }
    }
}

fn is_name(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

/// Names the peer with a reason, or takes it back without one.
pub(crate) async fn run(
    cluster: &Cluster,
    name: &str,
    peer: &str,
    reason: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let kind = Peer::parse(peer)?;
    // What is not there any more can be lost all the same: gateways and regions that are gone are the reason to ask.
    if let (Peer::Endpoint(namespace, endpoint), Some(_)) = (&kind, &reason) {
        let found: TunnelEndpoint = cluster.get(namespace, endpoint).await?;
        if is_connected(&found) {
            output::say(&format!("note: {peer} is connected now; it is cut when the old generation is dropped"));
        }
    }
    let written = write(cluster, name, peer, reason.as_deref()).await?;
    let listed = written.spec.lost_peers.iter().any(|lost| lost.name == peer);
    if reason.is_none() && listed {
        let managers = owned::others(written.managed_fields(), MANAGER, "lostPeers").join(", ");
        return Err(Refusal::Unfit {
            object: format!("CertificateAuthority {}/{name}", cluster.namespace),
            why: format!("spec.lostPeers still names {peer}, because somebody else wrote it too ({managers})"),
            remedy: "take it out where that one keeps the object, or with kubectl edit".to_owned(),
        }
        .into());
    }
    output.answer(&json!({ "lostPeers": written.spec.lost_peers }), || match reason {
        Some(_) => {
            let back = kind.comes_back();
            format!("{peer} is lost: rotations of {name} do not wait for it, and it comes back {back}")
        }
        None => format!("{peer} is no longer lost: rotations of {name} wait for it again"),
    })
}

/// Read, change, write; again when somebody else wrote in between.
async fn write(
    cluster: &Cluster,
    name: &str,
    peer: &str,
    reason: Option<&str>,
) -> Result<CertificateAuthority, Refusal> {
    let mut tries = 0;
    loop {
        let mut authority: CertificateAuthority = cluster.get(&cluster.namespace, name).await?;
        let peers = peers(&mut authority, peer, reason);
        // Without any, the field is left out: an empty list would still be ours.
        let spec = if peers.is_empty() { json!({}) } else { json!({ "lostPeers": peers }) };
        match cluster.apply_unchanged(MANAGER, &authority, &spec).await {
            Err(Refusal::Conflict { .. }) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// Those that this program named before, and what is asked for now. What others named stays theirs.
fn peers(authority: &mut CertificateAuthority, named: &str, reason: Option<&str>) -> Vec<LostPeer> {
    let ours = owned::names(authority.managed_fields(), MANAGER, "lostPeers");
    let mut peers = std::mem::take(&mut authority.spec.lost_peers);
    peers.retain(|peer| ours.contains(&peer.name) && peer.name != named);
    peers.extend(reason.map(|reason| LostPeer { name: named.to_owned(), reason: reason.to_owned() }));
    peers
}

fn is_connected(endpoint: &TunnelEndpoint) -> bool {
    let conditions = endpoint.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|condition| condition.type_ == CONNECTED).any(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_a_rotation_waits_for_can_be_named() {
        assert_eq!(Peer::parse("site-lyon/lyon").unwrap(), Peer::Endpoint("site-lyon", "lyon"));
        assert_eq!(Peer::parse("gateway dmz/eu-gateway-0").unwrap(), Peer::Gateway);
        assert_eq!(Peer::parse("bootstrap dmz/eu").unwrap(), Peer::Bootstrap);
        for wrong in ["", "lyon", "a/", "/b", "gateway eu", "pod dmz/eu", "gateway  dmz/eu", "A/b", "-a/b", "a/b c"] {
            assert!(matches!(Peer::parse(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }
}
