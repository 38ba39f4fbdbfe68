//! The right edge of a growing tree: all that its writer needs to go on, and all that a reader needs who sees every leaf
//! once. A tree of a million leaves has a frontier of at most twenty hashes.

use serde::{Deserialize, Serialize};

use super::hash::Hash;
use super::tree::Head;

/// A tree of at most 2^64 - 1 leaves cannot have more perfect subtrees than a size has bits.
const MOST_HASHES: usize = 64;

/// Size and the roots of the perfect subtrees of which a tree of this size is made, the largest and leftmost first:
/// one for each 1 in the size's binary form (a *compact range*). Stored as `{"size":3,"hashes":["...","..."]}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self { size: 0, hashes: Vec::with_capacity(MOST_HASHES) }
    }

    /// A frontier from its parts. Whether the hashes are those of a certain tree shows in [`Frontier::root`].
    ///
    /// # Errors
    /// [`FrontierError`] when the number of hashes is not the number that a tree of this size has.
    pub fn from_parts(size: u64, hashes: &[Hash]) -> Result<Self, FrontierError> {
        if hashes.len() != size.count_ones() as usize {
            return Err(FrontierError { size, hashes: hashes.len() });
        }
        let mut frontier = Self::new();
        frontier.size = size;
        frontier.hashes.extend_from_slice(hashes);
        Ok(frontier)
    }

    /// Adds a leaf by its hash ([`Hash::leaf`]). Costs one node hash on average and never allocates.
    pub fn push(&mut self, leaf: Hash) {
        self.push_noting(leaf, |_, _| ());
    }

    /// Adds a leaf and says which hashes of tiles this completed: `(level, hash)`, level 0 first (the leaf itself), then
    /// for each level above the root of a subtree of 256^level leaves, if this leaf was its last.
    pub(crate) fn push_noting(&mut self, leaf: Hash, mut completed: impl FnMut(usize, Hash)) {
        completed(0, leaf);
        let mut hash = leaf;
        for height in 1..=self.size.trailing_ones() as usize {
            // One subtree stands for each 1 of the size, the smallest last; these ones are the trailing ones.
            let Some(left) = self.hashes.pop() else { break };
            hash = Hash::node(left, hash);
            if height % 8 == 0 {
                completed(height / 8, hash);
            }
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The perfect subtrees' roots, the largest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root of the whole tree.
    pub fn root(&self) -> Hash {
        let mut from_the_right = self.hashes.iter().rev().copied();
        let Some(last) = from_the_right.next() else { return Hash::EMPTY };
        from_the_right.fold(last, |right, left| Hash::node(left, right))
    }

    /// Size and root.
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root() }
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    size: u64,
    hashes: Vec<Hash>,
}

impl From<Frontier> for Stored {
    fn from(Frontier { size, hashes }: Frontier) -> Self {
        Self { size, hashes }
    }
}

impl TryFrom<Stored> for Frontier {
    type Error = FrontierError;

    fn try_from(Stored { size, hashes }: Stored) -> Result<Self, FrontierError> {
        Self::from_parts(size, &hashes)
    }
}

/// A frontier's parts do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frontier of {size} leaves has {hashes} hashes instead of {}", size.count_ones())]
pub struct FrontierError {
    /// What it says of its size.
    pub size: u64,
    /// How many hashes it has.
    pub hashes: usize,
}
