//! What convinces without tiles: that a leaf is in a tree (RFC 9162, section 2.1.3), that a tree is another one grown
//! (section 2.1.4).
//!
//! A root does not commit to its size. The size counts only together with the root for which somebody signed both
//! ([`super::checkpoint`]): with a size from elsewhere a proof may hold and mean nothing.

use super::hash::Hash;
use super::tree::Head;

/// No proof over a tree of less than 2^64 leaves has more hashes.
pub const MOST_HASHES: usize = 64;

/// Whether the leaf of this hash is leaf `index` of the tree.
///
/// # Errors
/// [`ProofError::OutOfRange`] when the tree has no such leaf, [`ProofError::Length`] and [`ProofError::Root`] when the
/// proof does not show it.
pub fn verify_inclusion(leaf: Hash, index: u64, tree: Head, proof: &[Hash]) -> Result<(), ProofError> {
    if index >= tree.size {
        return Err(ProofError::OutOfRange { at: index, size: tree.size });
    }
    let (mut node, mut last, mut hash) = (index, tree.size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node % 2 == 1 || node == last {
            hash = Hash::node(*sibling, hash);
            // A node at the right edge has no sibling as long as it is a left child: it rises unchanged.
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = Hash::node(hash, *sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == tree.root { Ok(()) } else { Err(ProofError::Root) }
}

/// Whether the tree `new` begins with all leaves of the tree `old` in their order. Every tree begins with the empty one,
/// and the proof of that, like the proof for equal sizes, is empty.
///
/// # Errors
/// [`ProofError::OutOfRange`] when `new` is smaller, [`ProofError::Length`], [`ProofError::OldRoot`] and
/// [`ProofError::Root`] when the proof does not show it.
pub fn verify_consistency(old: Head, new: Head, proof: &[Hash]) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::OutOfRange { at: old.size, size: new.size });
    }
    if old.size == 0 && old.root != Hash::EMPTY {
        return Err(ProofError::OldRoot);
    }
    if old.size == 0 || old.size == new.size {
        return match proof {
            [_, ..] => Err(ProofError::Length),
            [] if old.size == new.size && old.root != new.root => Err(ProofError::Root),
            [] => Ok(()),
        };
    }
    let (mut node, mut last) = (old.size - 1, new.size - 1);
    let complete = node.trailing_ones();
    (node, last) = (node >> complete, last >> complete);
    // A perfect old tree is itself a node of the new one, so its root needs no place in the proof.
    let (first, rest) = match (old.size.is_power_of_two(), proof) {
        (true, rest) => (old.root, rest),
        (false, [first, rest @ ..]) => (*first, rest),
        (false, []) => return Err(ProofError::Length),
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node % 2 == 1 || node == last {
            old_hash = Hash::node(*sibling, old_hash);
            new_hash = Hash::node(*sibling, new_hash);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = Hash::node(new_hash, *sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last, old_hash == old.root, new_hash == new.root) {
        (1.., _, _) => Err(ProofError::Length),
        (0, false, _) => Err(ProofError::OldRoot),
        (0, true, false) => Err(ProofError::Root),
        (0, true, true) => Ok(()),
    }
}

/// Why a proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not as many hashes as these sizes need.
    #[error("proof has a wrong number of hashes for these sizes")]
    Length,
    /// It does not lead to the smaller tree's root.
    #[error("proof does not lead to the root of the smaller tree")]
    OldRoot,
    /// A leaf or a size beyond the tree.
    #[error("{at} is beyond the tree of {size} leaves")]
    OutOfRange {
        /// The leaf's index, or the smaller tree's size.
        at: u64,
        /// The tree's size.
        size: u64,
    },
    /// It does not lead to the tree's root.
    #[error("proof does not lead to the root of the tree")]
    Root,
}
