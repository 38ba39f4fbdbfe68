//! The tree against its definition (RFC 9162, section 2.1), published roots and proofs, and every small change.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sallyport_audit::tlog::frontier::Frontier;
use sallyport_audit::tlog::hash::Hash;
use sallyport_audit::tlog::proof::{ProofError, verify_consistency, verify_inclusion};
use sallyport_audit::tlog::tree::{Head, root_of_leaves};

mod tlog_support;
use tlog_support::{hash, leaves, stored};

/// The leaves of Certificate Transparency's reference implementation, and the roots over the first 0 to 8 of them.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn reference(size: usize) -> Head {
    Head { size: size as u64, root: hash(ROOTS[size]) }
}

#[test]
fn roots_are_the_published_ones() {
    let mut frontier = Frontier::new();
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(frontier.head(), Head { size: size as u64, root: hash(root) });
        frontier.extend(LEAVES.get(size).map(|leaf| Hash::leaf(leaf)));
    }
}

#[test]
fn published_proofs_are_made_and_hold() {
    let tree = stored(&LEAVES);
    let proof = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    .map(hash);
    assert_eq!(tree.consistency(6).unwrap(), proof);
    assert_eq!(verify_consistency(reference(6), reference(8), &proof), Ok(()));
    let forked = Head { size: 6, ..reference(5) };
    assert_eq!(verify_consistency(forked, reference(8), &proof), Err(ProofError::OldRoot));

    let short = [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
    .map(hash);
    assert_eq!(stored(&LEAVES[..5]).consistency(2).unwrap(), short);
    assert_eq!(verify_consistency(reference(2), reference(5), &short), Ok(()));
}

#[test]
fn edges_of_the_ranges_are_refused() {
    let (empty, eight) = (reference(0), reference(8));
    let leaf = Hash::leaf(LEAVES[0]);
    assert_eq!(verify_inclusion(leaf, 0, empty, &[]), Err(ProofError::OutOfRange { at: 0, size: 0 }));
    assert_eq!(verify_inclusion(leaf, 8, eight, &[]), Err(ProofError::OutOfRange { at: 8, size: 8 }));
    assert_eq!(verify_inclusion(leaf, 0, eight, &[]), Err(ProofError::Length));
    assert_eq!(verify_consistency(eight, reference(7), &[]), Err(ProofError::OutOfRange { at: 8, size: 7 }));
    assert_eq!(verify_consistency(empty, eight, &[]), Ok(()));
    assert_eq!(verify_consistency(empty, eight, &[leaf]), Err(ProofError::Length));
    assert_eq!(verify_consistency(Head { size: 0, root: leaf }, eight, &[]), Err(ProofError::OldRoot));
    assert_eq!(verify_consistency(eight, eight, &[]), Ok(()));
    assert_eq!(verify_consistency(eight, eight, &[leaf]), Err(ProofError::Length));
    assert_eq!(verify_consistency(eight, Head { root: leaf, ..eight }, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(reference(3), eight, &[]), Err(ProofError::Length));
    let huge = Head { size: u64::MAX, root: leaf };
    assert_eq!(verify_inclusion(leaf, u64::MAX - 1, huge, &[leaf; 65]), Err(ProofError::Length));
    assert_eq!(verify_consistency(Head { size: u64::MAX - 1, root: leaf }, huge, &[leaf; 70]), Err(ProofError::Length));
}

/// The root as RFC 9162 defines it.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY,
        [leaf] => *leaf,
        _ => {
            let half = leaves.len().next_power_of_two() / 2;
            Hash::node(naive(&leaves[..half]), naive(&leaves[half..]))
        }
    }
}

#[test]
fn every_pair_of_small_sizes_is_proven() {
    let leaves = leaves(70);
    for size in 0..=leaves.len() {
        let tree = stored(&leaves[..size]);
        let head = tree.head().unwrap();
        for old in 0..=size {
            let proof = tree.consistency(old as u64).unwrap();
            let old = tree.head_at(old as u64).unwrap();
            assert_eq!(verify_consistency(old, head, &proof), Ok(()), "{old:?} to {head:?}");
        }
        for (index, leaf) in leaves[..size].iter().enumerate() {
            let proof = tree.inclusion(index as u64).unwrap();
            assert_eq!(verify_inclusion(Hash::leaf(leaf), index as u64, head, &proof), Ok(()));
        }
    }
}

/// Up to some tiles of leaves, all different, with interesting sizes more often than others.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![0..10usize, 250..260usize, 510..520usize, 0..1500usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_frontier_has_the_root_of_the_definition(size in sizes()) {
        let hashes: Vec<_> = leaves(size).iter().map(|leaf| Hash::leaf(leaf)).collect();
        let mut frontier = Frontier::new();
        frontier.extend(hashes.iter().copied());
        prop_assert_eq!(frontier.root(), naive(&hashes));
        prop_assert_eq!(frontier.root(), root_of_leaves(hashes.iter().copied()));
        prop_assert_eq!(frontier.root(), stored(&leaves(size)).head().unwrap().root);
        let text = serde_json::to_string(&frontier).unwrap();
        prop_assert_eq!(serde_json::from_str::<Frontier>(&text).unwrap(), frontier);
    }

    /// A root does not commit to its size, so a wrong size is given with the root that the tree had at it.
    #[test]
    fn an_inclusion_proof_holds_and_no_changed_one_does(
        (size, index) in sizes().prop_flat_map(|size| (Just(size.max(1)), 0..size.max(1))),
        (which, bit) in (any::<prop::sample::Index>(), 0..256usize),
    ) {
        let leaves = leaves(size);
        let (tree, index) = (stored(&leaves), index as u64);
        let (head, leaf) = (tree.head().unwrap(), tree.leaf(index).unwrap());
        let proof = tree.inclusion(index).unwrap();
        prop_assert_eq!(leaf, Hash::leaf(&leaves[index as usize]));
        prop_assert_eq!(verify_inclusion(leaf, index, head, &proof), Ok(()));

        prop_assert!(verify_inclusion(flip(leaf, bit), index, head, &proof).is_err());
        prop_assert!(verify_inclusion(leaf, index, rooted(head, bit), &proof).is_err());
        prop_assert!(verify_inclusion(leaf, index ^ (1 << (bit % 64)), head, &proof).is_err());
        let other = tree.head_at(which.index(size) as u64).unwrap();
        prop_assert!(verify_inclusion(leaf, index, other, &proof).is_err());
        for changed in changes(&proof, which, bit) {
            prop_assert!(verify_inclusion(leaf, index, head, &changed).is_err());
        }
    }

    #[test]
    fn a_consistency_proof_holds_and_no_changed_one_does(
        (size, old) in sizes().prop_flat_map(|size| (Just(size.max(2)), 1..size.max(2))),
        (which, bit) in (any::<prop::sample::Index>(), 0..256usize),
    ) {
        let tree = stored(&leaves(size));
        let (old, new) = (tree.head_at(old as u64).unwrap(), tree.head().unwrap());
        let proof = tree.consistency(old.size).unwrap();
        prop_assert_eq!(verify_consistency(old, new, &proof), Ok(()));

        prop_assert!(verify_consistency(rooted(old, bit), new, &proof).is_err());
        prop_assert!(verify_consistency(old, rooted(new, bit), &proof).is_err());
        let other = tree.head_at(which.index(size) as u64).unwrap();
        if other != old && other.size > 0 {
            prop_assert!(verify_consistency(other, new, &proof).is_err());
        }
        if other.size > old.size {
            prop_assert!(verify_consistency(old, other, &proof).is_err());
        }
        for changed in changes(&proof, which, bit) {
            prop_assert!(verify_consistency(old, new, &changed).is_err());
        }
    }
}

fn flip(mut hash: Hash, bit: usize) -> Hash {
    hash.0[bit / 8] ^= 1 << (bit % 8);
    hash
}

/// The head with a bit of its root flipped.
fn rooted(head: Head, bit: usize) -> Head {
    Head { root: flip(head.root, bit), ..head }
}

/// The proof with a bit flipped, with a hash removed, repeated, added at either end.
fn changes(proof: &[Hash], which: prop::sample::Index, bit: usize) -> Vec<Vec<Hash>> {
    let added = |at: usize| {
        let mut longer = proof.to_vec();
        longer.insert(at, Hash::leaf(b"more"));
        longer
    };
    let mut changes = vec![added(0), added(proof.len())];
    if !proof.is_empty() {
        let at = which.index(proof.len());
        let (mut flipped, mut removed, mut repeated) = (proof.to_vec(), proof.to_vec(), proof.to_vec());
        flipped[at] = flip(flipped[at], bit);
        removed.remove(at);
        repeated.insert(at, proof[at]);
        changes.extend([flipped, removed, repeated]);
    }
    changes
}
