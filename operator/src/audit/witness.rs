//! Witnesses: each log's newest archived checkpoint is offered to those that the region names (C2SP tlog-witness), and
//! what they sign is put beside the other signatures. A witness that refuses has seen another history, or is wrong: that
//! is for a person to find out.

use std::collections::BTreeMap;
use std::time::Duration;

use sallyport_api::audit::Witness;
use sallyport_audit::Origin;
use sallyport_audit::tlog::checkpoint::SignedCheckpoint;
use sallyport_audit::tlog::note::{Signature, VerifierKey};
use sallyport_audit::tlog::tree::{Head, Tree, needed_for_consistency};
use sallyport_audit::tlog::witness::AddCheckpoint;
use sallyport_plan::audit::facts::{Evidence, EvidenceKind};
use sallyport_plan::audit::witnesses;
use tokio::time::Instant;

use super::archive::layout;
use super::chain;
use super::collect::store;
use super::https::{HttpsError, Networks, Post};
use super::records::{Open, Records};
use crate::context::Shared;

/// How often it is looked for checkpoints to offer, and the least time between two offers of one log.
const PACE: Duration = Duration::from_secs(10);
/// Waits after a witness did not answer.
const FIRST_WAIT: Duration = Duration::from_secs(20);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What is known of one log at one witness.
#[derive(Debug)]
struct Seen {
    /// What it last cosigned, as far as known.
    size: u64,
    not_before: Instant,
    wait: Duration,
}

type Seens = BTreeMap<(String, Origin), Seen>;

/// Offers checkpoints, until dropped.
pub(super) async fn run(ctx: &Shared, records: &Records, open: &Open) {
    let mut seens = Seens::new();
    loop {
        tokio::time::sleep(PACE).await;
        let Some(region) = ctx.world.regions.get(&records.key) else { continue };
        let (usable, _) = witnesses(&region);
        seens.retain(|(key, _), _| usable.iter().any(|witness| witness.verifier_key == *key));
        for witness in usable {
            round(ctx, records, open, witness, &mut seens).await;
        }
    }
}

/// Offers each log that has grown to one witness.
async fn round(ctx: &Shared, records: &Records, open: &Open, witness: &Witness, seens: &mut Seens) {
    let Ok(key) = witness.verifier_key.parse::<VerifierKey>() else { return };
    for (keeper, state) in records.states() {
        for origin in state.origins(&keeper) {
            let head = state.head(&origin.scope);
            let at = (witness.verifier_key.clone(), origin.clone());
            let fresh = Seen { size: 0, not_before: Instant::now(), wait: FIRST_WAIT };
            let seen = seens.entry(at).or_insert(fresh);
            if seen.size >= head.size || Instant::now() < seen.not_before {
                continue;
            }
            let result = offer(records, open, witness, &key, &origin, head, seen).await;
            let label = note(records, witness, &origin, seen, &result);
            ctx.metrics.audit.offers.with_label_values(&[&*records.key.to_string(), label]).inc();
            if matches!(result, Err(OfferError::Https(_))) {
                // The others of its logs would wait for nothing.
                return;
            }
        }
    }
}

/// What came of an offer goes into the log and, if it is grave, into a condition.
fn note(
    records: &Records,
    witness: &Witness,
    origin: &Origin,
    seen: &mut Seen,
    result: &Result<u64, OfferError>,
) -> &'static str {
    match result {
        Ok(size) => {
            *seen = Seen { size: *size, not_before: Instant::now() + PACE, wait: FIRST_WAIT };
            "cosigned"
        }
        Err(error) => {
            let reason = chain(error);
            tracing::warn!(region = %records.key, witness = witness.name, log = %origin, reason, "not cosigned");
            if let Some(kind) = error.evidence() {
                records.says(Evidence {
                    gateway: origin.keeper.gateway.to_string(),
                    incarnation: origin.keeper.incarnation.to_string(),
                    kind,
                    what: format!("witness {} refuses log {}: {reason}", witness.name, origin.scope),
                });
            }
            seen.not_before = Instant::now() + seen.wait;
            seen.wait = (seen.wait * 2).min(LONGEST_WAIT);
            if error.evidence().is_some() { "refused" } else { "failed" }
        }
    }
}

/// One log: from where the witness is to where the archive is. What it then has cosigned.
async fn offer(
    records: &Records,
    open: &Open,
    witness: &Witness,
    key: &VerifierKey,
    origin: &Origin,
    head: Head,
    seen: &mut Seen,
) -> Result<u64, OfferError> {
    let checkpoint = store::checkpoint(&open.archive, origin).await?.ok_or(OfferError::NoCheckpoint)?;
    let claimed = checkpoint.claimed().head();
    if claimed.size < head.size {
        return Err(OfferError::NoCheckpoint);
    }
    if seen.size == 0 && is_cosigned(&checkpoint, key) {
        return Ok(claimed.size);
    }
    // The witness may have seen more than this process remembers: it says so, and is asked once more from there.
    for _ in 0..2 {
        let request = request(open, origin, seen.size, &checkpoint).await?;
        let answer = Post {
            url: &format!("{}/add-checkpoint", witness.url.trim_end_matches('/')),
            authorities: witness.ca_bundle.as_deref(),
            // The platform team names witnesses, and may well have one in its own network.
            networks: Networks::Any,
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
            body: request.to_string().into_bytes(),
        };
        let answer = answer.send().await?;
        match judge(answer.status, &answer.body, claimed, seen.size)? {
            Said::Cosigned(signatures) => {
                keep(records, open, origin, key, claimed, signatures).await?;
                return Ok(claimed.size);
            }
            Said::From(size) => seen.size = size,
        }
    }
    Err(OfferError::Changes)
}

fn is_cosigned(checkpoint: &SignedCheckpoint, key: &VerifierKey) -> bool {
    checkpoint.clone().open(std::slice::from_ref(key)).is_ok_and(|opened| opened.statement_of(key).is_some())
}

async fn request(
    open: &Open,
    origin: &Origin,
    old: u64,
    checkpoint: &SignedCheckpoint,
) -> Result<AddCheckpoint, OfferError> {
    let size = checkpoint.claimed().head().size;
    let tiles = store::fetch(&open.archive, origin, needed_for_consistency(old, size)).await;
    let tiles = tiles.map_err(store::StoreError::from)?;
    let proof = Tree::new(tiles, size).consistency(old).map_err(|error| OfferError::Proof(chain(&error)))?;
    Ok(AddCheckpoint { old, proof, checkpoint: checkpoint.clone() })
}

/// What a witness said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Cosigned(Vec<Signature>),
    /// Ask again from this size.
    From(u64),
}

/// Reads an answer to an offer from size `old`.
fn judge(status: u16, body: &[u8], offered: Head, old: u64) -> Result<Said, OfferError> {
    let text = || std::str::from_utf8(body).map_err(|_| OfferError::Answer { status });
    match status {
        200 => {
            let lines = text()?.lines().map(str::parse::<Signature>);
            let signatures = lines.collect::<Result<Vec<_>, _>>().map_err(|_| OfferError::Answer { status })?;
            if signatures.is_empty() { Err(OfferError::Answer { status }) } else { Ok(Said::Cosigned(signatures)) }
        }
        409 => match text()?.trim_end().parse::<u64>().map_err(|_| OfferError::Answer { status })? {
            size if size > offered.size => Err(OfferError::Ahead { size, ours: offered.size }),
            // It was asked from there: so it knows another root of that size.
            size if size == old => Err(OfferError::Fork { size }),
            size => Ok(Said::From(size)),
        },
        422 => Err(OfferError::Refused),
        status => Err(OfferError::Answer { status }),
    }
}

/// Puts a cosignature into the archived checkpoint, if that is still the one that was offered.
async fn keep(
    records: &Records,
    open: &Open,
    origin: &Origin,
    key: &VerifierKey,
    offered: Head,
    signatures: Vec<Signature>,
) -> Result<(), OfferError> {
    let _only = records.checkpoints.lock().await;
    let mut checkpoint = store::checkpoint(&open.archive, origin).await?.ok_or(OfferError::NoCheckpoint)?;
    let is_offered = checkpoint.claimed().head() == offered;
    let of_witness = |signature: &Signature| signature.name() == key.name() && signature.id() == key.id();
    signatures.into_iter().filter(of_witness).for_each(|signature| checkpoint.add(signature));
    if !is_offered {
        // It has grown meanwhile, and is offered next.
        return Ok(());
    }
    if !is_cosigned(&checkpoint, key) {
        return Err(OfferError::BadSignature);
    }
    let stored = open.archive.records.put(&layout::checkpoint(origin), checkpoint.to_string().into_bytes()).await;
    Ok(stored.map_err(store::StoreError::from)?)
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
enum OfferError {
    #[error("it has cosigned {size} records, and {ours} are archived")]
    Ahead { size: u64, ours: u64 },
    #[error("it answered {status}, or nothing that can be read")]
    Answer { status: u16 },
    #[error("it answered with a signature that does not hold")]
    BadSignature,
    #[error("what it has seen changes with every question")]
    Changes,
    #[error("it has cosigned another history of the first {size} records")]
    Fork { size: u64 },
    #[error(transparent)]
    Https(#[from] HttpsError),
    #[error("the archive has no checkpoint of it")]
    NoCheckpoint,
    #[error("the archive gives no proof: {0}")]
    Proof(String),
    #[error("it does not believe that the log only grew")]
    Refused,
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

impl OfferError {
    /// What would be wrong with the log, if the witness is right.
    fn evidence(&self) -> Option<EvidenceKind> {
        match self {
            Self::Ahead { .. } => Some(EvidenceKind::RolledBack),
            Self::Fork { .. } | Self::Refused => Some(EvidenceKind::ForkFound),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
