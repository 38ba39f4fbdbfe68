//! A tree as files (C2SP tlog-tiles): where each file lies, which of them a growth writes, what is in them.
//!
//! A tile of level 0 holds 256 leaf hashes; one of level 1 the roots of 256 full tiles of level 0, and so on. Beside each
//! tile of level 0 lies the bundle of its entries. The last file of each level is partial until it is full; full files
//! never change.

mod bundle;
mod path;

use std::ops::RangeInclusive;

use super::hash::{HASH_BYTES, Hash};

pub use bundle::{BundleError, MOST_ENTRY_BYTES, append_entry, entries};
pub use path::PathError;

/// How many hashes or entries a full tile has.
pub const WIDTH: u16 = 256;

/// The highest level that a tree of less than 2^64 leaves can have: 256^8 = 2^64.
const HIGHEST: u8 = 7;

/// What a tile holds. The order is the one of writing: entries first, then what is made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The leaves themselves.
    Entries,
    /// Roots of subtrees of 256^level leaves; level 0: leaf hashes. 0 to 63 in a path, 0 to 7 in any real tree.
    Hashes(u8),
}

/// The coordinates of one tile. `Display` and `FromStr` are its path below the log's folder, which has exactly one
/// spelling: `tile/0/x001/067`, `tile/1/000.p/3`, `tile/entries/000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: Level,
    index: u64,
    width: u16,
}

impl Tile {
    /// The tile of this level and index as a tree of `size` leaves has it; nothing when the tree does not reach it.
    pub fn of(level: Level, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_of(level, size);
        let before = index.checked_mul(u64::from(WIDTH))?;
        let width = hashes.checked_sub(before)?.min(u64::from(WIDTH));
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { level, index, width })
    }

    /// What it holds.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Its number in its level, from the left and from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has: 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it will grow no more.
    pub fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// The same tile once it has grown full. A reader who does not find a partial tile may take this one and ignore what
    /// is behind its width.
    #[must_use]
    pub fn filled(self) -> Self {
        Self { width: WIDTH, ..self }
    }

    /// The number of the first leaf below it and the one behind the last, of 2^64 at most.
    pub fn leaves(&self) -> std::ops::Range<u64> {
        let each = match self.level {
            Level::Entries | Level::Hashes(0) => 1,
            Level::Hashes(level) => 1u64.checked_shl(8 * u32::from(level)).unwrap_or(u64::MAX),
        };
        let start = self.index.saturating_mul(u64::from(WIDTH)).saturating_mul(each);
        start..start.saturating_add(u64::from(self.width).saturating_mul(each))
    }
}

/// All tiles of a tree of `size` leaves, in the order of writing.
pub fn tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    grown(0, size)
}

/// The tiles that a growth from `from` to `to` leaves writes, in the order of writing: who is stopped on the way has no
/// tile whose lower ones are missing. Partial tiles are those of the size `to` only. Nothing if it did not grow.
pub fn grown(from: u64, to: u64) -> impl Iterator<Item = Tile> {
    levels().flat_map(move |level| {
        let (before, after) = (hashes_of(level, from), hashes_of(level, to));
        let indices = if after > before { tile_with(before)..tile_with(after - 1) + 1 } else { 0..0 };
        indices.filter_map(move |index| Tile::of(level, index, to))
    })
}

/// The partial tiles of a tree of `size` leaves: what may be deleted once the tiles that replaced them are stored.
pub fn partial(size: u64) -> impl Iterator<Item = Tile> {
    levels().filter_map(move |level| Tile::of(level, tile_with(hashes_of(level, size)), size))
}

/// The content of a hash tile of this width, in order.
///
/// # Errors
/// [`HashTileError`] when it has not exactly that many hashes.
pub fn hashes(content: &[u8], width: u16) -> Result<impl ExactSizeIterator<Item = Hash> + '_, HashTileError> {
    match content.as_chunks::<HASH_BYTES>() {
        (hashes, []) if hashes.len() == usize::from(width) => Ok(hashes.iter().map(|hash| Hash(*hash))),
        _ => Err(HashTileError { bytes: content.len(), width }),
    }
}

/// The content of a hash tile.
pub fn encode_hashes(hashes: impl IntoIterator<Item = Hash>) -> Vec<u8> {
    let hashes = hashes.into_iter();
    let mut content = Vec::with_capacity(hashes.size_hint().0 * HASH_BYTES);
    hashes.for_each(|hash| content.extend_from_slice(&hash.0));
    content
}

/// Entries first, then upwards.
fn levels() -> impl Iterator<Item = Level> {
    const HASHES: RangeInclusive<u8> = 0..=HIGHEST;
    std::iter::once(Level::Entries).chain(HASHES.map(Level::Hashes))
}

/// How many hashes (or entries) this level of a tree has.
fn hashes_of(level: Level, size: u64) -> u64 {
    match level {
        Level::Entries => size,
        Level::Hashes(level) => size.checked_shr(8 * u32::from(level)).unwrap_or(0),
    }
}

fn tile_with(hash: u64) -> u64 {
    hash / u64::from(WIDTH)
}

/// A hash tile has another length than its width says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hash tile of width {width} has {bytes} bytes instead of {}", usize::from(*width) * HASH_BYTES)]
pub struct HashTileError {
    /// How many bytes it has.
    pub bytes: usize,
    /// How many hashes it should have.
    pub width: u16,
}
