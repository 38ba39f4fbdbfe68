//! Status of a `CertificateAuthority`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::{
    AuthoritySummary, Blocker, CertificateAuthorityStatus, RevocationListStatus, RotationStatus,
};
use sallyport_pki::rotation::{Stage, State, Waiting};

use super::Trouble;
use super::conditions::{Standing, Verdict, conditions};
use crate::authority::stored;
use crate::names;

/// Blockers that status names; all are counted.
const MOST_BLOCKERS: usize = 20;
/// A reason is for people: longer ones are cut.
const MAX_REASON: usize = 300;

/// What is known of an authority.
#[derive(Clone, Debug, Default)]
pub struct AuthorityFacts<'a> {
    /// As it is stored. Nothing: it cannot be read, and what status says of it stays.
    pub state: Option<&'a State>,
    /// What a rotation waits for.
    pub waiting: Option<&'a Waiting>,
    /// When the machine is asked again for time alone.
    pub wake_at: Option<Timestamp>,
    /// How many peers hold a certificate of each generation.
    pub holders: BTreeMap<u32, u32>,
    /// Digest of the bundle, when it was published.
    pub digest: Option<String>,
    /// The revocation lists, when they were published.
    pub lists: Option<RevocationListStatus>,
    /// What keeps the operator from its work, the gravest.
    pub trouble: Option<&'a Trouble>,
    /// What a person should know though it keeps nobody from anything.
    pub notes: Vec<String>,
}

/// The status of an authority. In trouble the generations stay in the status: they are the memory of which root is
/// trusted, and what tells a lost key from one that was never made.
pub fn authority(
    authority: &CertificateAuthority,
    facts: &AuthorityFacts<'_>,
    now: Timestamp,
) -> CertificateAuthorityStatus {
    let mut status = authority.status.clone().unwrap_or_default();
    status.observed_generation = authority.metadata.generation;
    status.conditions =
        conditions(&status.conditions, &verdict(facts, now), Vec::new(), authority.metadata.generation, now);
    let Some(state) = facts.state else { return status };
    stored::write(state, &mut status);
    for generation in &mut status.generations {
        generation.holders = facts.holders.get(&generation.number).copied().unwrap_or_default();
    }
    let name = authority.metadata.name.as_deref().unwrap_or_default();
    status.rotation = facts.waiting.map(|waiting| rotation(name, waiting, facts.wake_at));
    status.summary = Some(AuthoritySummary {
        rotation: facts.waiting.map(|waiting| progress(state, waiting)).unwrap_or_default(),
        expires: state.issuing().map(|g| g.generation.not_after.to_string()).unwrap_or_default(),
    });
    if let Some(digest) = &facts.digest {
        status.trust_digest = Some(digest.clone());
        status.trust_bundle = Some(names::authority_trust(name));
    }
    if facts.lists.is_some() {
        status.revocation_lists.clone_from(&facts.lists);
    }
    status
}

fn verdict(facts: &AuthorityFacts<'_>, now: Timestamp) -> Verdict {
    if let Some(trouble) = facts.trouble {
        return trouble.into();
    }
    let Some(signing) = facts.state.and_then(State::issuing).map(|issuing| &issuing.generation) else {
        return Verdict::new(Standing::Reconciling, "FirstGeneration", "the first generation does not sign yet");
    };
    if now >= signing.not_after {
        return (&Trouble::AuthorityExpired(signing.not_after)).into();
    }
    let mut message = format!("generation {} signs", signing.number);
    if let Some(waiting) = facts.waiting {
        let count = waiting.blockers.len();
        let blockers = if count == 0 { String::new() } else { format!("; {count} are not done, see status.rotation") };
        let step = format!("; rotation to generation {}: {}{blockers}", waiting.to, waiting.waits_for);
        message.push_str(&step);
    }
    for note in &facts.notes {
        message.push_str("; ");
        message.push_str(note);
    }
    Verdict::new(Standing::Ready, "Signing", message)
}

fn rotation(authority: &str, waiting: &Waiting, wake_at: Option<Timestamp>) -> RotationStatus {
    let mut blockers: Vec<_> = waiting.blockers.iter().collect();
    blockers.sort_by(|a, b| a.peer.cmp(&b.peer));
    let named = blockers.iter().take(MOST_BLOCKERS).map(|blocker| Blocker {
        name: blocker.peer.clone(),
        reason: blocker.reason.chars().take(MAX_REASON).chain(remedy(authority, &blocker.peer).chars()).collect(),
    });
    RotationStatus {
        to: waiting.to,
        waits_for: waiting.waits_for.clone(),
        done: waiting.done,
        of: waiting.of,
        blockers: named.collect(),
        blocked_by: u32::try_from(blockers.len()).unwrap_or(u32::MAX),
        next_step: wake_at.map(|at| at.to_string()),
    }
}

/// What is to be done about a peer that keeps a rotation waiting and is no endpoint, which is there when its site is.
fn remedy(authority: &str, peer: &str) -> String {
    let look_at = match peer.split_once(' ') {
        Some(("bootstrap", region)) => format!("see DmzRegion {region} for why its Secret is not renewed"),
        Some(("gateway", _)) => "see its pod, and the conditions of its DmzRegion".to_owned(),
        _ => return String::new(),
    };
    format!("; {look_at}; if it never comes back: sallyportctl ca lost {authority} '{peer}'")
}

/// The step and how far it is, in few words.
fn progress(state: &State, waiting: &Waiting) -> String {
    let step = match state.generation(waiting.to).map(|g| g.stage) {
        None => "Making key",
        Some(Stage::NotYetTrusted | Stage::Trusted) => "Trusting",
        Some(Stage::Issuing | Stage::PhasingOut | Stage::Removed) => "Renewing",
    };
    format!("{step} {}/{}", waiting.done, waiting.of)
}
