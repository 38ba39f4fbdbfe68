use super::*;
use crate::audit::collect::tests::journal::{Journal, session, started};

fn journal(records: u64) -> Journal {
    let mut journal = Journal::new();
    journal.fill(records);
    journal
}

/// Judges a batch behind what the journal had archived.
fn judged(journal: &Journal, after: u64, batch: &wire::Batch) -> Result<Verified, Misfit> {
    let before = State { journal: journal.snapshot(after), ..State::new(journal.public_key()) };
    verify(&before, &journal.keeper, batch, &BTreeMap::new())
}

fn kind(result: Result<Verified, Misfit>) -> EvidenceKind {
    result.expect_err("it does not fit").kind
}

#[test]
fn a_batch_that_goes_on_from_the_archive_is_taken() {
    let journal = journal(30);
    let verified = judged(&journal, 10, &journal.batch(10, 30)).unwrap();
    assert_eq!(verified.state.journal, journal.snapshot(30));
    assert_eq!(verified.leaves.values().map(Vec::len).sum::<usize>(), 20);
    assert_eq!(verified.checkpoints.len(), 3);
    // Two of three persons' keys came before the tenth record, and none is made twice.
    assert_eq!(verified.keys.len(), 1);
    let keys = judged(&journal, 0, &journal.batch(0, 30)).unwrap().keys;
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| key.used.is_some()), "{keys:?}");
}

#[test]
fn numbers_that_are_missing_or_come_twice_are_seen() {
    let journal = journal(30);
    for (after, mut batch) in [(10, journal.batch(11, 30)), (10, journal.batch(9, 30))] {
        batch.after = after;
        assert_eq!(kind(judged(&journal, 10, &batch)), EvidenceKind::NumbersBroken);
    }
    let other = wire::Batch { after: 9, ..journal.batch(10, 30) };
    assert_eq!(kind(judged(&journal, 10, &other)), EvidenceKind::NumbersBroken);
    let more = wire::Batch { through: 29, ..journal.batch(10, 30) };
    assert_eq!(kind(judged(&journal, 10, &more)), EvidenceKind::NumbersBroken);
    let none = wire::Batch { through: 10, ..journal.batch(10, 11) };
    assert_eq!(kind(judged(&journal, 10, &none)), EvidenceKind::NumbersBroken);
}

#[test]
fn an_older_copy_is_seen() {
    let journal = journal(30);
    let older = wire::Batch { newest: 9, ..journal.batch(10, 11) };
    assert_eq!(kind(judged(&journal, 10, &older)), EvidenceKind::RolledBack);
}

#[test]
fn another_history_is_seen() {
    // Two gateways with one key: the same numbers, other records.
    let mut mine = Journal::new();
    let mut theirs = Journal::with(mine.key.clone());
    for (n, (my, their)) in [("a", "a"), ("b", "x"), ("c", "c")].into_iter().enumerate() {
        mine.append(started(my), n as i64);
        theirs.append(started(their), n as i64);
    }
    assert_eq!(kind(judged(&mine, 2, &theirs.batch(2, 3))), EvidenceKind::ForkFound);
    judged(&mine, 2, &mine.batch(2, 3)).unwrap();
}

#[test]
fn a_checkpoint_that_is_archived_ahead_of_the_state_is_held_against_the_records() {
    let mut mine = Journal::new();
    let mut theirs = Journal::with(mine.key.clone());
    for n in 0..6 {
        mine.append(started("a"), n);
        theirs.append(started(if n == 3 { "x" } else { "a" }), n);
    }
    let before = State { journal: mine.snapshot(2), ..State::new(mine.public_key()) };
    let judge = |archived: &Journal, through| {
        let heads = BTreeMap::from([(Scope::Region, archived.snapshot(through).head(&Scope::Region))]);
        verify(&before, &mine.keeper, &mine.batch(2, 6), &heads)
    };
    judge(&mine, 2).unwrap();
    judge(&mine, 5).unwrap();
    judge(&mine, 6).unwrap();
    for through in [4, 5, 6] {
        assert_eq!(judge(&theirs, through).unwrap_err().kind, EvidenceKind::ForkFound, "{through}");
    }
    // Behind the state: somebody put an old checkpoint into the archive.
    assert_eq!(judge(&mine, 1).unwrap_err().kind, EvidenceKind::ForkFound);
}

#[test]
fn only_the_incarnations_own_key_signs() {
    let journal = journal(30);
    let batch = journal.batch(10, 30);
    let snapshot = journal.snapshot(30);
    let forged =
        journal.checkpoint(&Scope::Region, &snapshot, &sallyport_audit::tlog::note::SigningKey::generate().unwrap());
    let with = |checkpoints: Vec<wire::Checkpoint>| wire::Batch { checkpoints, ..batch.clone() };
    let mut all = batch.checkpoints.clone();
    all[0] = forged;
    assert_eq!(kind(judged(&journal, 10, &with(all))), EvidenceKind::BadSignature);
    assert_eq!(kind(judged(&journal, 10, &with(batch.checkpoints[1..].to_vec()))), EvidenceKind::BadSignature);
    let mut renamed = batch.checkpoints.clone();
    renamed[0].log = "site/lyon/hospital".into();
    assert!(judged(&journal, 10, &with(renamed)).is_err());
    let mut early = batch.checkpoints.clone();
    early[0] = journal.checkpoint(&Scope::Region, &journal.snapshot(20), &journal.key);
    assert_eq!(kind(judged(&journal, 10, &with(early))), EvidenceKind::ForkFound);
}

#[test]
fn times_that_fall_are_seen() {
    let mut mine = Journal::new();
    let mut theirs = Journal::with(mine.key.clone());
    mine.append(started("a"), 100);
    theirs.append(started("a"), 10);
    theirs.append(started("b"), 20);
    assert_eq!(kind(judged(&mine, 1, &theirs.batch(1, 2))), EvidenceKind::TimesBroken);
}

#[test]
fn any_byte_that_is_changed_is_seen() {
    let mut journal = Journal::new();
    journal.append(started("a"), 0);
    journal.append(session("lyon/hospital", "ada@vendor"), 1);
    let batch = journal.batch(1, 2);
    judged(&journal, 1, &batch).unwrap();
    for position in 0..batch.lines.len() {
        let mut changed = batch.clone();
        changed.lines[position] ^= 1;
        assert!(judged(&journal, 1, &changed).is_err(), "byte {position}");
    }
    for length in 0..batch.lines.len() {
        let mut cut = batch.clone();
        cut.lines.truncate(length);
        assert!(judged(&journal, 1, &cut).is_err(), "cut to {length}");
    }
}

#[test]
fn a_batch_of_another_incarnation_is_refused() {
    let (journal, other) = (journal(3), self::journal(3));
    assert_eq!(kind(judged(&journal, 0, &other.batch(0, 3))), EvidenceKind::Unreadable);
}
