//! Growth: entries in, tiles out.

use super::read::{Tiles, Tree, TreeError};
use super::{Growth, Head};
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::{HASH_BYTES, Hash};
use crate::tlog::tile::{self, Level, MOST_ENTRY_BYTES, Tile, WIDTH};

/// A full hash tile.
const FULL_BYTES: usize = WIDTH as usize * HASH_BYTES;

/// A tree that grows at its right edge. It keeps the partial tiles and hands out what is to be written; it never needs
/// a full tile again.
#[derive(Clone, Debug)]
pub struct Appender {
    frontier: Frontier,
    /// The entry bundle that is not full yet; empty when the last one is.
    bundle: Vec<u8>,
    /// Of each level the hash tile that is not full yet. Level 0 first.
    partial: Vec<Vec<u8>>,
    /// Full since the last [`Appender::take`].
    full: Vec<(Tile, Vec<u8>)>,
    /// The size at the last [`Appender::take`].
    taken: u64,
}

impl Appender {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self { frontier: Frontier::new(), bundle: Vec::new(), partial: Vec::new(), full: Vec::new(), taken: 0 }
    }

    /// Goes on where a stored tree of `size` leaves ends. Compare [`Appender::head`] with what was signed for it before
    /// anything is added: a damaged tile gives another root. That the entries of the last bundle are those of the tree
    /// is checked here.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn open(tiles: impl Tiles, size: u64) -> Result<Self, TreeError> {
        let tree = Tree::new(tiles, size);
        let mut appender = Self { frontier: tree.frontier()?, taken: size, ..Self::new() };
        for tile in tile::partial(size) {
            let content = tree.content(tile)?;
            match tile.level() {
                Level::Entries => appender.bundle = content,
                Level::Hashes(level) => *level_of(&mut appender.partial, usize::from(level)) = content,
            }
        }
        appender.check_bundle()?;
        Ok(appender)
    }

    /// Adds an entry and returns its leaf hash.
    ///
    /// # Errors
    /// [`EntryError`] when it is longer than a bundle can hold; the tree is then unchanged.
    pub fn push(&mut self, entry: &[u8]) -> Result<Hash, EntryError> {
        let bundle = &mut self.bundle;
        tile::append_entry(bundle, entry).map_err(|_| EntryError { bytes: entry.len() })?;
        let leaf = Hash::leaf(entry);
        let size = self.frontier.size() + 1;
        if size.is_multiple_of(u64::from(WIDTH)) {
            fill(Level::Entries, bundle, size, &mut self.full);
        }
        let Self { frontier, partial, full, .. } = self;
        frontier.push_noting(leaf, |level, hash| {
            let content = level_of(partial, level);
            content.extend_from_slice(&hash.0);
            if content.len() == FULL_BYTES {
                // A tree of less than 2^64 leaves has eight levels.
                fill(Level::Hashes(u8::try_from(level).unwrap_or(u8::MAX)), content, size, full);
            }
        });
        Ok(leaf)
    }

    /// How far the tree has grown.
    pub fn head(&self) -> Head {
        self.frontier.head()
    }

    /// The right edge.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// What has to be written since the last time to let the stored tree be this one, in the order in which it must be
    /// written: entries before hashes, lower levels before higher.
    pub fn take(&mut self) -> Growth {
        let size = self.frontier.size();
        let mut tiles = std::mem::take(&mut self.full);
        if size > self.taken {
            for tile in tile::grown(self.taken, size).filter(|tile| !tile.is_full()) {
                let content = match tile.level() {
                    Level::Entries => &self.bundle,
                    Level::Hashes(level) => &*level_of(&mut self.partial, usize::from(level)),
                };
                tiles.push((tile, content.clone()));
            }
        }
        tiles.sort_by_key(|(tile, _)| *tile);
        self.taken = size;
        Growth { tiles, head: self.head() }
    }

    /// Whether the entries of the last bundle are those whose hashes are in the tile above.
    fn check_bundle(&mut self) -> Result<(), TreeError> {
        let size = self.frontier.size();
        let Some(bundle) = Tile::of(Level::Entries, size / u64::from(WIDTH), size) else { return Ok(()) };
        let entries = tile::entries(&self.bundle, bundle.width());
        let entries = entries.map_err(|source| TreeError::Bundle { tile: bundle, source })?;
        let leaves = level_of(&mut self.partial, 0).as_chunks::<HASH_BYTES>().0;
        let differing = entries.iter().zip(leaves).position(|(entry, leaf)| Hash::leaf(entry).0 != *leaf);
        match differing.and_then(|nth| u64::try_from(nth).ok()) {
            Some(nth) => Err(TreeError::Mismatch { index: bundle.leaves().start + nth }),
            None => Ok(()),
        }
    }
}

impl Default for Appender {
    fn default() -> Self {
        Self::new()
    }
}

/// Moves a content that just became full to the full tiles. It is the last tile of its level.
fn fill(level: Level, content: &mut Vec<u8>, size: u64, full: &mut Vec<(Tile, Vec<u8>)>) {
    let each = match level {
        Level::Entries => 1,
        Level::Hashes(level) => 1u64.checked_shl(8 * u32::from(level)).unwrap_or(u64::MAX),
    };
    let index = (size / each - 1) / u64::from(WIDTH);
    // The next one will be as large as this one.
    let next = Vec::with_capacity(content.len());
    full.extend(Tile::of(level, index, size).map(|tile| (tile, std::mem::replace(content, next))));
}

fn level_of(partial: &mut Vec<Vec<u8>>, level: usize) -> &mut Vec<u8> {
    if partial.len() <= level {
        partial.resize_with(level + 1, || Vec::with_capacity(FULL_BYTES));
    }
    &mut partial[level]
}

/// An entry is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry of {bytes} bytes is too long: a log takes at most {MOST_ENTRY_BYTES}")]
pub struct EntryError {
    /// How long it is.
    pub bytes: usize,
}
