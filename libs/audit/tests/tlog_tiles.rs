//! Tiles: paths, what a growth writes, and that a tree written in steps is the tree written at once.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sallyport_audit::tlog::hash::Hash;
use sallyport_audit::tlog::tile::{self, BundleError, Level, Tile};
use sallyport_audit::tlog::tree::{
    Appender, Tree, TreeError, needed_for_consistency, needed_for_frontier, needed_for_inclusion, root_of_leaves,
};

mod tlog_support;
use tlog_support::{Store, leaves, push, stored};

fn paths(tiles: impl Iterator<Item = Tile>) -> Vec<String> {
    tiles.map(|tile| tile.to_string()).collect()
}

#[test]
fn paths_are_those_of_the_specification() {
    for (level, index, size, path) in [
        (Level::Hashes(0), 1_234_067, u64::MAX, "tile/0/x001/x234/067"),
        (Level::Entries, 1_234_067, 1_234_067 * 256 + 8, "tile/entries/x001/x234/067.p/8"),
        (Level::Hashes(1), 0, 256, "tile/1/000.p/1"),
        (Level::Hashes(7), 0, u64::MAX, "tile/7/000.p/255"),
        (Level::Entries, 999, u64::MAX, "tile/entries/999"),
        (Level::Entries, 1000, u64::MAX, "tile/entries/x001/000"),
    ] {
        assert_eq!(Tile::of(level, index, size).unwrap().to_string(), path);
    }
    assert_eq!(Tile::of(Level::Entries, 0, 0), None);
    assert_eq!(Tile::of(Level::Hashes(1), 0, 255), None);
    assert_eq!(Tile::of(Level::Hashes(8), 0, u64::MAX), None);
    assert_eq!(Tile::of(Level::Hashes(0), u64::MAX, u64::MAX), None);
}

#[test]
fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
    let tiles: Vec<_> = tile::tiles_of(70_000).collect();
    let of = |level| tiles.iter().filter(move |tile| tile.level() == level);
    assert_eq!(of(Level::Hashes(0)).filter(|tile| tile.is_full()).count(), 273);
    assert_eq!(of(Level::Hashes(0)).next_back().unwrap().width(), 112);
    assert_eq!(paths(of(Level::Hashes(1)).copied()), ["tile/1/000", "tile/1/001.p/17"]);
    assert_eq!(paths(of(Level::Hashes(2)).copied()), ["tile/2/000.p/1"]);
    assert_eq!(of(Level::Hashes(3)).count(), 0);
    assert_eq!(
        paths(tile::partial(70_000)),
        ["tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    );
    assert_eq!(of(Level::Hashes(1)).next_back().unwrap().leaves(), 65_536..69_888);
}

#[test]
fn a_growth_writes_what_changed_and_nothing_else() {
    assert_eq!(paths(tile::grown(3, 5)), ["tile/entries/000.p/5", "tile/0/000.p/5"]);
    assert_eq!(paths(tile::grown(255, 256)), ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(paths(tile::grown(256, 257)), ["tile/entries/001.p/1", "tile/0/001.p/1"]);
    assert_eq!(paths(tile::grown(0, 0)), [""; 0]);
    assert_eq!(paths(tile::grown(7, 7)), [""; 0]);
    assert_eq!(paths(tile::grown(9, 7)), [""; 0]);
}

#[test]
fn a_tile_has_one_spelling() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x001/x067",
        "tile/0/001/067",
        "tile/0/x001",
        "tile/00/001",
        "tile/64/001",
        "tile/-1/001",
        "tile/0/001/",
        "/tile/0/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/01",
        "tile/0/001.p/",
        "tile/0/001.p/1/",
        "tile/0/+01",
        "tile/data/001",
        "tile/0/../001",
        "tile/0/X001/001",
        "tile/0/x001//001",
        "tile/0/٠٠١",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
    let last = "tile/63/x018/x446/x744/x073/x709/x551/615.p/255";
    assert_eq!(last.parse::<Tile>().unwrap().to_string(), last);
    assert_eq!("tile/0/x001/000".parse::<Tile>().unwrap().index(), 1000);
}

#[test]
fn a_bundle_has_exactly_the_entries_of_its_width() {
    let mut content = Vec::new();
    let longest = vec![1; tile::MOST_ENTRY_BYTES];
    for entry in [b"one".as_slice(), b"", &longest] {
        tile::append_entry(&mut content, entry).unwrap();
    }
    assert_eq!(tile::entries(&content, 3).unwrap(), [b"one".as_slice(), b"", &longest]);
    assert_eq!(content[..5], *b"\0\x03one");
    let before = content.clone();
    let refused = tile::append_entry(&mut content, &vec![1; tile::MOST_ENTRY_BYTES + 1]);
    assert_eq!(refused, Err(BundleError::TooLong { bytes: 65_536 }));
    assert_eq!(content, before);
    assert_eq!(tile::entries(&content[..4], 1), Err(BundleError::Torn { entry: 0 }));
    assert_eq!(tile::entries(&content[..content.len() - 1], 3), Err(BundleError::Torn { entry: 2 }));
    assert_eq!(tile::entries(&content, 4), Err(BundleError::Width { width: 4, entries: 3, behind: 0 }));
    assert_eq!(tile::entries(&content, 1), Err(BundleError::Width { width: 1, entries: 1, behind: 65_539 }));
    assert!(tile::hashes(&[0; 33], 1).is_err() && tile::hashes(&[0; 32], 2).is_err());
}

#[test]
fn a_missing_or_damaged_tile_is_named() {
    let leaves = leaves(300);
    let mut appender = Appender::new();
    push(&mut appender, &leaves);
    let whole: Store = appender.take().tiles.into_iter().collect();
    let open = |path: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut store = whole.clone();
        change(store.get_mut(&path.parse().unwrap()).unwrap());
        Appender::open(store, 300)
    };
    let shorten = |content: &mut Vec<u8>| content.truncate(content.len() - 1);
    let torn = open("tile/0/001.p/44", &shorten).unwrap_err();
    assert_eq!(torn.to_string(), "tile/0/001.p/44 is damaged");
    assert!(matches!(open("tile/entries/001.p/44", &shorten), Err(TreeError::Bundle { .. })));
    let flip = |content: &mut Vec<u8>| *content.last_mut().unwrap() ^= 1;
    assert!(matches!(open("tile/entries/001.p/44", &flip), Err(TreeError::Mismatch { index: 299 })));
    assert_ne!(open("tile/1/000.p/1", &flip).unwrap().head(), appender.head());
    let mut store = whole.clone();
    store.remove(&"tile/1/000.p/1".parse().unwrap());
    assert_eq!(Appender::open(store, 300).unwrap_err().to_string(), "tile/1/000.p/1 is missing");
    assert!(matches!(Tree::new(&whole, 300).inclusion(300), Err(TreeError::OutOfRange { at: 300, size: 300 })));
    assert!(matches!(Tree::new(&whole, 300).consistency(301), Err(TreeError::OutOfRange { .. })));
}

#[test]
fn a_partial_tile_that_is_gone_is_read_from_the_full_one() {
    let leaves = leaves(65_536);
    let whole = stored(&leaves);
    let full = tile::tiles_of(65_536).filter(Tile::is_full).map(|tile| (tile, whole.content(tile).unwrap()));
    let old = Tree::new(full.collect::<Store>(), 65_000);
    assert_eq!(old.head().unwrap().root, root_of_leaves(leaves[..65_000].iter().map(|leaf| Hash::leaf(leaf))));
    let cut = old.content("tile/entries/253.p/232".parse().unwrap()).unwrap();
    assert_eq!(tile::entries(&cut, 232).unwrap(), leaves[64_768..65_000]);
    let gone = old.content("tile/1/001.p/1".parse().unwrap()).unwrap_err();
    assert_eq!(gone.to_string(), "tile/1/001.p/1 is missing");
}

/// A deep tree without its leaves: level 2 is where shifts go wrong first.
#[test]
fn a_tree_of_three_levels_is_written_and_proven() {
    let size = 70_000;
    let leaves = leaves(size);
    let tree = stored(&leaves);
    let head = tree.head().unwrap();
    assert_eq!(head.root, root_of_leaves(leaves.iter().map(|leaf| Hash::leaf(leaf))));
    for index in [0, 255, 256, 65_535, 65_536, 69_887, 69_999] {
        let proof = tree.inclusion(index).unwrap();
        sallyport_audit::tlog::proof::verify_inclusion(tree.leaf(index).unwrap(), index, head, &proof).unwrap();
    }
    for old in [1, 256, 65_535, 65_536, 65_537, 69_888, 69_999, 70_000] {
        let (old, proof) = (tree.head_at(old).unwrap(), tree.consistency(old).unwrap());
        sallyport_audit::tlog::proof::verify_consistency(old, head, &proof).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_tree_written_in_steps_is_the_tree_written_at_once(
        steps in prop::collection::vec(prop_oneof![0..4usize, 0..300usize], 1..12),
        reopened in any::<u16>(),
    ) {
        let leaves = leaves(steps.iter().sum());
        let (mut store, mut appender, mut at) = (Store::new(), Appender::new(), 0);
        for (nth, step) in steps.iter().enumerate() {
            push(&mut appender, &leaves[at..at + step]);
            let growth = appender.take();
            prop_assert_eq!(
                growth.tiles.iter().map(|(tile, _)| *tile).collect::<Vec<_>>(),
                tile::grown(at as u64, (at + step) as u64).collect::<Vec<_>>()
            );
            at += step;
            for (tile, content) in growth.tiles {
                prop_assert_eq!(store.insert(tile, content), None, "{} was written over", tile);
            }
            prop_assert_eq!(Tree::new(&store, at as u64).head().unwrap(), growth.head);
            if reopened & (1 << nth) != 0 {
                appender = Appender::open(&store, at as u64).unwrap();
                prop_assert_eq!(appender.head(), growth.head);
            }
        }
        for tile in tile::tiles_of(at as u64) {
            let once = stored(&leaves).content(tile).unwrap();
            prop_assert_eq!(&store[&tile], &once, "{}", tile);
        }
    }

    #[test]
    fn a_path_is_read_as_it_is_written(level in prop::option::of(0..=7u8), index: u64, size: u64) {
        let level = level.map_or(Level::Entries, Level::Hashes);
        for index in [index, index >> 8, index >> 32, index >> 56] {
            for tile in Tile::of(level, index, size).into_iter().flat_map(|tile| [tile, tile.filled()]) {
                prop_assert_eq!(tile.to_string().parse::<Tile>().unwrap(), tile);
            }
        }
    }

    /// Who fetched what was named beforehand is never told that something is missing.
    #[test]
    fn the_needed_tiles_are_named_beforehand(
        (size, index) in (1..2000usize).prop_flat_map(|size| (Just(size), 0..size)),
    ) {
        let (whole, size, index) = (stored(&leaves(size)), size as u64, index as u64);
        let only = |tiles: std::collections::BTreeSet<Tile>| -> Store {
            tiles.into_iter().map(|tile| (tile, whole.content(tile).unwrap())).collect()
        };
        let inclusion = Tree::new(only(needed_for_inclusion(index, size)), size).inclusion(index);
        prop_assert_eq!(inclusion.unwrap(), whole.inclusion(index).unwrap());
        let consistency = Tree::new(only(needed_for_consistency(index, size)), size).consistency(index);
        prop_assert_eq!(consistency.unwrap(), whole.consistency(index).unwrap());
        let mut tiles = needed_for_frontier(size);
        tiles.extend(tile::partial(size));
        prop_assert_eq!(Appender::open(only(tiles), size).unwrap().head(), whole.head().unwrap());
    }
}
