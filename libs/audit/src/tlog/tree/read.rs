//! A tree of one size, read from its tiles.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::hash::BuildHasher;
use std::ops::Range;

use super::subtree::{self, Perfect, perfect};
use super::{Head, root_of_leaves};
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::{HASH_BYTES, Hash};
use crate::tlog::tile::{self, BundleError, HashTileError, Level, Tile};

/// Why a tile could not be read, in the words of whoever stores it.
pub type ReadError = Box<dyn Error + Send + Sync>;

/// Where tiles lie.
pub trait Tiles {
    /// The content of one tile; nothing when it is not there.
    ///
    /// # Errors
    /// When it cannot be told whether it is there, or it cannot be read.
    fn tile(&self, tile: Tile) -> Result<Option<Cow<'_, [u8]>>, ReadError>;
}

impl<T: Tiles + ?Sized> Tiles for &T {
    fn tile(&self, tile: Tile) -> Result<Option<Cow<'_, [u8]>>, ReadError> {
        (**self).tile(tile)
    }
}

impl Tiles for BTreeMap<Tile, Vec<u8>> {
    fn tile(&self, tile: Tile) -> Result<Option<Cow<'_, [u8]>>, ReadError> {
        Ok(self.get(&tile).map(|content| Cow::Borrowed(content.as_slice())))
    }
}

impl<S: BuildHasher> Tiles for HashMap<Tile, Vec<u8>, S> {
    fn tile(&self, tile: Tile) -> Result<Option<Cow<'_, [u8]>>, ReadError> {
        Ok(self.get(&tile).map(|content| Cow::Borrowed(content.as_slice())))
    }
}

/// A tree of `size` leaves over its tiles. Tiles are not checked one by one: compare [`Tree::head`] with a head that
/// somebody signed, or verify a proof against it.
///
/// A partial tile that is gone is looked for in the full one that replaced it.
pub struct Tree<T> {
    tiles: T,
    size: u64,
}

impl<T: Tiles> Tree<T> {
    /// The tree of this size. Nothing is read yet.
    pub fn new(tiles: T, size: u64) -> Self {
        Self { tiles, size }
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its right edge.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn frontier(&self) -> Result<Frontier, TreeError> {
        let mut kept = Kept::default();
        let hashes = perfect(0..self.size).map(|subtree| self.perfect(subtree, &mut kept));
        let hashes = hashes.collect::<Result<Vec<_>, _>>()?;
        Frontier::from_parts(self.size, &hashes).map_err(|_| TreeError::OutOfRange { at: self.size, size: self.size })
    }

    /// Its size and root.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn head(&self) -> Result<Head, TreeError> {
        Ok(self.frontier()?.head())
    }

    /// The head that it had when it had only `size` leaves.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn head_at(&self, size: u64) -> Result<Head, TreeError> {
        self.within(size)?;
        Ok(Head { size, root: self.subtree(0..size, &mut Kept::default())? })
    }

    /// The hash of one leaf.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn leaf(&self, index: u64) -> Result<Hash, TreeError> {
        self.perfect(Perfect { height: 0, index }, &mut Kept::default())
    }

    /// The proof that leaf `index` is in this tree, for [`crate::tlog::proof::verify_inclusion`].
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, TreeError> {
        if index >= self.size {
            return Err(TreeError::OutOfRange { at: index, size: self.size });
        }
        self.proof(subtree::inclusion(index, self.size))
    }

    /// The proof that this tree begins with its first `old` leaves, for [`crate::tlog::proof::verify_consistency`].
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, TreeError> {
        self.within(old)?;
        self.proof(subtree::consistency(old, self.size))
    }

    /// The content of a tile of this tree, cut to its width if only the full one is left. The length of a hash tile is
    /// checked, the entries of a bundle are counted.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn content(&self, tile: Tile) -> Result<Vec<u8>, TreeError> {
        let read = |tile| self.tiles.tile(tile).map_err(|source| TreeError::Read { tile, source });
        let (found, content) = match read(tile)? {
            Some(content) => (tile, content),
            None if tile.is_full() => return Err(TreeError::Absent { tile }),
            None => (tile.filled(), read(tile.filled())?.ok_or(TreeError::Absent { tile })?),
        };
        let mut content = content.into_owned();
        let length = match tile.level() {
            Level::Entries => {
                let entries = tile::entries(&content, found.width());
                let entries = entries.map_err(|source| TreeError::Bundle { tile: found, source })?;
                entries.iter().take(usize::from(tile.width())).map(|entry| 2 + entry.len()).sum()
            }
            Level::Hashes(_) => {
                let hashes = tile::hashes(&content, found.width());
                let hashes = hashes.map_err(|source| TreeError::Hashes { tile: found, source })?;
                hashes.take(usize::from(tile.width())).len() * HASH_BYTES
            }
        };
        content.truncate(length);
        Ok(content)
    }

    fn within(&self, size: u64) -> Result<(), TreeError> {
        if size <= self.size { Ok(()) } else { Err(TreeError::OutOfRange { at: size, size: self.size }) }
    }

    fn proof(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Hash>, TreeError> {
        let mut kept = Kept::default();
        ranges.into_iter().map(|range| self.subtree(range, &mut kept)).collect()
    }

    /// The root over a range of leaves that is a node of a tree.
    fn subtree(&self, range: Range<u64>, kept: &mut Kept) -> Result<Hash, TreeError> {
        let hashes = perfect(range).map(|subtree| self.perfect(subtree, kept)).collect::<Result<Vec<_>, _>>()?;
        let folded = hashes.into_iter().rev().reduce(|right, left| Hash::node(left, right));
        Ok(folded.unwrap_or(Hash::EMPTY))
    }

    fn perfect(&self, subtree: Perfect, kept: &mut Kept) -> Result<Hash, TreeError> {
        let beyond = TreeError::OutOfRange { at: subtree.index, size: self.size };
        let (tile, range) = subtree.place(self.size).ok_or(beyond)?;
        let content = match kept.entry(tile) {
            std::collections::btree_map::Entry::Occupied(content) => content.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(self.content(tile)?),
        };
        let hashes = tile::hashes(content, tile.width()).map_err(|source| TreeError::Hashes { tile, source })?;
        Ok(root_of_leaves(hashes.skip(range.start).take(range.len())))
    }
}

/// The tiles of one proof: several of its hashes come from the same ones.
type Kept = BTreeMap<Tile, Vec<u8>>;

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A tile is not there.
    #[error("{tile} is missing")]
    Absent {
        /// Which.
        tile: Tile,
    },
    /// An entry bundle is damaged.
    #[error("{tile} is damaged")]
    Bundle {
        /// Which.
        tile: Tile,
        /// How.
        source: BundleError,
    },
    /// A hash tile is damaged.
    #[error("{tile} is damaged")]
    Hashes {
        /// Which.
        tile: Tile,
        /// How.
        source: HashTileError,
    },
    /// An entry is not the one of which the tree has the hash.
    #[error("entry {index} is not what the tree has there")]
    Mismatch {
        /// Which, from 0.
        index: u64,
    },
    /// A leaf or a size beyond the tree.
    #[error("{at} is beyond the tree of {size} leaves")]
    OutOfRange {
        /// What was asked for.
        at: u64,
        /// The tree's size.
        size: u64,
    },
    /// Whoever stores the tiles failed.
    #[error("{tile} could not be read")]
    Read {
        /// Which.
        tile: Tile,
        /// Why.
        source: ReadError,
    },
}
