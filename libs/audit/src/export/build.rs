//! Making an export. Each log is read three times and never held: once for its files and to measure the readable ones
//! (a tar wants a file's size before its bytes), once for each of the two that hold all records.

mod writer;

use std::ops::Range;

use jiff::Timestamp;
use sallyport_core::name::RegionId;

use super::about::{About, AboutLog, Made, Period, VERSION};
use super::keys::{Keys, LogKeys, show};
use super::merge::Merge;
use super::readable::{self, Report};
use super::select::{SelectError, Selection, select};
use super::{manifest, paths};
use crate::person::{Sealed, Shown};
use crate::record::{DecodeError, Record, decode};
use crate::scope::{Origin, Scope, ScopeError};
use crate::seal::SealError;
use crate::tlog::checkpoint::SignedCheckpoint;
use crate::tlog::note::{KeyNameError, Note, NoteError, Signer, VerifierKey};
use crate::tlog::tile::{self, Level, Tile, WIDTH};
use crate::tlog::tree::{ReadError, Tiles, Tree, TreeError};

use writer::Writer;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// The region.
    pub region: RegionId,
    /// Whose logs.
    pub scope: Scope,
    /// Which time.
    pub period: Period,
    /// When and for whom.
    pub made: Made,
}

/// A log as the archive has it. All logs of the scope belong into an export, also those without a record of the time:
/// they show that there was none.
#[derive(Debug)]
pub struct Source<T> {
    /// The gateway's key.
    pub verifier_key: VerifierKey,
    /// The newest checkpoint, with the signatures of gateway, region and witnesses. It was verified when it was archived;
    /// its size is the log's.
    pub checkpoint: SignedCheckpoint,
    /// The log's tiles.
    pub tiles: T,
    /// Until when the log was collected.
    pub collected_until: Timestamp,
}

/// Where an export goes: one file after the other.
pub trait Sink {
    /// A file begins. Exactly so many bytes of it follow.
    ///
    /// # Errors
    /// When it cannot be taken; the export then ends.
    fn file(&mut self, path: &str, size: u64) -> Result<(), ReadError>;

    /// More of that file.
    ///
    /// # Errors
    /// As above.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ReadError>;
}

/// What an export came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// Records in the time.
    pub records: u64,
    /// Files, the manifest included.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Makes an export. The signer is the region's key. When this fails, the sink has half an export, which no verifier
/// takes for a whole one: the manifest comes last.
///
/// # Errors
/// See [`BuildError`].
pub fn build<T: Tiles>(
    order: &Order,
    sources: Vec<Source<T>>,
    keys: &impl Keys,
    signer: &Signer,
    sink: &mut impl Sink,
) -> Result<Built, BuildError> {
    let mut logs = sources.into_iter().map(|source| Log::pick(source, order)).collect::<Result<Vec<_>, _>>()?;
    let about = about(order, &logs);
    let mut writer = Writer::new(sink);
    let mut report = Report::new();
    let mut sizes = Sizes { jsonl: 0, csv: length(readable::HEAD) };
    for (number, log) in logs.iter_mut().enumerate() {
        log.write(number, keys, &mut writer, |record| {
            sizes.jsonl += length(&readable::line(log_origin(&about, number)?, record));
            sizes.csv += length(&readable::row(log_origin(&about, number)?, record));
            report.add(number, record);
            Ok(())
        })?;
    }
    writer.begin(paths::JSONL, sizes.jsonl)?;
    in_order_of_time(&logs, |log, record| writer.bytes(&readable::line(log, record)))?;
    writer.begin(paths::CSV, sizes.csv)?;
    writer.bytes(readable::HEAD)?;
    in_order_of_time(&logs, |log, record| writer.bytes(&readable::row(log, record)))?;
    writer.whole(paths::REPORT, &report.page(&about))?;
    writer.whole(paths::ABOUT, &about.to_json())?;

    let files = writer.hashes()?;
    let manifest =
        manifest::Manifest { region: order.region.clone(), scope: order.scope.clone(), period: order.period, files };
    let mut note = Note::new(manifest.text()).map_err(BuildError::Manifest)?;
    note.sign(signer);
    writer.whole(paths::MANIFEST, note.to_string().as_bytes())?;
    let (files, bytes) = writer.end()?;
    Ok(Built { records: about.logs.iter().map(|log| log.records).sum(), files, bytes })
}

/// The records of a range of a log, bundle by bundle.
pub fn records<T: Tiles>(
    tree: &Tree<T>,
    range: Range<u64>,
) -> impl Iterator<Item = Result<Record<Sealed>, BuildError>> + use<'_, T> {
    let wide = u64::from(WIDTH);
    let bundles = if range.start < range.end { range.start / wide..(range.end - 1) / wide + 1 } else { 0..0 };
    let tiles = bundles.filter_map(|index| Tile::of(Level::Entries, index, tree.size()));
    tiles.flat_map(move |tile| match tree.content(tile).map_err(BuildError::from) {
        Ok(content) => decoded(tile, &content, &range),
        Err(error) => vec![Err(error)],
    })
}

/// The records of a bundle that are in a range.
fn decoded(tile: Tile, content: &[u8], range: &Range<u64>) -> Vec<Result<Record<Sealed>, BuildError>> {
    let entries = match tile::entries(content, tile.width()) {
        Ok(entries) => entries,
        Err(source) => return vec![Err(TreeError::Bundle { tile, source }.into())],
    };
    let numbered = tile.leaves().zip(entries).filter(|(index, _)| range.contains(index));
    let read = |(index, bytes)| decode(bytes).map_err(|source| BuildError::Record { index, source });
    numbered.map(read).collect()
}

/// A log of which it is known what goes along.
struct Log<T> {
    origin: Origin,
    tree: Tree<T>,
    selection: Selection,
    keys: LogKeys,
    source: (VerifierKey, SignedCheckpoint, Timestamp),
}

impl<T: Tiles> Log<T> {
    fn pick(source: Source<T>, order: &Order) -> Result<Self, BuildError> {
        let Source { verifier_key, checkpoint, tiles, collected_until } = source;
        let name = checkpoint.claimed().origin();
        let origin: Origin = name.parse().map_err(|source| BuildError::Origin { origin: name.to_owned(), source })?;
        if origin.scope != order.scope || origin.keeper.region != order.region {
            return Err(BuildError::AnotherLog { origin: name.to_owned() });
        }
        let tree = Tree::new(tiles, checkpoint.claimed().head().size);
        let selection = select(&tree, order.period)?;
        Ok(Self {
            origin,
            tree,
            selection,
            keys: LogKeys::default(),
            source: (verifier_key, checkpoint, collected_until),
        })
    }

    fn about(&self) -> AboutLog {
        let Selection { size, first, end, deleted_before } = self.selection;
        let (verifier_key, _, collected_until) = self.source.clone();
        AboutLog {
            origin: self.origin.clone(),
            verifier_key,
            size,
            first,
            records: end - first,
            deleted_before,
            collected_until,
        }
    }

    /// The log's own files; shows its records of the time on the way.
    fn write(
        &mut self,
        number: usize,
        keys: &impl Keys,
        writer: &mut Writer<'_, impl Sink>,
        mut see: impl FnMut(&Record<Shown>) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        writer.whole(&paths::checkpoint(number), self.source.1.to_string().as_bytes())?;
        for tile in self.selection.hash_tiles() {
            writer.whole(&paths::tile(number, tile), &self.tree.content(tile)?)?;
        }
        let wanted = self.wanted();
        for tile in self.selection.bundles() {
            let content = self.tree.content(tile)?;
            writer.whole(&paths::tile(number, tile), &content)?;
            // Of neighbours nobody learns who it was: their keys do not go along.
            for record in decoded(tile, &content, &wanted) {
                let record = record?;
                self.keys
                    .look(keys, &self.origin, &record)
                    .map_err(|source| BuildError::Keys { log: Box::new(self.origin.clone()), source })?;
                see(&self.show(record)?)?;
            }
        }
        writer.whole(&paths::keys(number), &self.keys.to_json())
    }

    fn wanted(&self) -> Range<u64> {
        self.selection.first..self.selection.end
    }

    fn show(&self, record: Record<Sealed>) -> Result<Record<Shown>, BuildError> {
        let index = record.n;
        show(&self.origin, record, |id| self.keys.find(id).cloned()).map_err(|source| BuildError::Person {
            log: Box::new(self.origin.clone()),
            index,
            source,
        })
    }
}

/// Sizes of the readable files.
struct Sizes {
    jsonl: u64,
    csv: u64,
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn about<T: Tiles>(order: &Order, logs: &[Log<T>]) -> About {
    let Order { region, scope, period, made } = order.clone();
    About { version: VERSION, region, scope, period, made, logs: logs.iter().map(Log::about).collect() }
}

fn log_origin(about: &About, number: usize) -> Result<&Origin, BuildError> {
    about.logs.get(number).map(|log| &log.origin).ok_or(BuildError::Unfinished)
}

/// All records of the time.
fn in_order_of_time<T: Tiles>(
    logs: &[Log<T>],
    mut each: impl FnMut(&Origin, &Record<Shown>) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut merge = Merge::new(logs.len());
    let mut streams: Vec<_> = logs.iter().map(|log| records(&log.tree, log.wanted())).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        if let Some(record) = stream.next() {
            merge.put(number, record?);
        }
    }
    while let Some((number, record)) = merge.take() {
        let (Some(log), Some(stream)) = (logs.get(number), streams.get_mut(number)) else { continue };
        each(&log.origin, &log.show(record)?)?;
        if let Some(record) = stream.next() {
            merge.put(number, record?);
        }
    }
    Ok(())
}

/// Why an export was not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A log that is not of the order's scope.
    #[error("{origin} is not a log of what is to be exported")]
    AnotherLog {
        /// Which.
        origin: String,
    },
    /// Whoever keeps the keys failed.
    #[error("keys of {log} cannot be read")]
    Keys {
        /// Of which log.
        log: Box<Origin>,
        /// Why.
        source: ReadError,
    },
    /// The region's name.
    #[error("the region's key has no name")]
    KeyName(#[from] KeyNameError),
    /// Too many files for one manifest, in the main.
    #[error("the manifest cannot be written; ask for a shorter time")]
    Manifest(#[source] NoteError),
    /// A checkpoint that is not of a log of ours.
    #[error("{origin:?} names no log")]
    Origin {
        /// What it says.
        origin: String,
        /// Why.
        source: ScopeError,
    },
    /// A record's person was not sealed for its place.
    #[error("record {index} of {log} cannot be shown")]
    Person {
        /// Of which log.
        log: Box<Origin>,
        /// Which.
        index: u64,
        /// Why.
        source: SealError,
    },
    /// A record is none.
    #[error("record {index} cannot be read")]
    Record {
        /// Which.
        index: u64,
        /// Why.
        source: DecodeError,
    },
    /// The records of the time.
    #[error("the records of this time cannot be found")]
    Select(#[from] SelectError),
    /// Whoever takes the export failed.
    #[error("the export cannot be written")]
    Sink(#[source] ReadError),
    /// The archive.
    #[error("a log cannot be read")]
    Tree(#[from] TreeError),
    /// A file came out longer or shorter than it was measured: the archive changed meanwhile.
    #[error("the archive changed while it was read; ask again")]
    Unfinished,
}
