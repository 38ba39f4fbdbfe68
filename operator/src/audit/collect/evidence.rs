//! What did not fit: stored as it came beside the log, never over it, for a person to look into. Lines with persons' keys
//! are left out, because evidence may lie under a lock that an erasure cannot open.

use jiff::Timestamp;
use object_store::path::Path;
use sallyport_audit::Keeper;
use sallyport_control::wire;
use sallyport_core::name::RegionId;
use sallyport_plan::audit::facts::{Evidence, EvidenceKind};
use serde::{Deserialize, Serialize};

use super::verify::Misfit;
use crate::audit::archive::{Archive, ArchiveError, layout};

/// The description beside what came.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    reason: String,
    what: String,
    found_at: Timestamp,
    after: u64,
    through: u64,
    newest: u64,
    public_key: String,
}

/// What is kept of a batch that did not fit.
pub(crate) struct Specimen<'a> {
    /// Whose.
    pub(crate) keeper: &'a Keeper,
    /// By which key it should be signed.
    pub(crate) public_key: String,
    /// As it came.
    pub(crate) batch: &'a wire::Batch,
    /// What is wrong with it.
    pub(crate) misfit: &'a Misfit,
}

/// Stores it. The same batch again is the same evidence.
pub(crate) async fn keep(archive: &Archive, specimen: &Specimen<'_>, now: Timestamp) -> Result<Evidence, ArchiveError> {
    let Specimen { keeper, public_key, batch, misfit } = specimen;
    let lines = without_keys(&batch.lines);
    let folder = layout::evidence_of(keeper).join(format!("{:020}-{}", batch.after, digest(&lines, batch)));
    let records = &archive.records;
    records.create(&folder.clone().join("lines"), lines).await?;
    for (nth, checkpoint) in batch.checkpoints.iter().enumerate() {
        records.create(&folder.clone().join(format!("checkpoint-{nth}")), checkpoint.note.clone()).await?;
    }
    let description = Description {
        reason: misfit.kind.label().to_owned(),
        what: misfit.what.clone(),
        found_at: now,
        after: batch.after,
        through: batch.through,
        newest: batch.newest,
        public_key: public_key.clone(),
    };
    // Last, so that a description is of something that is whole. An earlier one of the same batch stays.
    let json = serde_json::to_vec_pretty(&description).unwrap_or_default();
    records.create(&folder.clone().join(DESCRIPTION), json).await?;
    Ok(evidence(keeper, misfit.kind, &misfit.what, &folder))
}

/// All evidence of a region, oldest first.
pub(crate) async fn all(archive: &Archive, region: &RegionId) -> Result<Vec<Evidence>, ArchiveError> {
    let below = layout::evidence(region);
    let mut found = Vec::new();
    for path in archive.records.list(&below).await?.into_iter().filter(|path| path.filename() == Some(DESCRIPTION)) {
        let Some(keeper) = layout::keeper_at(region, &below, &path) else { continue };
        let Some(bytes) = archive.records.get(&path).await? else { continue };
        let folder = Path::from(path.as_ref().trim_end_matches(DESCRIPTION));
        let (at, kind, what) = match serde_json::from_slice::<Description>(&bytes) {
            Ok(description) => (description.found_at, kind(&description.reason), description.what),
            Err(error) => (Timestamp::MIN, EvidenceKind::Unreadable, format!("its description does not read: {error}")),
        };
        found.push((at, evidence(&keeper, kind, &what, &folder)));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, evidence)| evidence).collect())
}

const DESCRIPTION: &str = "found.json";

fn evidence(keeper: &Keeper, kind: EvidenceKind, what: &str, folder: &Path) -> Evidence {
    Evidence {
        gateway: keeper.gateway.to_string(),
        incarnation: keeper.incarnation.to_string(),
        kind,
        what: format!("{what} (in the archive: {folder})"),
    }
}

fn kind(label: &str) -> EvidenceKind {
    use EvidenceKind::{BadSignature, ForkFound, NumbersBroken, RolledBack, TimesBroken, Unreadable};
    let all = [BadSignature, ForkFound, NumbersBroken, RolledBack, TimesBroken];
    all.into_iter().find(|kind| kind.label() == label).unwrap_or(Unreadable)
}

fn without_keys(lines: &[u8]) -> Vec<u8> {
    /// Eight digits of the CRC and a space stand before a line's kind.
    const KIND: usize = 9;
    let keeps = |line: &&[u8]| line.get(KIND..KIND + 2) != Some(b"K ");
    lines.split_inclusive(|byte| *byte == b'\n').filter(keeps).flatten().copied().collect()
}

fn digest(lines: &[u8], batch: &wire::Batch) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(lines);
    for checkpoint in &batch.checkpoints {
        context.update(b"\0");
        context.update(&checkpoint.note);
    }
    context.update(&batch.newest.to_be_bytes());
    context.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_holds_no_persons_key() {
        let lines = b"00000000 R region {}\n00000000 K region id subject secret\n00000000 C note\nshort\nK";
        assert_eq!(without_keys(lines), b"00000000 R region {}\n00000000 C note\nshort\nK");
    }
}
