//! The operator is killed between any two writes, and another one goes on from the archive.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use sallyport_audit::tlog::note::{Signer, SigningKey};
use sallyport_control::wire;
use tokio::sync::Mutex;

use super::journal::{Journal, region};
use super::mortal::Mortal;
use crate::audit::archive::{Archive, layout};
use crate::audit::collect::state::{State, StateError};
use crate::audit::collect::store::{self, StoreError};
use crate::audit::collect::verify::verify;
use crate::lease::Fence;

fn signer() -> Signer {
    let name = crate::audit::key::key_name(&region()).unwrap();
    Signer::new(name, SigningKey::generate().unwrap())
}

fn archive(store: Arc<dyn ObjectStore>) -> Archive {
    Archive::over(store, &Fence::leading())
}

#[derive(Debug)]
enum Died {
    State,
    Store,
}

impl From<StateError> for Died {
    fn from(error: StateError) -> Self {
        assert!(matches!(error, StateError::Archive(_)), "{error:?}");
        Self::State
    }
}

impl From<StoreError> for Died {
    fn from(error: StoreError) -> Self {
        assert!(matches!(error, StoreError::Archive(_) | StoreError::Persons(_)), "{error:?}");
        Self::Store
    }
}

/// What a collector does, from the archive's state on: `cuts` are where its batches end.
async fn collect(archive: &Archive, signer: &Signer, journal: &Journal, cuts: &[u64]) -> Result<State, Died> {
    let keeper = &journal.keeper;
    let loaded = State::load(archive, keeper).await?;
    let mut state = loaded.unwrap_or_else(|| State::new(journal.public_key()));
    store::clean(archive, keeper, &state).await.map_err(StoreError::from)?;
    let (persons, checkpoints) = (Mutex::new(()), Mutex::new(()));
    for cut in cuts.iter().copied().filter(|cut| *cut > state.through()).collect::<Vec<_>>() {
        let batch = journal.batch(state.through(), cut);
        let scopes = batch.checkpoints.iter().map(|checkpoint| checkpoint.log.parse().unwrap());
        let archived = store::heads(archive, keeper, scopes).await?;
        let verified = verify(&state, keeper, &batch, &archived).unwrap();
        let into = store::Into { archive, signer, persons: &persons, checkpoints: &checkpoints };
        state = store::store(into, keeper, &state, verified).await?;
    }
    Ok(state)
}

/// All that is archived.
async fn content(archive: &Archive) -> BTreeMap<Path, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in archive.records.list(&Path::default()).await.unwrap() {
        let bytes = archive.records.get(&path).await.unwrap().unwrap();
        all.insert(path, bytes.to_vec());
    }
    all
}

#[tokio::test]
async fn killed_between_any_two_writes_it_ends_as_if_nothing_had_happened() {
    let (mut journal, signer) = (Journal::new(), signer());
    // Full tiles, partial tiles that are replaced, several logs, persons' keys.
    journal.fill(330);
    let cuts = [5, 300, 318, 330];
    let undisturbed = archive(Arc::new(InMemory::new()));
    let state = collect(&undisturbed, &signer, &journal, &cuts).await.unwrap();
    assert_eq!(state.through(), 330);
    let expected = content(&undisturbed).await;
    let mut writes = 0;
    loop {
        let mortal = Mortal::new(writes);
        let died = collect(&archive(Arc::new(mortal.clone())), &signer, &journal, &cuts).await.is_err();
        let survived = archive(mortal.survivors());
        let state = collect(&survived, &signer, &journal, &cuts).await.unwrap();
        assert_eq!(state.through(), 330);
        let now = content(&survived).await;
        let paths = |all: &BTreeMap<Path, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(paths(&now), paths(&expected), "killed after {writes} writes");
        assert_eq!(now, expected, "killed after {writes} writes");
        if !died {
            break;
        }
        writes += 1;
    }
    assert!(writes > 40, "it was killed at {writes} places only");
}

#[tokio::test]
async fn the_next_one_may_be_given_longer_batches() {
    let (mut journal, signer) = (Journal::new(), signer());
    journal.fill(340);
    let mut writes = 0;
    loop {
        let mortal = Mortal::new(writes);
        let died = collect(&archive(Arc::new(mortal.clone())), &signer, &journal, &[5, 290, 340]).await.is_err();
        let survived = archive(mortal.survivors());
        let state = collect(&survived, &signer, &journal, &[300, 340]).await.unwrap();
        assert_eq!(state.journal, journal.snapshot(340), "killed after {writes} writes");
        // And every log in the archive is whole.
        logs_are_whole(&survived, &journal, &state).await;
        if !died {
            break;
        }
        writes += 7;
    }
}

async fn logs_are_whole(archive: &Archive, journal: &Journal, state: &State) {
    let keeper = &journal.keeper;
    for origin in state.origins(keeper) {
        let size = state.journal.size(&origin.scope);
        let tiles = store::fetch(archive, &origin, sallyport_audit::tlog::tile::tiles_of(size)).await.unwrap();
        let tree = sallyport_audit::tlog::tree::Tree::new(tiles, size);
        assert_eq!(tree.head().unwrap(), state.head(&origin.scope));
        let checkpoint = store::checkpoint(archive, &origin).await.unwrap().unwrap();
        assert_eq!(checkpoint.claimed().head(), state.head(&origin.scope));
    }
}

#[tokio::test]
async fn a_tile_that_says_something_else_is_a_fork_and_stays() {
    let (mut journal, signer) = (Journal::new(), signer());
    journal.fill(10);
    let archive = archive(Arc::new(InMemory::new()));
    let origin = journal.keeper.origin("region".parse().unwrap());
    let tile = sallyport_audit::tlog::tile::grown(0, journal.snapshot(10).size(&origin.scope)).next().unwrap();
    archive.records.put(&layout::tile(&origin, tile), b"another history".to_vec()).await.unwrap();
    let state = State::new(journal.public_key());
    let batch: wire::Batch = journal.batch(0, 10);
    let verified = verify(&state, &journal.keeper, &batch, &BTreeMap::new()).unwrap();
    let (persons, checkpoints) = (Mutex::new(()), Mutex::new(()));
    let into = store::Into { archive: &archive, signer: &signer, persons: &persons, checkpoints: &checkpoints };
    let stored = store::store(into, &journal.keeper, &state, verified).await;
    assert!(matches!(stored, Err(StoreError::Misfit(_))), "{stored:?}");
    let found = archive.records.get(&layout::tile(&origin, tile)).await.unwrap().unwrap();
    assert_eq!(&found[..], b"another history");
}

#[tokio::test]
async fn a_partial_tile_that_was_replaced_is_cut_from_its_successor() {
    let (mut journal, signer) = (Journal::new(), signer());
    journal.fill(330);
    let scope = "region".parse().unwrap();
    let origin = journal.keeper.origin(scope);
    let archive = archive(Arc::new(InMemory::new()));
    collect(&archive, &signer, &journal, &[20]).await.unwrap();
    let size = journal.snapshot(20).size(&origin.scope);
    let tiles: Vec<_> = sallyport_audit::tlog::tile::tiles_of(size).collect();
    let before = store::fetch(&archive, &origin, tiles.clone()).await.unwrap();
    for cut in [40, 330] {
        collect(&archive, &signer, &journal, &[cut]).await.unwrap();
        assert_eq!(store::fetch(&archive, &origin, tiles.clone()).await.unwrap(), before, "read after record {cut}");
        let gone = archive.records.get(&layout::tile(&origin, tiles[0])).await.unwrap();
        assert!(gone.is_none(), "the partial tile is still there");
    }
}
