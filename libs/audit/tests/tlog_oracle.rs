//! The tree against another implementation that grew from Go's `tlog`: it reads our tiles, makes the same proofs, and
//! believes ours.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sallyport_audit::tlog::checkpoint::Checkpoint;
use sallyport_audit::tlog::hash::Hash;
use sallyport_audit::tlog::note::KeyName;
use sallyport_audit::tlog::tile::{self, Level, Tile};
use sallyport_audit::tlog::tree::Tree;
use tlog_tiles::{HashReader, TileHashReader, TileReader};

mod tlog_support;
use tlog_support::{Store, leaves, stored};

/// Our tiles for their reader.
struct Ours(Tree<Store>);

impl TileReader for Ours {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let content = |tile: &tlog_tiles::Tile| {
            let path = their_path(tile);
            self.0.content(path).map_err(|error| tlog_tiles::Error::InvalidInput(error.to_string()))
        };
        tiles.iter().map(content).collect()
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

/// Their path has the height of tiles in it, which tlog-tiles has fixed to 8 since.
fn their_path(tile: &tlog_tiles::Tile) -> Tile {
    tile.path().replacen("tile/8/", "tile/", 1).parse().unwrap()
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn ours(hashes: Vec<tlog_tiles::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_have_the_same_tree_and_proofs(
        (size, index) in prop_oneof![1..20usize, 250..260usize, 1..3000usize, Just(66_000usize)]
            .prop_flat_map(|size| (Just(size), 0..size)),
    ) {
        let leaves = leaves(size);
        let reader = Ours(stored(&leaves));
        let (tree, size, index) = (&reader.0, size as u64, index as u64);
        let root = tree.head().unwrap().root;
        // Their reader refuses tiles that do not lead to this root.
        let authenticated = TileHashReader::new(size, theirs(root), &reader);
        prop_assert_eq!(tlog_tiles::tree_hash(size, &authenticated).unwrap().0, root.0);
        let leaf = authenticated.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]).unwrap()[0];
        prop_assert_eq!(leaf, tlog_tiles::record_hash(&leaves[usize::try_from(index).unwrap()]));
        prop_assert_eq!(leaf, theirs(tree.leaf(index).unwrap()));

        let inclusion = tlog_tiles::prove_record(size, index, &authenticated).unwrap();
        prop_assert_eq!(ours(inclusion), tree.inclusion(index).unwrap());
        let old = index + 1;
        let consistency = tlog_tiles::prove_tree(size, old, &authenticated).unwrap();
        let proof = tree.consistency(old).unwrap();
        prop_assert_eq!(ours(consistency), proof.clone());
        let proof = proof.into_iter().map(theirs).collect();
        let old_root = theirs(tree.head_at(old).unwrap().root);
        prop_assert!(tlog_tiles::check_tree(&proof, size, theirs(root), old, old_root).is_ok());
    }

    #[test]
    fn both_write_the_same_tiles(from in 0..200_000u64, by in 0..3000u64) {
        let mut expected: Vec<_> = tlog_tiles::Tile::new_tiles(8, from, from + by).iter().map(their_path).collect();
        expected.sort();
        let hashes = tile::grown(from, from + by).filter(|tile| tile.level() != Level::Entries);
        prop_assert_eq!(hashes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn both_read_the_same_checkpoint(size: u64, root: [u8; 32]) {
        let head = sallyport_audit::tlog::tree::Head { size: size >> 1, root: Hash(root) };
        let checkpoint = Checkpoint::new(&KeyName::new("sallyport.dev/log").unwrap(), head);
        let read = tlog_tiles::Checkpoint::from_bytes(checkpoint.to_string().as_bytes()).unwrap();
        prop_assert_eq!((read.origin(), read.size(), read.hash().0), ("sallyport.dev/log", head.size, root));
        prop_assert_eq!(read.to_bytes(), checkpoint.to_string().into_bytes());
    }
}
