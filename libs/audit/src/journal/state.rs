//! The writer's side: what happened becomes lines. Pure; the file, the syncs and the acknowledgements are the gateway's.

use data_encoding::BASE64;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::keys::{KeptKey, Keys, year};
use super::line::{self, Kind};
use super::snapshot::Snapshot;
use crate::event::Event;
use crate::hex::Subject;
use crate::person::{Person, PersonKey};
use crate::record::{Clock, MAX_RECORD, Record, encode};
use crate::scope::{Keeper, Scope};
use crate::seal::{SealError, SealNonce, seal};
use crate::tlog::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::tlog::note::{KeyName, KeyNameError, Signer, SigningKey};
use crate::tlog::tree::Head;

/// What the wall clock says, and how good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// The time.
    pub at: Timestamp,
    /// Whether the system says that its clock is synchronised.
    pub synced: bool,
    /// The largest error that the system reckons with, in milliseconds; none when it does not tell.
    pub error_ms: Option<u64>,
}

/// A record that was appended. It counts once its lines are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number in the journal.
    pub sequence: u64,
    /// Its log.
    pub scope: Scope,
    /// Its index there.
    pub n: u64,
    /// Its time.
    pub at: Timestamp,
}

/// The journal as its writer knows it: numbers, times, trees and keys. When lines that it gave could not be made durable,
/// it must not be used any more.
#[derive(Debug)]
pub struct State {
    keeper: Keeper,
    snapshot: Snapshot,
    keys: Keys,
}

impl State {
    /// The journal of a new incarnation.
    pub fn new(keeper: Keeper) -> Self {
        let snapshot = Snapshot::empty(keeper.incarnation);
        Self { keeper, snapshot, keys: Keys::default() }
    }

    /// Goes on where the journal ends, with the keys that were found in it.
    ///
    /// # Errors
    /// [`AppendError::AnotherIncarnation`] when the journal is not this keeper's.
    pub fn resume(
        keeper: Keeper,
        snapshot: Snapshot,
        found: impl IntoIterator<Item = KeptKey>,
    ) -> Result<Self, AppendError> {
        if keeper.incarnation != snapshot.incarnation {
            return Err(AppendError::AnotherIncarnation);
        }
        let mut keys = Keys::default();
        found.into_iter().for_each(|kept| keys.keep(kept));
        Ok(Self { keeper, snapshot, keys })
    }

    /// Whose journal.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The state now, for the first line of a file.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Sequence number of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.snapshot.next
    }

    /// Adds the first line of a new file.
    pub fn begin_file(&self, lines: &mut Vec<u8>) {
        line::write(lines, Kind::Snapshot, &[&self.snapshot.to_json()]);
    }

    /// Adds the lines of a record: the person's key first, if this is its first use. `random` fills its argument with
    /// random bytes that nobody can guess.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was added then.
    pub fn append(
        &mut self,
        event: Event<Person>,
        wall: Wall,
        random: &mut dyn FnMut(&mut [u8]),
        lines: &mut Vec<u8>,
    ) -> Result<Appended, AppendError> {
        let scope = event.scope();
        let (at, clock) = self.date(&scope, wall);
        let n = self.snapshot.size(&scope);
        if let Event::AuditErased(erased) = &event {
            self.keys.forget(&scope, erased.subject);
        }
        let origin = self.keeper.origin(scope);
        let mut fresh = None;
        let event = event.try_map(|person| {
            let (key, is_new) = self.key(&origin.scope, person.subject(), year(at), random);
            let mut nonce = SealNonce::default();
            random(&mut nonce);
            let sealed = seal(&person, &key.key, &origin, n, nonce)?;
            fresh = is_new.then_some(key);
            Ok::<_, AppendError>(sealed)
        })?;
        let record = Record { n, at, clock, event };
        let leaf = encode(&record);
        if !(1..=MAX_RECORD).contains(&leaf.len()) {
            return Err(AppendError::TooLong { bytes: leaf.len() });
        }
        let scope = origin.scope;
        if let Some(kept) = fresh {
            write_key(lines, &kept);
            self.keys.keep(kept);
        }
        line::write(lines, Kind::Record, &[scope.to_string().as_bytes(), &leaf]);
        let sequence = self.snapshot.next;
        self.snapshot.push(&scope, &record, &leaf);
        Ok(Appended { sequence, scope, n, at })
    }

    /// Size and root of a log.
    pub fn head(&self, scope: &Scope) -> Head {
        self.snapshot.head(scope)
    }

    /// A checkpoint of a log as far as it is now. `key` is the incarnation's: it signs under the log's origin.
    ///
    /// # Errors
    /// See [`SignError`]; no known origin does this.
    pub fn checkpoint(&self, scope: &Scope, key: &SigningKey) -> Result<SignedCheckpoint, SignError> {
        let origin = KeyName::new(self.keeper.origin(scope.clone()))?;
        Ok(Checkpoint::new(&origin, self.head(scope)).sign(&Signer::new(origin, key.clone()))?)
    }

    /// Adds the line of a checkpoint that was signed since the last record of its log.
    pub fn write_checkpoint(&self, checkpoint: &SignedCheckpoint, lines: &mut Vec<u8>) {
        line::write(lines, Kind::Checkpoint, &[BASE64.encode(checkpoint.to_string().as_bytes()).as_bytes()]);
    }

    /// Time never falls within a log: a clock that was set back is told, and the last time stands.
    fn date(&self, scope: &Scope, wall: Wall) -> (Timestamp, Clock) {
        let last = self.snapshot.logs.get(scope).map_or(Timestamp::MIN, |log| log.at);
        let now = micros(wall.at);
        let behind = last.duration_since(now).max(jiff::SignedDuration::ZERO);
        // Rounded up, so that no step back is told as none.
        let behind_ms =
            if now < last { u64::try_from(behind.as_micros()).unwrap_or(u64::MAX).div_ceil(1000) } else { 0 };
        (now.max(last), Clock { synced: wall.synced, error_ms: wall.error_ms, behind_ms })
    }

    fn key(&self, scope: &Scope, subject: Subject, year: i16, random: &mut dyn FnMut(&mut [u8])) -> (KeptKey, bool) {
        let known = self.keys.find(scope, subject, year).cloned();
        let is_new = known.is_none();
        let key = known.unwrap_or_else(|| {
            let mut bytes = Zeroizing::new([0; PersonKey::LEN]);
            random(bytes.as_mut_slice());
            PersonKey::new(*bytes)
        });
        (KeptKey { scope: scope.clone(), subject, year, key }, is_new)
    }
}

/// Finer than this the clock is not.
fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

fn write_key(lines: &mut Vec<u8>, kept: &KeptKey) {
    let key = Zeroizing::new(BASE64.encode(kept.key.expose()));
    let (scope, id, subject) = (kept.scope.to_string(), kept.key.id().to_string(), kept.subject.to_string());
    line::write(lines, Kind::Key, &[scope.as_bytes(), id.as_bytes(), subject.as_bytes(), key.as_bytes()]);
}

/// Why an event could not become a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The journal was written under another key.
    #[error("the journal is another incarnation's")]
    AnotherIncarnation,
    /// See [`SealError`].
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its types should not let this be.
    #[error("a record of {bytes} bytes, where {MAX_RECORD} are the most")]
    TooLong {
        /// How long.
        bytes: usize,
    },
}

/// Why no checkpoint could be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// See [`CheckpointError`].
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The origin cannot name a key.
    #[error(transparent)]
    Name(#[from] KeyNameError),
}
