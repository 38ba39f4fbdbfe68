//! Which subtrees make up a root or a proof, and which tiles hold them. Nothing is read here.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::tlog::tile::{Level, Tile};

/// A subtree of 2^`height` leaves, the `index`-th of its height. It never changes once its leaves are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Perfect {
    pub(super) height: u8,
    pub(super) index: u64,
}

impl Perfect {
    /// The tile that holds it in a tree of `size` leaves, and which of the tile's hashes it is made of.
    pub(super) fn place(self, size: u64) -> Option<(Tile, Range<usize>)> {
        let (level, within) = (self.height / 8, self.height % 8);
        // A tile is a subtree of height 8 over its hashes, so it has 2^(8 - within) subtrees of this height.
        let tile = Tile::of(Level::Hashes(level), self.index >> (8 - within), size)?;
        let nth = usize::try_from(self.index % (1 << (8 - within))).ok()?;
        let hashes = nth << within..(nth + 1) << within;
        (hashes.end <= usize::from(tile.width())).then_some((tile, hashes))
    }
}

/// The perfect subtrees of a range of leaves, from left to right. The range is a node of a tree: it starts at a multiple
/// of the power of two that is next above its length.
pub(super) fn perfect(range: Range<u64>) -> impl Iterator<Item = Perfect> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let height = range.end.checked_sub(start).and_then(u64::checked_ilog2)?;
        let subtree = Perfect { height: u8::try_from(height).ok()?, index: start >> height };
        start += 1 << height;
        Some(subtree)
    })
}

/// The ranges of leaves whose roots are the inclusion proof of leaf `index`, in the order of the proof: from the leaf up.
/// Nothing for a leaf that the tree does not have.
pub(super) fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut siblings = Vec::new();
    let mut node = 0..size;
    while index < size && node.end - node.start > 1 {
        let middle = split(&node);
        let (left, right) = (node.start..middle, middle..node.end);
        let sibling;
        (node, sibling) = if index < middle { (left, right) } else { (right, left) };
        siblings.push(sibling);
    }
    siblings.reverse();
    siblings
}

/// The ranges of leaves whose roots are the consistency proof from `old` to `size` leaves, in the order of the proof.
pub(super) fn consistency(old: u64, size: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    if old == 0 || old >= size {
        return ranges;
    }
    let mut node = 0..size;
    while node.end > old {
        let middle = split(&node);
        let (left, right) = (node.start..middle, middle..node.end);
        let sibling;
        (node, sibling) = if old <= middle { (left, right) } else { (right, left) };
        ranges.push(sibling);
    }
    // What is left ends where the old tree ends. If it begins at 0 it is the whole old tree, whose root is known.
    if node.start > 0 {
        ranges.push(node);
    }
    ranges.reverse();
    ranges
}

/// Where a tree splits: behind the largest power of two of leaves that leaves something to the right. The node has at
/// least two leaves.
fn split(node: &Range<u64>) -> u64 {
    let leaves = node.end - node.start;
    node.start + (1 << (leaves - 1).ilog2())
}

/// The tiles of a tree of `size` leaves from which the inclusion proof of leaf `index` is made: what a reader fetches
/// first who cannot wait in the middle of [`super::Tree::inclusion`].
pub fn needed_for_inclusion(index: u64, size: u64) -> BTreeSet<Tile> {
    needed(&inclusion(index, size), size)
}

/// The same for [`super::Tree::consistency`].
pub fn needed_for_consistency(old: u64, size: u64) -> BTreeSet<Tile> {
    needed(&consistency(old, size), size)
}

/// The same for [`super::Tree::frontier`], [`super::Tree::head`] and, with the partial entry bundle added,
/// [`super::Appender::open`].
pub fn needed_for_frontier(size: u64) -> BTreeSet<Tile> {
    needed(std::slice::from_ref(&(0..size)), size)
}

fn needed(ranges: &[Range<u64>], size: u64) -> BTreeSet<Tile> {
    let subtrees = ranges.iter().cloned().flat_map(perfect);
    subtrees.filter_map(|subtree| Some(subtree.place(size)?.0)).collect()
}
