//! Notes, checkpoints and witnesses: published vectors, every mutation, every refusal.
#![allow(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;
use proptest::prelude::*;
use sallyport_audit::tlog::checkpoint::{self, Checkpoint, CheckpointError, OpenOursError, SignedCheckpoint};
use sallyport_audit::tlog::cosignature::Cosigner;
use sallyport_audit::tlog::hash::Hash;
use sallyport_audit::tlog::note::{
    KeyName, MOST_BYTES, MOST_SIGNATURES, Note, NoteError, OpenError, SignatureType, Signer, SigningKey, Statement,
    VerifierKey, VerifierKeyError,
};
use sallyport_audit::tlog::tree::{Head, Tree};
use sallyport_audit::tlog::witness::{AddCheckpoint, Refused, RequestError, decide};

mod tlog_support;
use tlog_support::{Store, leaves, stored};

/// The example of Go's package `note`: key, private key's seed, text and note.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETERS_SEED: &str = "810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

fn peters_key() -> SigningKey {
    // PKCS#8 of an Ed25519 key is this and the seed (RFC 8410, section 7).
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    SigningKey::from_pkcs8(&[prefix.as_slice(), &tlog_support::hash(PETERS_SEED).0].concat()).unwrap()
}

fn name(name: &str) -> KeyName {
    KeyName::new(name).unwrap()
}

fn now() -> Timestamp {
    "2026-11-24T15:09:19Z".parse().unwrap()
}

#[test]
fn the_published_note_is_signed_and_opened() {
    let signer = Signer::new(name("PeterNeumann"), peters_key());
    assert_eq!(signer.verifier_key().to_string(), PETER);
    let mut note = Note::new(TEXT).unwrap();
    note.sign(&signer);
    assert_eq!(note.to_string(), format!("{TEXT}\n{SIGNATURE}\n"));
    let opened = Note::parse(note.to_string().as_bytes()).unwrap().open(&[PETER.parse().unwrap()]).unwrap();
    assert_eq!((opened.text(), opened.by().len()), (TEXT, 1));
    assert_eq!(opened.statement_of(signer.verifier_key()), Some(Statement::Signed));
}

#[test]
fn keys_come_back_and_stay_secret() {
    let key = SigningKey::generate().unwrap();
    let pkcs8 = key.to_pkcs8().unwrap();
    assert_eq!(SigningKey::from_pkcs8(&pkcs8).unwrap().public_key(), key.public_key());
    assert!(SigningKey::from_pkcs8(b"").is_err());
    assert!(SigningKey::from_pkcs8(&pkcs8[..47]).is_err());
    let shown = format!("{:?}", Signer::new(name("PeterNeumann"), peters_key()));
    assert!(!shown.contains(PETERS_SEED) && shown.contains("c74f20a3"));
}

#[test]
fn a_verifier_key_is_refused_when_a_part_of_it_is_missing_or_changed() {
    for start in 0..PETER.len() {
        for end in start..=PETER.len() {
            assert!((start, end) == (0, PETER.len()) || PETER[start..end].parse::<VerifierKey>().is_err());
        }
    }
    for at in 0..PETER.len() {
        let mut changed = PETER.as_bytes().to_vec();
        changed[at] += 1;
        assert!(String::from_utf8(changed).unwrap().parse::<VerifierKey>().is_err(), "{at}");
    }
    // Go's examples with the right id: a key that is too long, a type that nobody knows.
    let long = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    assert_eq!(long.parse::<VerifierKey>(), Err(VerifierKeyError::Shape));
    let unknown = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(unknown.parse::<VerifierKey>(), Err(VerifierKeyError::Type { found: 0x65 }));
    assert_eq!(PETER.replace("c74f20a3", "C74F20A3").parse::<VerifierKey>(), Err(VerifierKeyError::Id));
    for bad in ["", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\nb", "a\u{7f}"] {
        assert!(KeyName::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let parse = |note: &str| Note::parse(note.as_bytes()).unwrap_err();
    assert_eq!(parse(""), NoteError::Unsigned);
    assert_eq!(parse(TEXT), NoteError::Unsigned);
    assert_eq!(parse(&format!("{TEXT}\n")), NoteError::Unsigned);
    assert_eq!(parse(&format!("{TEXT}\n{SIGNATURE}")), NoteError::Unsigned);
    assert_eq!(parse(&format!("{TEXT}{SIGNATURE}\n")), NoteError::Unsigned);
    for line in [
        "- PeterNeumann x08go/ZJ",
        "— PeterNeumann",
        "— Peter Neumann x08go/ZJ",
        "— PeterNeumann x08go/Z",
        "— PeterNeumann x08goA==",
        "—  x08go/ZJ",
        "— a+b x08go/ZJ",
        " — a x08go/ZJ",
        "— a x08go/ZJ ",
    ] {
        assert_eq!(parse(&format!("{TEXT}\n{line}\n")), NoteError::Signature, "{line}");
    }
    assert_eq!(parse(&format!("a\tb\n\n{SIGNATURE}\n")), NoteError::Text);
    assert_eq!(parse(&format!("{TEXT}\n{SIGNATURE}\r\n")), NoteError::Text);
    assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Text));
    assert_eq!(Note::new("no newline"), Err(NoteError::Text));
    let most = format!("{SIGNATURE}\n").repeat(MOST_SIGNATURES);
    assert!(Note::parse(format!("{TEXT}\n{most}").as_bytes()).is_ok());
    assert_eq!(parse(&format!("{TEXT}\n{most}{SIGNATURE}\n")), NoteError::TooMany);
    assert!(matches!(Note::parse(&vec![b'a'; MOST_BYTES + 1]), Err(NoteError::TooLong { .. })));
}

#[test]
fn an_unknown_signature_is_kept_and_a_bad_known_one_condemns_the_note() {
    let (peter, other) = (PETER.parse().unwrap(), Signer::new(name("other"), SigningKey::generate().unwrap()));
    let mut note = Note::parse(format!("{TEXT}\n{SIGNATURE}\n").as_bytes()).unwrap();
    assert_eq!(note.clone().open(&[]).unwrap_err(), OpenError::Unknown);
    assert_eq!(note.clone().open(&[other.verifier_key().clone()]).unwrap_err(), OpenError::Unknown);
    note.sign(&other);
    note.sign(&other);
    assert_eq!(note.signatures().len(), 2);
    let opened = note.clone().open(&[peter]).unwrap();
    assert_eq!((opened.by().len(), opened.note()), (1, &note));

    // Peter's line under another text, beside a good signature of the other.
    let mut forged = Note::new("Another text\n").unwrap();
    forged.add(SIGNATURE.parse().unwrap());
    forged.sign(&other);
    let keys = [PETER.parse().unwrap(), other.verifier_key().clone()];
    assert_eq!(forged.open(&keys).unwrap_err(), OpenError::Bad { name: name("PeterNeumann") });
}

/// A log of 300 leaves, its key and a witness.
struct World {
    tree: Tree<Store>,
    log: Signer,
    witness: Cosigner,
}

const ORIGIN: &str = "sallyport.dev/ns/region/gateway-0/01234567/region";

impl World {
    fn new() -> Self {
        let key = || SigningKey::generate().unwrap();
        let (log, witness) = (Signer::new(name(ORIGIN), key()), Cosigner::new(name("witness.example/w1"), key()));
        Self { tree: stored(&leaves(300)), log, witness }
    }

    fn head(&self, size: u64) -> Head {
        self.tree.head_at(size).unwrap()
    }

    fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let checkpoint = Checkpoint::new(&name(ORIGIN), self.head(new)).sign(&self.log).unwrap();
        let proof = if old > new { vec![] } else { Tree::new(self.tiles_at(new), new).consistency(old).unwrap() };
        AddCheckpoint { old, proof, checkpoint }
    }

    fn tiles_at(&self, size: u64) -> Store {
        let tiles = sallyport_audit::tlog::tile::tiles_of(size);
        let leaves = leaves(usize::try_from(size).unwrap());
        let tree = stored(&leaves);
        tiles.map(|tile| (tile, tree.content(tile).unwrap())).collect()
    }

    fn ask(&self, kept: Option<Head>, request: AddCheckpoint) -> Result<Head, Refused> {
        let keys = [self.log.verifier_key().clone()];
        decide(kept, request, Some(&keys), &self.witness, now()).map(|cosigned| cosigned.keep())
    }
}

#[test]
fn a_checkpoint_is_signed_opened_and_kept_apart() {
    let world = World::new();
    let signed = Checkpoint::new(&name(ORIGIN), world.head(300)).sign(&world.log).unwrap();
    let keys = [world.log.verifier_key().clone()];
    let read = SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.clone().open_ours(&name(ORIGIN), &keys).unwrap().head(), world.head(300));
    let other = read.clone().open_ours(&name("sallyport.dev/other"), &keys).unwrap_err();
    assert!(matches!(other, OpenOursError::Origin { .. }));
    assert!(matches!(read.open_ours(&name(ORIGIN), &[PETER.parse().unwrap()]), Err(OpenOursError::Open(_))));

    let extended = format!("{}extension\n", Checkpoint::new(&name(ORIGIN), world.head(300)));
    let parsed = Checkpoint::parse(&extended).unwrap();
    assert_eq!((parsed.extensions(), parsed.to_string()), (["extension".to_owned()].as_slice(), extended.clone()));
    assert_eq!(parsed.sign(&world.log), Err(CheckpointError::Extension));
    let mut note = Note::new(extended).unwrap();
    note.sign(&world.log);
    let signed = SignedCheckpoint::parse(note.to_string().as_bytes()).unwrap();
    assert!(matches!(signed.clone().open_ours(&name(ORIGIN), &keys), Err(OpenOursError::Extension { .. })));
    assert!(signed.open(&keys).is_ok());
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let root = Hash::EMPTY;
    for (text, error) in [
        (format!("a\n1\n{root}"), CheckpointError::Lines),
        ("a\n1\n".to_owned(), CheckpointError::Lines),
        (format!("\n1\n{root}\n"), CheckpointError::Lines),
        (format!("a\n1\n{root}\n\nx\n"), CheckpointError::Lines),
        (format!("a\n1\n{root}\n\n"), CheckpointError::Lines),
        (format!("a\n01\n{root}\n"), CheckpointError::Size),
        (format!("a\n+1\n{root}\n"), CheckpointError::Size),
        (format!("a\n18446744073709551616\n{root}\n"), CheckpointError::Size),
        (format!("a\n1\n{}\n", root.to_hex()), CheckpointError::Root),
        ("a\n1\n\n".to_owned(), CheckpointError::Root),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
    let bytes = checkpoint::MOST_BYTES + 1;
    assert_eq!(SignedCheckpoint::parse(&vec![b'a'; bytes]), Err(CheckpointError::TooLong { bytes }));
}

#[test]
fn a_witness_cosigns_growth_and_the_checkpoint_opens_with_its_key() {
    let world = World::new();
    let keys = [world.log.verifier_key().clone()];
    let first = decide(None, world.request(0, 100), Some(&keys), &world.witness, now()).unwrap();
    assert_eq!(first.keep(), world.head(100));
    let request = AddCheckpoint::parse(world.request(100, 300).to_string().as_bytes()).unwrap();
    assert_eq!((request.origin(), request.old), (ORIGIN, 100));
    let mut checkpoint = request.checkpoint.clone();
    let next = decide(Some(first.keep()), request, Some(&keys), &world.witness, now()).unwrap();
    checkpoint.add(next.into_line_once_kept().to_string().parse().unwrap());

    let witness = world.witness.verifier_key().to_string().parse::<VerifierKey>().unwrap();
    assert_eq!(witness.kind(), SignatureType::Cosignature);
    let read = SignedCheckpoint::parse(checkpoint.to_string().as_bytes()).unwrap();
    let opened = read.open(&[keys[0].clone(), witness.clone()]).unwrap();
    let at = u64::try_from(now().as_second()).unwrap();
    assert_eq!(opened.statement_of(&witness), Some(Statement::Cosigned { at }));
    assert_eq!(opened.statement_of(&keys[0]), Some(Statement::Signed));

    // The key's id and what was signed, as the specification says, by other hands.
    let line = opened.signed().note().signatures()[1].clone();
    let message = format!("cosignature/v1\ntime {at}\n{}", opened.checkpoint());
    let bare = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, witness.public_key());
    assert_eq!(line.payload()[..8], at.to_be_bytes());
    bare.verify(message.as_bytes(), &line.payload()[8..]).unwrap();
}

#[test]
fn a_witness_refuses_what_the_protocol_says_and_with_its_status() {
    let world = World::new();
    let kept = Some(world.head(100));
    let refused = |kept, request| world.ask(kept, request).map_err(|refused| (refused.status(), refused.size()));
    assert_eq!(refused(kept, world.request(100, 100)), Ok(world.head(100)));
    assert_eq!(refused(kept, world.request(100, 300)), Ok(world.head(300)));

    let unknown = decide(kept, world.request(100, 300), None, &world.witness, now()).unwrap_err();
    assert_eq!((unknown.status(), unknown.size()), (404, None));
    let untrusted = decide(kept, world.request(100, 300), Some(&[]), &world.witness, now()).unwrap_err();
    assert_eq!(untrusted.status(), 403);
    assert_eq!(refused(kept, world.request(300, 100)), Err((400, None)));
    assert_eq!(refused(kept, world.request(0, 300)), Err((409, Some(100))));
    assert_eq!(refused(kept, world.request(99, 300)), Err((409, Some(100))));
    assert_eq!(refused(None, world.request(100, 300)), Err((409, Some(0))));
    // The witness' memory of another tree: a fork at the same size, and growth of something else.
    let fork = Some(Head { size: 100, root: Hash::leaf(b"fork") });
    assert_eq!(refused(fork, world.request(100, 100)), Err((409, Some(100))));
    assert_eq!(refused(fork, world.request(100, 300)), Err((422, None)));
    let mut without = world.request(100, 300);
    without.proof.pop();
    assert_eq!(refused(kept, without), Err((422, None)));
    let mut needless = world.request(0, 300);
    needless.proof.push(Hash::EMPTY);
    assert_eq!(refused(None, needless), Err((422, None)));

    let malformed = |body: &str| Refused::from(AddCheckpoint::parse(body.as_bytes()).unwrap_err()).status();
    assert_eq!(malformed("old 1\n"), 400);
    let before = decide(
        kept,
        world.request(100, 300),
        Some(&[world.log.verifier_key().clone()]),
        &world.witness,
        Timestamp::MIN,
    )
    .unwrap_err();
    assert_eq!(before.status(), 500);
}

#[test]
fn what_is_no_request_is_refused() {
    let world = World::new();
    let note = world.request(0, 3).checkpoint.to_string();
    let hash = Hash::EMPTY;
    let parse = |body: String| AddCheckpoint::parse(body.as_bytes()).unwrap_err();
    assert_eq!(parse(String::new()), RequestError::Shape);
    assert_eq!(parse(format!("old 0\n{note}").replace("\n\n", "\n")), RequestError::Shape);
    for old in ["old", "old ", "old 00", "old -1", "new 1", "old  1", "Old 1", "old 1 "] {
        assert_eq!(parse(format!("{old}\n\n{note}")), RequestError::Old);
    }
    assert_eq!(parse(format!("old 1\n{hash}\nx\n\n{note}")), RequestError::Proof { line: 2 });
    let lines = format!("{hash}\n").repeat(63);
    assert_eq!(AddCheckpoint::parse(format!("old 1\n{lines}\n{note}").as_bytes()).unwrap().proof.len(), 63);
    assert_eq!(parse(format!("old 1\n{lines}{hash}\n\n{note}")), RequestError::TooMany);
    assert!(matches!(parse("old 1\n\nnote\n".to_owned()), RequestError::Checkpoint(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_note_is_read_as_it_is_written(lines in prop::collection::vec("[^\\x00-\\x1f]{0,20}", 1..5), signers in 1..4usize) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let mut note = Note::new(text.clone()).unwrap();
        for nth in 0..signers {
            note.sign(&Signer::new(name(&format!("signer-{nth}")), peters_key()));
        }
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&read, &note);
        prop_assert_eq!(read.text(), text);
    }

    /// No other bytes than the signed ones are believed: whatever is changed, added or cut.
    #[test]
    fn no_mutation_of_a_signed_note_opens(at: prop::sample::Index, change in 0..3u8, byte: u8, bit in 0..8u8) {
        let note = format!("{TEXT}\n{SIGNATURE}\n").into_bytes();
        let (mut changed, at) = (note.clone(), at.index(note.len()));
        match change {
            0 => changed[at] ^= 1 << bit,
            1 => changed.insert(at, byte),
            _ => drop(changed.remove(at)),
        }
        prop_assume!(changed != note);
        let opened = Note::parse(&changed).ok().and_then(|note| note.open(&[PETER.parse().unwrap()]).ok());
        prop_assert!(opened.is_none());
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(old 1|a|\n|—| |\\PC){0,20}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let _ = (Note::parse(bytes), SignedCheckpoint::parse(bytes), AddCheckpoint::parse(bytes));
            let _ = sallyport_audit::tlog::tile::entries(bytes, 256);
        }
        let _ = (text.parse::<VerifierKey>(), text.parse::<sallyport_audit::tlog::tile::Tile>());
    }
}
