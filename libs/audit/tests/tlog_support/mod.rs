//! What the tests of the transparency log share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use sallyport_audit::tlog::hash::Hash;
use sallyport_audit::tlog::tile::Tile;
use sallyport_audit::tlog::tree::{Appender, Tree};

/// Tiles in memory.
pub(crate) type Store = BTreeMap<Tile, Vec<u8>>;

/// Leaves that all differ.
pub(crate) fn leaves(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("leaf {n}").into_bytes()).collect()
}

/// The tree over these leaves, written at once.
pub(crate) fn stored(leaves: &[impl AsRef<[u8]>]) -> Tree<Store> {
    let mut appender = Appender::new();
    push(&mut appender, leaves);
    Tree::new(appender.take().tiles.into_iter().collect(), leaves.len() as u64)
}

/// Adds leaves.
pub(crate) fn push(appender: &mut Appender, leaves: &[impl AsRef<[u8]>]) {
    for leaf in leaves {
        appender.push(leaf.as_ref()).unwrap();
    }
}

/// A hash from hexadecimal digits.
pub(crate) fn hash(hex: &str) -> Hash {
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = hex.as_bytes().as_chunks().0.iter().map(byte).collect();
    Hash(bytes.try_into().unwrap())
}
