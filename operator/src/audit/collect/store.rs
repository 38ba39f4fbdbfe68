//! Storing what was verified: tiles, then persons' keys, then checkpoints, then `state.json`. Whoever is stopped on the
//! way begins the batch again and finds a part of it written; what it finds must be what it would have written.

use std::collections::BTreeMap;

use sallyport_audit::tlog::checkpoint::{CheckpointError, OpenedCheckpoint, SignedCheckpoint};
use sallyport_audit::tlog::hash::HASH_BYTES;
use sallyport_audit::tlog::note::Signer;
use sallyport_audit::tlog::tile::{Level, Tile, entries, partial};
use sallyport_audit::tlog::tree::{Appender, EntryError, Head, TreeError, needed_for_frontier};
use sallyport_audit::{Keeper, Origin, Scope};
use sallyport_core::name::RegionId;
use sallyport_plan::audit::facts::EvidenceKind;
use tokio::sync::Mutex;

use super::state::State;
use super::verify::{FoundKey, Misfit, Verified};
use crate::audit::archive::{Archive, ArchiveError, Created, layout};
use crate::audit::persons;

/// What writing an archive takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Into<'a> {
    pub(crate) archive: &'a Archive,
    /// The region's key.
    pub(crate) signer: &'a Signer,
    /// Held by who changes a person's keys.
    pub(crate) persons: &'a Mutex<()>,
    /// Held by who changes checkpoints.
    pub(crate) checkpoints: &'a Mutex<()>,
}

/// Stores a verified batch behind `before`.
///
/// # Errors
/// See [`StoreError`]. Doing it again goes on where it stopped.
pub(crate) async fn store(
    into: Into<'_>,
    keeper: &Keeper,
    before: &State,
    verified: Verified,
) -> Result<State, StoreError> {
    let Verified { state, leaves, keys, checkpoints } = verified;
    for (scope, leaves) in &leaves {
        tiles(into.archive, &keeper.origin(scope.clone()), before.head(scope), state.head(scope), leaves).await?;
    }
    persons_keys(into, &keeper.region, keeper, keys).await?;
    for (scope, checkpoint) in &checkpoints {
        let _only = into.checkpoints.lock().await;
        sign(into, &keeper.origin(scope.clone()), checkpoint).await?;
    }
    state.store(into.archive, keeper).await?;
    clean(into.archive, keeper, &state).await?;
    Ok(state)
}

/// Grows a log in the archive.
async fn tiles(
    archive: &Archive,
    origin: &Origin,
    before: Head,
    after: Head,
    leaves: &[Vec<u8>],
) -> Result<(), StoreError> {
    let mut appender = open(archive, origin, before).await?;
    for leaf in leaves {
        appender.push(leaf)?;
    }
    let growth = appender.take();
    if growth.head != after {
        return Err(StoreError::Damaged { log: Box::new(origin.clone()), size: before.size });
    }
    for (tile, content) in growth.tiles {
        if archive.records.create(&layout::tile(origin, tile), content).await? == Created::Differs {
            let what = format!("log {}: {tile} in the archive says something else: two histories", origin.scope);
            return Err(StoreError::Misfit(Misfit::new(EvidenceKind::ForkFound, what)));
        }
    }
    Ok(())
}

/// The right edge of a log as it is archived, held against its head.
async fn open(archive: &Archive, origin: &Origin, head: Head) -> Result<Appender, StoreError> {
    let needed = needed_for_frontier(head.size).into_iter().chain(partial(head.size));
    let tiles = fetch(archive, origin, needed).await?;
    let tree = |source| StoreError::Tree { log: Box::new(origin.clone()), source: Box::new(source) };
    let appender = Appender::open(tiles, head.size).map_err(tree)?;
    if appender.head() == head {
        Ok(appender)
    } else {
        Err(StoreError::Damaged { log: Box::new(origin.clone()), size: head.size })
    }
}

/// Tiles of a log, those that are there.
pub(crate) async fn fetch(
    archive: &Archive,
    origin: &Origin,
    tiles: impl IntoIterator<Item = Tile>,
) -> Result<BTreeMap<Tile, Vec<u8>>, ArchiveError> {
    let mut fetched = BTreeMap::new();
    for wanted in tiles {
        if let Some(content) = tile(archive, origin, wanted).await? {
            fetched.insert(wanted, content);
        }
    }
    Ok(fetched)
}

/// One tile. A partial one that was replaced is cut from the one that replaced it: the log grows while it is read.
pub(crate) async fn tile(archive: &Archive, origin: &Origin, wanted: Tile) -> Result<Option<Vec<u8>>, ArchiveError> {
    let records = &archive.records;
    if let Some(content) = records.get(&layout::tile(origin, wanted)).await? {
        return Ok(Some(content.to_vec()));
    }
    if wanted.is_full() {
        return Ok(None);
    }
    let partial = records.list(&layout::partials(origin, wanted)).await?;
    let partial = partial.iter().filter_map(|path| layout::tile_at(origin, path));
    let larger = partial.filter(|tile| tile.width() > wanted.width()).chain([wanted.filled()]);
    for found in larger {
        if let Some(content) = records.get(&layout::tile(origin, found)).await? {
            return Ok(Some(cut(content.to_vec(), found, wanted)));
        }
    }
    Ok(None)
}

/// The beginning of a tile. One that is damaged stays as it is: whoever reads it will say so.
fn cut(mut content: Vec<u8>, found: Tile, wanted: Tile) -> Vec<u8> {
    let width = usize::from(wanted.width());
    let length = match wanted.level() {
        Level::Hashes(_) => width * HASH_BYTES,
        Level::Entries => match entries(&content, found.width()) {
            Ok(entries) => entries.iter().take(width).map(|entry| 2 + entry.len()).sum(),
            Err(_) => content.len(),
        },
    };
    content.truncate(length);
    content
}

async fn persons_keys(
    into: Into<'_>,
    region: &RegionId,
    keeper: &Keeper,
    keys: Vec<FoundKey>,
) -> Result<(), StoreError> {
    let mut of = BTreeMap::<_, Vec<_>>::new();
    for found in keys {
        of.entry(found.subject).or_default().push((keeper.origin(found.scope), found.key, found.used));
    }
    for (subject, keys) in of {
        let _only = into.persons.lock().await;
        persons::add(into.archive, region, subject, keys).await?;
    }
    Ok(())
}

/// Signs a checkpoint with the region's key and stores it, unless one is there that goes as far.
async fn sign(into: Into<'_>, origin: &Origin, checkpoint: &OpenedCheckpoint) -> Result<(), StoreError> {
    if head(into.archive, origin).await?.is_some_and(|archived| archived.size >= checkpoint.head().size) {
        return Ok(());
    }
    let mut signed = checkpoint.signed();
    signed.sign(into.signer);
    Ok(into.archive.records.put(&layout::checkpoint(origin), signed.to_string().into_bytes()).await?)
}

/// The archived checkpoint of a log, if there is one.
pub(crate) async fn checkpoint(archive: &Archive, origin: &Origin) -> Result<Option<SignedCheckpoint>, StoreError> {
    let Some(bytes) = archive.records.get(&layout::checkpoint(origin)).await? else { return Ok(None) };
    let damaged = |source| StoreError::Checkpoint { log: Box::new(origin.clone()), source };
    SignedCheckpoint::parse(&bytes).map(Some).map_err(damaged)
}

async fn head(archive: &Archive, origin: &Origin) -> Result<Option<Head>, StoreError> {
    Ok(checkpoint(archive, origin).await?.map(|checkpoint| checkpoint.claimed().head()))
}

/// The heads of these logs' archived checkpoints.
pub(crate) async fn heads(
    archive: &Archive,
    keeper: &Keeper,
    scopes: impl IntoIterator<Item = Scope>,
) -> Result<BTreeMap<Scope, Head>, StoreError> {
    let mut heads = BTreeMap::new();
    for scope in scopes {
        if let Some(head) = head(archive, &keeper.origin(scope.clone())).await? {
            heads.insert(scope, head);
        }
    }
    Ok(heads)
}

/// Deletes the partial tiles that the last batch replaced. Done after each batch, and again by who goes on from a state:
/// whoever wrote it may have been stopped here.
pub(crate) async fn clean(archive: &Archive, keeper: &Keeper, state: &State) -> Result<(), ArchiveError> {
    for (scope, before) in &state.replaced {
        let origin = keeper.origin(scope.clone());
        let kept: Vec<Tile> = partial(state.journal.size(scope)).collect();
        for tile in partial(*before).filter(|tile| !kept.contains(tile)) {
            archive.records.delete(&layout::tile(&origin, tile)).await?;
        }
    }
    Ok(())
}

/// Why a verified batch is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// See [`ArchiveError`].
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archived checkpoint does not read.
    #[error("the archived checkpoint of {log} is damaged; restore the archive from a backup")]
    Checkpoint {
        /// Of which log.
        log: Box<Origin>,
        /// How.
        #[source]
        source: CheckpointError,
    },
    /// Archived tiles are not those of the log.
    #[error("the archived tiles of {log} are not those of its {size} records; restore the archive from a backup")]
    Damaged {
        /// Of which log.
        log: Box<Origin>,
        /// Records archived.
        size: u64,
    },
    /// No record that reads is as long as this.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The archive has another history: evidence.
    #[error(transparent)]
    Misfit(Misfit),
    /// See [`persons::PersonsError`].
    #[error(transparent)]
    Persons(#[from] persons::PersonsError),
    /// Archived tiles are missing or damaged.
    #[error("the archived tiles of {log} cannot be used; restore the archive from a backup")]
    Tree {
        /// Of which log.
        log: Box<Origin>,
        /// How.
        #[source]
        source: Box<TreeError>,
    },
}
