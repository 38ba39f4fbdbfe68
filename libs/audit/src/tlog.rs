//! A transparency log without IO: a Merkle tree that only grows, and signed words about how far it has grown.
//!
//! ```text
//!  hash ─┬─ frontier ── (push, root)            the tree as its writer and a streaming reader keep it
//!        ├─ tile ── tree ─┬─ appender           the tree as files: C2SP tlog-tiles
//!        │                └─ (root, proofs)
//!        └─ proof                               what convinces somebody who has no tiles
//!  note ─── checkpoint ─── cosignature ─── witness    who says that the tree has this size and this root
//! ```
//!
//! Formats are those of C2SP (tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature, tlog-witness) over the tree of
//! RFC 9162, so a log written here can be checked by programs not written here. What the leaves say is not known here.

pub mod checkpoint;
pub mod cosignature;
pub mod frontier;
pub mod hash;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;
pub mod witness;

mod decimal;
