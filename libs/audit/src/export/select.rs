//! Which records of a log are of a span of time, and which files prove that they are all.

use std::ops::Range;

use jiff::Timestamp;

use super::about::Period;
use crate::person::Sealed;
use crate::record::{DecodeError, Record, decode};
use crate::tlog::tile::{self, Level, Tile, WIDTH};
use crate::tlog::tree::{Tiles, Tree, TreeError};

/// The records of a log that are of a span of time. Times never fall within a log, so they follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Records in the whole log.
    pub size: u64,
    /// The first record that is at or behind the beginning.
    pub first: u64,
    /// The first record that is at or behind the end; the log's size if there is none.
    pub end: u64,
    /// Records before this one were deleted; it is then the first. 0: none that matters here.
    pub deleted_before: u64,
}

impl Selection {
    /// The records that go along: those of the time and the neighbours on both sides, which show that nothing is missing
    /// between.
    pub fn covered(&self) -> Range<u64> {
        let before = u64::from(self.deleted_before == 0);
        self.first.saturating_sub(before)..self.end.saturating_add(1).min(self.size)
    }

    /// The entry bundles that hold them, in order.
    pub fn bundles(&self) -> impl Iterator<Item = Tile> + use<> {
        let (Range { start, end }, size) = (self.covered(), self.size);
        let indices = if start < end { start / WIDE..(end - 1) / WIDE + 1 } else { 0..0 };
        indices.filter_map(move |index| Tile::of(Level::Entries, index, size))
    }

    /// The hash tiles: all that there are, so that the whole log can be compared with any checkpoint of it.
    pub fn hash_tiles(&self) -> impl Iterator<Item = Tile> + use<> {
        hash_tiles(self.size)
    }
}

/// All hash tiles of a log, level by level. A size that nobody vouched for costs nothing until they are taken.
pub(crate) fn hash_tiles(size: u64) -> impl Iterator<Item = Tile> {
    // 256^8 = 2^64: no log has more levels.
    (0..8).flat_map(move |level| (0..).map_while(move |index| Tile::of(Level::Hashes(level), index, size)))
}

const WIDE: u64 = WIDTH as u64;

/// Finds the records of a time by halving: a few bundles are read.
///
/// # Errors
/// See [`SelectError`].
pub fn select<T: Tiles>(tree: &Tree<T>, period: Period) -> Result<Selection, SelectError> {
    let size = tree.size();
    let first = not_before(tree, period.from)?;
    let end = not_before(tree, period.to.max(period.from))?;
    let deleted = first > 0 && bundle(tree, (first - 1) / WIDE)?.is_none();
    Ok(Selection { size, first, end, deleted_before: if deleted { first } else { 0 } })
}

/// The first record whose time is not before `at`. Bundles that are deleted are the oldest, so they are before it.
fn not_before<T: Tiles>(tree: &Tree<T>, at: Timestamp) -> Result<u64, SelectError> {
    let (mut low, mut high) = (0, tree.size().div_ceil(WIDE));
    // Bundles below `low` begin before the time, those from `high` on do not.
    while low < high {
        let middle = low + (high - low) / 2;
        let begins = match bundle(tree, middle)? {
            Some(content) => Some(entry(&content, middle, 0)?.at),
            None => None,
        };
        if begins.is_none_or(|begins| begins < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some(last) = low.checked_sub(1) else { return Ok(0) };
    let end = tree.size().min(low * WIDE);
    let Some(content) = bundle(tree, last)? else { return Ok(end) };
    for index in last * WIDE..end {
        if entry(&content, last, index - last * WIDE)?.at >= at {
            return Ok(index);
        }
    }
    Ok(end)
}

type Bundle = (Tile, Vec<u8>);

fn bundle<T: Tiles>(tree: &Tree<T>, index: u64) -> Result<Option<Bundle>, SelectError> {
    let Some(tile) = Tile::of(Level::Entries, index, tree.size()) else { return Ok(None) };
    match tree.content(tile) {
        Ok(content) => Ok(Some((tile, content))),
        Err(TreeError::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn entry((tile, content): &Bundle, bundle: u64, nth: u64) -> Result<Record<Sealed>, SelectError> {
    let damaged = |source| TreeError::Bundle { tile: *tile, source };
    let entries = tile::entries(content, tile.width()).map_err(damaged)?;
    let index = bundle * WIDE + nth;
    let beyond = TreeError::OutOfRange { at: index, size: tile.leaves().end };
    let bytes = usize::try_from(nth).ok().and_then(|nth| entries.get(nth)).ok_or(beyond)?;
    decode(bytes).map_err(|source| SelectError::Record { index, source })
}

/// Why records could not be found.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A record is none.
    #[error("record {index} cannot be read")]
    Record {
        /// Its number.
        index: u64,
        /// Why.
        source: DecodeError,
    },
    /// The log's files.
    #[error("the log cannot be read")]
    Tree(#[from] TreeError),
}
