use sallyport_audit::tlog::tile::{Level, tiles_of};
use sallyport_audit::tlog::tree::Tree;

use super::*;
use crate::audit::collect::store;
use crate::audit::collect::tests::journal::{Journal, at, started};
use crate::audit::tests::operator;

fn kept() -> Retention {
    Retention { years: 6, legal_basis: Some("contract 7".into()), held: None }
}

/// A region's log with three full bundles and a beginning of a fourth; record n is of second n.
fn journal() -> Journal {
    let mut journal = Journal::new();
    for n in 0..800 {
        journal.append(started("1"), n);
    }
    journal
}

#[tokio::test]
async fn whole_bundles_are_old_once_their_newest_record_is() {
    let (operator, journal) = (operator(), journal());
    let mut state = operator.archive(&journal).await;
    let origin = journal.keeper.origin(Scope::Region);
    let archive = &operator.open.archive;
    let indices = async |before: i64, state: &State| -> Vec<u64> {
        let old = old(archive, &origin, state, at(before)).await.unwrap();
        old.iter().map(Tile::index).collect()
    };
    assert_eq!(indices(0, &state).await, [] as [u64; 0]);
    assert_eq!(indices(255, &state).await, [] as [u64; 0], "its newest record is of that very time");
    assert_eq!(indices(256, &state).await, [0]);
    assert_eq!(indices(600, &state).await, [0, 1]);
    assert_eq!(indices(100_000, &state).await, [0, 1, 2], "the last one may still grow");
    state.ended = Some(crate::audit::collect::state::Ended { followed_by: journal.keeper.incarnation, noted: true });
    assert_eq!(indices(100_000, &state).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn nothing_is_deleted_that_is_not_recorded() {
    let (operator, journal) = (operator(), journal());
    let state = operator.archive(&journal).await;
    let origin = journal.keeper.origin(Scope::Region);
    let old = old(&operator.open.archive, &origin, &state, at(600)).await.unwrap();
    let deleted = delete(&operator.ctx, &operator.records, &operator.open, &origin, &kept(), &old).await;
    assert!(matches!(deleted, Err(DeleteError::NotRecorded(WriteError::NobodyThere))), "{deleted:?}");
    let left = operator.open.archive.records.list(&layout::bundles(&origin)).await.unwrap();
    assert_eq!(left.len(), 4);
}

#[tokio::test]
async fn what_is_recorded_is_deleted_and_the_rest_can_still_be_proven() {
    let (operator, mut journal) = (operator(), journal());
    let state = operator.archive(&journal).await;
    let origin = journal.keeper.origin(Scope::Region);
    let gateway = journal.keeper.gateway.clone();
    let mut acts = operator.records.takes_writes(&gateway);
    let incarnation = journal.keeper.incarnation;
    let recorded = tokio::spawn(async move {
        let act = acts.recv().await.unwrap();
        act.done.send(Ok(crate::audit::records::Written { incarnation, sequence: 1 })).unwrap();
        act.event
    });
    let old = old(&operator.open.archive, &origin, &state, at(600)).await.unwrap();
    delete(&operator.ctx, &operator.records, &operator.open, &origin, &kept(), &old).await.unwrap();
    let Event::AuditDeleted(deleted) = recorded.await.unwrap() else { panic!("another event") };
    assert_eq!((deleted.first, deleted.last, deleted.site), (0, 511, None));
    assert!(deleted.basis.as_str().contains("contract 7"));
    // Collecting goes on, and the tree is whole.
    journal.append(started("2"), 900);
    let state = operator.archive(&journal).await;
    let size = state.journal.size(&Scope::Region);
    let tiles = store::fetch(&operator.open.archive, &origin, tiles_of(size)).await.unwrap();
    let bundles = tiles.keys().filter(|tile| tile.level() == Level::Entries).map(Tile::index).collect::<Vec<_>>();
    assert_eq!(bundles, [2, 3]);
    let tree = Tree::new(tiles, size);
    assert_eq!(tree.head().unwrap(), state.head(&Scope::Region));
    tree.consistency(100).unwrap();
}
