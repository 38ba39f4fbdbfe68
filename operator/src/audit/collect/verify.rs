//! Whether a batch goes on from what is archived. Pure: nothing is written before this has said yes.
//!
//! The gateway stands in the DMZ and may be taken over, so nothing that it says is believed: numbers, times and roots are
//! computed anew from the lines, the signature is checked by the key that was there first, and where the archive already
//! has a checkpoint, this history must run through it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_audit::journal::{Found, LineError, Reader};
use sallyport_audit::tlog::checkpoint::{OpenOursError, OpenedCheckpoint, SignedCheckpoint};
use sallyport_audit::tlog::note::{KeyName, SignatureType, VerifierKey};
use sallyport_audit::tlog::tree::Head;
use sallyport_audit::{Keeper, KeyId, PersonKey, PublicKey, Record, Scope, Sealed, Subject, encode};
use sallyport_control::wire;
use sallyport_plan::audit::facts::EvidenceKind;

use super::state::State;

/// A batch that goes on from what is archived.
#[derive(Debug)]
pub(crate) struct Verified {
    /// What will be archived when all of it is stored.
    pub(crate) state: State,
    /// New leaves of each log, in order.
    pub(crate) leaves: BTreeMap<Scope, Vec<Vec<u8>>>,
    /// Persons' keys.
    pub(crate) keys: Vec<FoundKey>,
    /// Of each log with new leaves: as the gateway signed it.
    pub(crate) checkpoints: BTreeMap<Scope, OpenedCheckpoint>,
}

/// A person's key in a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FoundKey {
    /// For which log.
    pub(crate) scope: Scope,
    /// For whom.
    pub(crate) subject: Subject,
    /// The key.
    pub(crate) key: PersonKey,
    /// Time of the first record of the batch that is sealed with it; a journal has both in one append.
    pub(crate) used: Option<Timestamp>,
}

/// A batch that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Misfit {
    /// What is wrong.
    pub(crate) kind: EvidenceKind,
    /// Where, in words.
    pub(crate) what: String,
}

impl Misfit {
    pub(crate) fn new(kind: EvidenceKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

/// Judges a batch behind `before`. `archived` are the checkpoints that the archive already has of its logs: they may be
/// ahead of `before` when the operator stopped between writing them and `state.json`.
///
/// # Errors
/// [`Misfit`]: evidence.
pub(crate) fn verify(
    before: &State,
    keeper: &Keeper,
    batch: &wire::Batch,
    archived: &BTreeMap<Scope, Head>,
) -> Result<Verified, Misfit> {
    whole(before, keeper, batch)?;
    let mut reading = Reading {
        reader: Reader::new(before.journal.clone()),
        keeper,
        key: before.public_key,
        archived,
        leaves: BTreeMap::new(),
        keys: Vec::new(),
        last: before.archived_at,
    };
    reading.begins_where_the_archive_ends()?;
    let lines = batch.lines.strip_suffix(b"\n").ok_or_else(|| torn("the batch does not end with a line"))?;
    for line in lines.split(|byte| *byte == b'\n') {
        reading.line(line)?;
    }
    reading.finish(before, batch)
}

/// What the batch says of itself.
fn whole(before: &State, keeper: &Keeper, batch: &wire::Batch) -> Result<(), Misfit> {
    let through = before.through();
    if batch.incarnation != keeper.incarnation.to_string() {
        let what = format!("a batch of incarnation {:?} was given for another", shown(&batch.incarnation));
        return Err(Misfit::new(EvidenceKind::Unreadable, what));
    }
    if batch.newest < through {
        let what = format!("its journal ends at record {}, and {through} are archived: an older copy", batch.newest);
        return Err(Misfit::new(EvidenceKind::RolledBack, what));
    }
    if batch.after != through || batch.through <= through || batch.newest < batch.through {
        let what = format!(
            "a batch behind record {through} was asked for, and one of {} to {} of {} was given",
            batch.after, batch.through, batch.newest
        );
        return Err(Misfit::new(EvidenceKind::NumbersBroken, what));
    }
    Ok(())
}

struct Reading<'a> {
    reader: Reader,
    keeper: &'a Keeper,
    key: PublicKey,
    archived: &'a BTreeMap<Scope, Head>,
    leaves: BTreeMap<Scope, Vec<Vec<u8>>>,
    keys: Vec<FoundKey>,
    last: Option<Timestamp>,
}

impl Reading<'_> {
    /// A checkpoint at or before the state must be the state's own: otherwise the archive itself was changed.
    fn begins_where_the_archive_ends(&self) -> Result<(), Misfit> {
        for (scope, archived) in self.archived {
            let known = self.reader.state().head(scope);
            if archived.size < known.size || (archived.size == known.size && archived.root != known.root) {
                let what = format!(
                    "log {scope}: the archive's checkpoint of {} records is not that of its {} records",
                    archived.size, known.size
                );
                return Err(Misfit::new(EvidenceKind::ForkFound, what));
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Misfit> {
        match self.reader.line(line).map_err(misfit)? {
            Found::Snapshot => Ok(()),
            Found::Key { scope, subject, key } => {
                self.keys.push(FoundKey { scope, subject, key, used: None });
                Ok(())
            }
            Found::Checkpoint { origin, signed } => self.signed(&origin.scope, signed).map(drop),
            Found::Record { scope, record, .. } => self.record(scope, &record),
        }
    }

    fn record(&mut self, scope: Scope, record: &Record<Sealed>) -> Result<(), Misfit> {
        if let Some(sealed) = record.event.person() {
            self.uses(&scope, sealed.key, record.at);
        }
        let head = self.reader.state().head(&scope);
        if let Some(archived) = self.archived.get(&scope).filter(|archived| archived.size == head.size)
            && archived.root != head.root
        {
            let what = format!(
                "log {scope}: with record {} it is another log than the one whose checkpoint of {} records is archived",
                record.n, archived.size
            );
            return Err(Misfit::new(EvidenceKind::ForkFound, what));
        }
        self.last = self.last.max(Some(record.at));
        self.leaves.entry(scope).or_default().push(encode(record));
        Ok(())
    }

    fn uses(&mut self, scope: &Scope, id: KeyId, at: Timestamp) {
        let unused = self
            .keys
            .iter_mut()
            .rev()
            .find(|found| found.used.is_none() && found.scope == *scope && found.key.id() == id);
        if let Some(found) = unused {
            found.used = Some(at);
        }
    }

    /// The gateway's own signature, under the log's origin.
    fn signed(&self, scope: &Scope, signed: SignedCheckpoint) -> Result<OpenedCheckpoint, Misfit> {
        let origin = self.keeper.origin(scope.clone());
        let unreadable = |what: String| Misfit::new(EvidenceKind::Unreadable, what);
        let name = KeyName::new(origin.clone()).map_err(|error| unreadable(error.to_string()))?;
        let key = VerifierKey::new(name.clone(), SignatureType::Text, self.key.0);
        signed.open_ours(&name, &[key]).map_err(|error| match error {
            OpenOursError::Open(_) => Misfit::new(
                EvidenceKind::BadSignature,
                format!("log {scope}: its checkpoint is not signed by the incarnation's key"),
            ),
            error => unreadable(format!("log {scope}: {error}")),
        })
    }

    fn finish(self, before: &State, batch: &wire::Batch) -> Result<Verified, Misfit> {
        let through = self.reader.state().next - 1;
        if through != batch.through {
            let what = format!("its lines end with record {through}, and it says {}", batch.through);
            return Err(Misfit::new(EvidenceKind::NumbersBroken, what));
        }
        let checkpoints = self.checkpoints(batch)?;
        let replaced = self.leaves.keys().map(|scope| (scope.clone(), before.journal.size(scope))).collect();
        let state = State {
            public_key: before.public_key,
            journal: self.reader.into_state(),
            archived_at: self.last,
            replaced,
            ended: None,
        };
        Ok(Verified { state, leaves: self.leaves, keys: self.keys, checkpoints })
    }

    /// One of each log that has new records, of exactly its size.
    fn checkpoints(&self, batch: &wire::Batch) -> Result<BTreeMap<Scope, OpenedCheckpoint>, Misfit> {
        let mut opened = BTreeMap::new();
        for checkpoint in &batch.checkpoints {
            let unreadable = |why: &str| {
                Misfit::new(EvidenceKind::Unreadable, format!("log {:?}: its checkpoint {why}", shown(&checkpoint.log)))
            };
            let scope: Scope = checkpoint.log.parse().map_err(|_| unreadable("names no log"))?;
            let signed = SignedCheckpoint::parse(&checkpoint.note).map_err(|error| unreadable(&error.to_string()))?;
            let signed = self.signed(&scope, signed)?;
            if signed.head() != self.reader.state().head(&scope) {
                let what = format!(
                    "log {scope}: the checkpoint of {} records is not that of the {} records that came",
                    signed.head().size,
                    self.reader.state().size(&scope)
                );
                return Err(Misfit::new(EvidenceKind::ForkFound, what));
            }
            opened.insert(scope, signed);
        }
        opened.retain(|scope, _| self.leaves.contains_key(scope));
        match self.leaves.keys().find(|scope| !opened.contains_key(scope)) {
            Some(scope) => Err(Misfit::new(
                EvidenceKind::BadSignature,
                format!("log {scope}: its new records came without a checkpoint"),
            )),
            None => Ok(opened),
        }
    }
}

fn misfit(error: LineError) -> Misfit {
    let kind = match &error {
        LineError::Number { .. } => EvidenceKind::NumbersBroken,
        LineError::Root { .. } | LineError::Snapshot => EvidenceKind::ForkFound,
        LineError::Time { .. } => EvidenceKind::TimesBroken,
        LineError::Malformed { .. } | LineError::Record { .. } | LineError::Scope { .. } | LineError::Unreadable => {
            EvidenceKind::Unreadable
        }
    };
    Misfit::new(kind, error.to_string())
}

fn torn(what: &str) -> Misfit {
    Misfit::new(EvidenceKind::Unreadable, what)
}

/// What a person reads of a gateway's words.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests;
