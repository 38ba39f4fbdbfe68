//! A tree over its tiles: roots, proofs, and its growth.

mod appender;
mod read;
mod subtree;

use serde::{Deserialize, Serialize};

use super::frontier::Frontier;
use super::hash::Hash;
use super::tile::Tile;

pub use appender::{Appender, EntryError};
pub use read::{ReadError, Tiles, Tree, TreeError};
pub use subtree::{needed_for_consistency, needed_for_frontier, needed_for_inclusion};

/// How far a tree has grown: its size and its root. Whoever trusts it trusts every leaf before `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// How many leaves it has.
    pub size: u64,
    /// The hash over all of them.
    pub root: Hash,
}

impl Head {
    /// The tree without leaves.
    pub const EMPTY: Self = Self { size: 0, root: Hash::EMPTY };
}

/// Files that are to be written, in this order, to let a stored tree grow to a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Where each goes and what is in it. A full tile is written once; a partial one has its width in its path, so
    /// nothing is ever written over.
    pub tiles: Vec<(Tile, Vec<u8>)>,
    /// The tree when all are written.
    pub head: Head,
}

/// The root over leaf hashes that come in order, without keeping them: one node hash for each, and no allocation.
pub fn root_of_leaves(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    let mut frontier = Frontier::new();
    frontier.extend(leaves);
    frontier.root()
}
