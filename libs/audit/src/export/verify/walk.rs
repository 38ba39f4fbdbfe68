//! One log from its first hash to its last, and its records on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::fault::{Check, Fault, What};
use super::folder::{Files, Folder};
use super::opened::OpenedLog;
use crate::export::keys::show;
use crate::export::paths;
use crate::export::select::{Selection, hash_tiles};
use crate::hex::KeyId;
use crate::person::{Sealed, Shown};
use crate::record::{Record, decode};
use crate::scope::Origin;
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::{HASH_BYTES, Hash};
use crate::tlog::tile::{self, Level, MOST_ENTRY_BYTES, Tile, WIDTH};
use crate::tlog::tree::Head;

/// A full hash tile.
const FULL: usize = WIDTH as usize * HASH_BYTES;
/// A full bundle of the longest entries.
const MOST_BUNDLE: usize = WIDTH as usize * (2 + MOST_ENTRY_BYTES);

/// A log that is being read. One that cannot be read has no records.
pub(super) struct Walk<'o> {
    number: usize,
    log: &'o OpenedLog,
    open: Option<Reading>,
}

/// Where it stands.
struct Reading {
    head: Head,
    selection: Selection,
    bundles: std::ops::Range<u64>,
    /// The next tile of leaf hashes.
    next: u64,
    frontier: Frontier,
    /// Of each level above the leaves the tile that its hashes make, and its number.
    above: Vec<(u64, Vec<u8>)>,
    /// A tile could not be read, so nothing follows from those behind it.
    broken: bool,
    /// Sizes at which the root is wanted, and what it was.
    wanted: BTreeSet<u64>,
    roots: BTreeMap<u64, Hash>,
    records: VecDeque<Record<Shown>>,
    /// Keys that records of the time name.
    used: BTreeSet<KeyId>,
    last: Option<Timestamp>,
}

impl<'o> Walk<'o> {
    /// Nothing is read yet. Files that must be there and are not named end it: a size is only as believable as the files
    /// that it needs.
    pub(super) fn begin(folder: &mut Folder<'_, impl Files>, number: usize, log: &'o OpenedLog) -> Self {
        let open = log.head.and_then(|head| Reading::begin(folder, number, log, head));
        if open.is_none() {
            folder.leave(number);
        }
        Self { number, log, open }
    }

    pub(super) fn origin(&self) -> &'o Origin {
        &self.log.about.origin
    }

    /// The next record of the time.
    pub(super) fn next(&mut self, folder: &mut Folder<'_, impl Files>) -> Option<Record<Shown>> {
        let reading = self.open.as_mut()?;
        loop {
            if let Some(record) = reading.records.pop_front() {
                return Some(record);
            }
            if !reading.advance(folder, self.number, self.log) {
                return None;
            }
        }
    }

    /// The rest, the root, and what was known before.
    pub(super) fn end(self, folder: &mut Folder<'_, impl Files>) {
        let Some(mut reading) = self.open else { return };
        while reading.advance(folder, self.number, self.log) {}
        reading.finish(folder, self.number, self.log);
    }
}

impl Reading {
    fn begin(folder: &mut Folder<'_, impl Files>, number: usize, log: &OpenedLog, head: Head) -> Option<Self> {
        let about = &log.about;
        let selection = Selection {
            size: head.size,
            first: about.first,
            end: about.first.saturating_add(about.records),
            deleted_before: about.deleted_before,
        };
        // At most as many names are tried as the manifest has.
        let mut needed = hash_tiles(head.size).chain(selection.bundles()).map(|tile| paths::tile(number, tile));
        if let Some(missing) = needed.find(|path| !folder.names(path)) {
            folder.file(Check::Manifest, &missing, What::Missing);
            return None;
        }
        let mut bundles = selection.bundles().map(|tile| tile.index());
        let first = bundles.next();
        let bundles = first.map_or(0..0, |first| first..bundles.last().unwrap_or(first) + 1);
        let sizes = log.known.iter().map(|(head, _)| head.size);
        Some(Self {
            head,
            selection,
            bundles,
            next: 0,
            frontier: Frontier::new(),
            above: Vec::new(),
            broken: false,
            wanted: sizes.collect(),
            roots: BTreeMap::from([(0, Hash::EMPTY)]),
            records: VecDeque::new(),
            used: BTreeSet::new(),
            last: None,
        })
    }

    /// The next tile of leaf hashes, and the entries below it.
    fn advance(&mut self, folder: &mut Folder<'_, impl Files>, number: usize, log: &OpenedLog) -> bool {
        let Some(tile) = Tile::of(Level::Hashes(0), self.next, self.head.size) else { return false };
        let path = paths::tile(number, tile);
        let content = folder.read(&path, FULL);
        let hashes: Option<Vec<Hash>> =
            match content.map(|content| tile::hashes(&content, tile.width()).map(Iterator::collect)) {
                Some(Ok(hashes)) => Some(hashes),
                Some(Err(error)) => {
                    folder.file(Check::Tree, &path, What::Damaged { why: error.to_string() });
                    None
                }
                None => None,
            };
        match &hashes {
            Some(hashes) if !self.broken => self.grow(folder, number, hashes),
            Some(_) => {}
            None => self.broken = true,
        }
        if self.bundles.contains(&self.next)
            && let Some(bundle) = Tile::of(Level::Entries, self.next, self.head.size)
        {
            self.bundle(folder, number, log, bundle, hashes.as_deref());
        }
        self.next += 1;
        true
    }

    fn grow(&mut self, folder: &mut Folder<'_, impl Files>, number: usize, hashes: &[Hash]) {
        let above = &mut self.above;
        for hash in hashes {
            self.frontier.push_noting(*hash, |level, hash| {
                let Some(level) = level.checked_sub(1) else { return };
                if above.len() <= level {
                    above.resize_with(level + 1, || (0, Vec::with_capacity(FULL)));
                }
                above[level].1.extend_from_slice(&hash.0);
            });
            if self.wanted.contains(&self.frontier.size()) {
                self.roots.insert(self.frontier.size(), self.frontier.root());
            }
        }
        for level in 0..self.above.len() {
            if self.above[level].1.len() == FULL {
                self.compare_above(folder, number, level);
            }
        }
    }

    /// Whether the tile of a level above the leaves has the hashes that follow from those below.
    fn compare_above(&mut self, folder: &mut Folder<'_, impl Files>, number: usize, level: usize) {
        let (index, made) = &mut self.above[level];
        let height = u8::try_from(level + 1).unwrap_or(u8::MAX);
        if let Some(tile) = Tile::of(Level::Hashes(height), *index, self.head.size) {
            let path = paths::tile(number, tile);
            if let Some(found) = folder.read(&path, FULL)
                && found != *made
                && !self.broken
            {
                folder.file(Check::Tree, &path, What::Tile);
            }
        }
        made.clear();
        *index += 1;
    }

    fn bundle(
        &mut self,
        folder: &mut Folder<'_, impl Files>,
        number: usize,
        log: &OpenedLog,
        bundle: Tile,
        hashes: Option<&[Hash]>,
    ) {
        let path = paths::tile(number, bundle);
        let Some(content) = folder.read(&path, MOST_BUNDLE) else { return };
        let entries = match tile::entries(&content, bundle.width()) {
            Ok(entries) => entries,
            Err(error) => {
                let why = error.to_string();
                // The first entry that is not what it was tells where the damage begins.
                let sound = hashes.map_or(0, |hashes| sound(&content, hashes));
                let record = bundle.leaves().start.saturating_add(sound);
                return folder.record(Check::Entries, &path, record, What::Damaged { why });
            }
        };
        for ((index, entry), nth) in bundle.leaves().zip(entries).zip(0..) {
            let hash = hashes.and_then(|hashes| hashes.get(nth));
            if hash.is_some_and(|hash| *hash != Hash::leaf(entry)) {
                folder.record(Check::Entries, &path, index, What::Hash);
            }
            match decode(entry) {
                Ok(record) => self.record(folder, &path, log, index, record),
                Err(error) => {
                    folder.record(Check::Entries, &path, index, What::Unreadable { why: error.to_string() });
                }
            }
        }
    }

    fn record(
        &mut self,
        folder: &mut Folder<'_, impl Files>,
        path: &str,
        log: &OpenedLog,
        index: u64,
        record: Record<Sealed>,
    ) {
        let mut fault = |check, what| folder.record(check, path, index, what);
        let (at, period, Selection { first, end, .. }) = (record.at, log.period, self.selection);
        if record.n != index {
            return fault(Check::Entries, What::Number { says: record.n });
        }
        if self.last.is_some_and(|last| last > at) {
            fault(Check::Entries, What::TimeFell);
        }
        self.last = Some(at);
        if record.event.scope() != log.about.origin.scope {
            fault(Check::Entries, What::Scope { scope: record.event.scope().to_string() });
        }
        let neighbour = |side| What::Neighbour { side, at: at.to_string() };
        if index < first && at >= period.from {
            fault(Check::Completeness, neighbour("before"));
        } else if index >= end && at < period.to {
            fault(Check::Completeness, neighbour("behind"));
        } else if (first..end).contains(&index) && !period.contains(at) {
            fault(Check::Completeness, What::OutsidePeriod { at: at.to_string() });
        }
        if !(first..end).contains(&index) {
            return; // a neighbour, whose person is not shown
        }
        self.used.extend(record.event.person().map(|sealed| sealed.key));
        match show(&log.about.origin, record, |id| log.keys.find(id).cloned()) {
            Ok(record) => self.records.push_back(record),
            Err(error) => fault(Check::Entries, What::Person { why: error.to_string() }),
        }
    }

    fn finish(mut self, folder: &mut Folder<'_, impl Files>, number: usize, log: &OpenedLog) {
        for level in 0..self.above.len() {
            if !self.above[level].1.is_empty() {
                self.compare_above(folder, number, level);
            }
        }
        if log.keys.names().any(|id| !self.used.contains(id)) && !folder.has(Check::Entries) {
            folder.file(Check::Entries, &paths::keys(number), What::KeysUnneeded);
        }
        if self.broken {
            return folder.leave(number);
        }
        if self.frontier.root() != self.head.root {
            return folder.file(Check::Tree, &paths::checkpoint(number), What::Root);
        }
        for (known, name) in &log.known {
            let what = match self.roots.get(&known.size) {
                None => What::Rollback { known: known.size, size: self.head.size },
                Some(root) if *root != known.root => What::Fork { size: known.size },
                Some(_) => continue,
            };
            let (file, log) = (Some(name.clone()), Some(log.about.origin.to_string()));
            folder.fault(Fault { check: Check::Known, file, log, record: None, what });
        }
    }
}

/// How many entries at the beginning of a damaged bundle are those of the log.
fn sound(content: &[u8], hashes: &[Hash]) -> u64 {
    let (mut rest, mut sound) = (content, 0);
    for hash in hashes {
        let Some((length, behind)) = rest.split_first_chunk::<2>() else { break };
        let Some((entry, behind)) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
        if Hash::leaf(entry) != *hash {
            break;
        }
        (rest, sound) = (behind, sound + 1);
    }
    sound
}
