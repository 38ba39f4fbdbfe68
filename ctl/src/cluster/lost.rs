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

/// Names the endpoint with a reason, or takes it back without one.
pub(crate) async fn run(
    cluster: &Cluster,
    name: &str,
    endpoint: &str,
    reason: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let Some((namespace, peer)) = endpoint.split_once('/').filter(|(a, b)| !a.is_empty() && !b.is_empty()) else {
        return Err(Failure::Usage(format!("{endpoint:?} is not an endpoint; write NAMESPACE/NAME")));
    };
    if reason.is_some() {
        let found: TunnelEndpoint = cluster.get(namespace, peer).await?;
        if is_connected(&found) {
            output::say(&format!("note: {endpoint} is connected now; it is cut when the old generation is dropped"));
        }
    }
    let written = write(cluster, name, endpoint, reason.as_deref()).await?;
    let listed = written.spec.lost_peers.iter().any(|lost| lost.name == endpoint);
    if reason.is_none() && listed {
        let managers = owned::others(written.managed_fields(), MANAGER, "lostPeers").join(", ");
        return Err(Refusal::Unfit {
            object: format!("CertificateAuthority {}/{name}", cluster.namespace),
            why: format!("spec.lostPeers still names {endpoint}, because somebody else wrote it too ({managers})"),
            remedy: "take it out where that one keeps the object, or with kubectl edit".to_owned(),
        }
        .into());
    }
    output.answer(&json!({ "lostPeers": written.spec.lost_peers }), || match reason {
        Some(_) => {
            format!("{endpoint} is lost: rotations of {name} do not wait for it, and it comes back by enrolling again")
        }
        None => format!("{endpoint} is no longer lost: rotations of {name} wait for it again"),
    })
}

/// Read, change, write; again when somebody else wrote in between.
async fn write(
    cluster: &Cluster,
    name: &str,
    endpoint: &str,
    reason: Option<&str>,
) -> Result<CertificateAuthority, Refusal> {
    let mut tries = 0;
    loop {
        let mut authority: CertificateAuthority = cluster.get(&cluster.namespace, name).await?;
        let peers = peers(&mut authority, endpoint, reason);
        // Without any, the field is left out: an empty list would still be ours.
        let spec = if peers.is_empty() { json!({}) } else { json!({ "lostPeers": peers }) };
        match cluster.apply_unchanged(MANAGER, &authority, &spec).await {
            Err(Refusal::Conflict { .. }) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// Those that this program named before, and what is asked for now. What others named stays theirs.
fn peers(authority: &mut CertificateAuthority, endpoint: &str, reason: Option<&str>) -> Vec<LostPeer> {
    let ours = owned::names(authority.managed_fields(), MANAGER, "lostPeers");
    let mut peers = std::mem::take(&mut authority.spec.lost_peers);
    peers.retain(|peer| ours.contains(&peer.name) && peer.name != endpoint);
    peers.extend(reason.map(|reason| LostPeer { name: endpoint.to_owned(), reason: reason.to_owned() }));
    peers
}

fn is_connected(endpoint: &TunnelEndpoint) -> bool {
    let conditions = endpoint.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|condition| condition.type_ == CONNECTED).any(|condition| condition.status == "True")
}
