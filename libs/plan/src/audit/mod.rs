//! What objects say about audit records, read and judged: who may read them, who vouches for them, where checkpoints
//! go, who is to be forgotten. And what the collector knows of them ([`facts`]), which [`crate::status`] shows.
//!
//! What is wrong here closes nothing but itself: a site with a webhook that cannot be keeps its tunnels.

pub mod facts;
mod server;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sallyport_api::audit::{Erasure, Webhook, Witness};
use sallyport_api::{CustomerSite, DmzRegion};
use sallyport_core::config::Auditors;
use sha2::{Digest as _, Sha256};

use crate::problem::{Problem, field};

/// Who may read the region's records. Where one entry cannot be read nobody may, and it says so.
pub fn auditors(region: &DmzRegion) -> Result<Auditors, Problem> {
    let named = &region.spec.audit.auditors;
    if named.groups.iter().any(|g| !(1..=128).contains(&g.chars().count())) {
        return Err(field(
            "spec.audit.auditors.groups",
            "a group has 1 to 128 characters; until that is so nobody reads",
        ));
    }
    let users = named.users.iter().map(|user| user.parse()).collect::<Result<_, _>>();
    let users = users.map_err(|e| field("spec.audit.auditors.users", format!("{e}; until that is so nobody reads")))?;
    Ok(Auditors { users, groups: named.groups.iter().cloned().collect() })
}

/// The witnesses that can be asked, and what is wrong with the first that cannot.
pub fn witnesses(region: &DmzRegion) -> (Vec<&Witness>, Option<Problem>) {
    let (mut usable, mut problem, mut names) = (Vec::new(), None, BTreeSet::new());
    for witness in &region.spec.audit.witnesses {
        match judge_witness(witness, &mut names) {
            Ok(()) => usable.push(witness),
            Err(why) => problem = problem.or(Some(why)),
        }
    }
    (usable, problem)
}

fn judge_witness<'a>(witness: &'a Witness, names: &mut BTreeSet<&'a str>) -> Result<(), Problem> {
    const URL: &str = "spec.audit.witnesses.url";
    if !names.insert(&witness.name) {
        return Err(Problem::Duplicate { field: "spec.audit.witnesses", name: witness.name.clone() });
    }
    server::host_of(&witness.url).map_err(|why| field(URL, format!("{:?}: {why}", witness.name)))?;
    if !is_cosigner_key(&witness.verifier_key) {
        let why = format!(
            "{:?}: it is no C2SP verifier key for cosignatures, or was altered: copy the line NAME+HASH+KEY that the witness prints at its start",
            witness.name
        );
        return Err(field("spec.audit.witnesses.verifierKey", why));
    }
    Ok(())
}

/// A C2SP verifier key of signature type 0x04: `NAME+HASH+BASE64(04 KEY)`, HASH being the first four bytes of
/// SHA-256(NAME newline 04 KEY), in hexadecimal.
fn is_cosigner_key(text: &str) -> bool {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(key) = BASE64_STANDARD.decode(key) else { return false };
    let digest = Sha256::new().chain_update(name).chain_update(b"\n").chain_update(&key).finalize();
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    let hex: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    named && key.len() == 33 && key[0] == 0x04 && hex == hash
}

/// Where a site's checkpoints go, if anywhere.
pub fn webhook(site: &CustomerSite) -> Result<Option<&Webhook>, Problem> {
    const URL: &str = "spec.audit.webhook.url";
    let Some(webhook) = &site.spec.audit.webhook else { return Ok(None) };
    let host = server::host_of(&webhook.url).map_err(|why| field(URL, why))?;
    if server::is_address(host) {
        return Err(field(URL, "an address is no name that a certificate vouches for; give the server's host name"));
    }
    if webhook.every_minutes == 0 {
        return Err(field("spec.audit.webhook.everyMinutes", "0 is no time between two deliveries; use 1 to 44640"));
    }
    Ok(Some(webhook))
}

/// Erasures that are asked for and not done.
pub fn pending_erasures(region: &DmzRegion) -> impl Iterator<Item = &Erasure> {
    let done = region.status.as_ref().and_then(|status| status.audit.as_ref()).map(|audit| audit.erased.as_slice());
    let done: BTreeSet<&str> = done.unwrap_or_default().iter().map(|erased| erased.id.as_str()).collect();
    region.spec.audit.erasures.iter().filter(move |erasure| !done.contains(erasure.id.as_str()))
}

/// Whether somebody looked into what did not fit of this incarnation, so that its collection goes on.
pub fn is_accepted(region: &DmzRegion, gateway: &str, incarnation: &str) -> bool {
    let accepted = &region.spec.audit.accepted_forks;
    accepted.iter().any(|fork| fork.gateway == gateway && fork.incarnation == incarnation)
}
