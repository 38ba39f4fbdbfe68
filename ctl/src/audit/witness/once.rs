//! `audit witness --once`: checkpoints that came by mail, and no network.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sallyport_audit::export::Known;
use sallyport_audit::tlog::checkpoint::SignedCheckpoint;
use sallyport_audit::tlog::tile::Tile;
use sallyport_audit::tlog::tree::{ReadError, Tiles, Tree};
use sallyport_audit::tlog::witness::AddCheckpoint;
use sallyport_runtime::files::FileError;

use super::keeper::{Keeper, NotGiven};
use crate::failure::Failure;
use crate::output::{self, Output};

/// A webhook's delivery, or a request.
const MOST: u64 = 4 * 1024 * 1024;
/// Only hash tiles are read, of 8 KiB each.
const MOST_TILE: u64 = 16 * 1024;

/// Cosigns each, prints what is cosigned as checkpoints with all their signatures, and says what is not and why.
pub(crate) fn run(keeper: &Keeper, path: &Path, output: &Output) -> Result<(), Failure> {
    let requests = requests(keeper, path)?;
    let mut refused = 0;
    for request in requests {
        let (origin, mut checkpoint) = (request.origin().to_owned(), request.checkpoint.clone());
        match keeper.add(request, Timestamp::now()) {
            Ok(line) => {
                checkpoint.add(line);
                output.line(&checkpoint.to_string())?;
            }
            Err(NotGiven::Memory(failure)) => return Err(failure),
            Err(NotGiven::Refused(why)) => {
                refused += 1;
                let cause = std::error::Error::source(&why).map(|cause| format!(": {cause}")).unwrap_or_default();
                output::say(&format!("not cosigned: {origin:?}: {why}{cause}"));
            }
        }
    }
    if refused == 0 {
        return Ok(());
    }
    Err(Failure::NotCosigned { path: path.to_owned(), refused })
}

/// Of an export's folder with its tiles, which prove that the log only grew; or of a file.
fn requests(keeper: &Keeper, path: &Path) -> Result<Vec<AddCheckpoint>, Failure> {
    let logs = path.join("logs");
    if logs.is_dir() {
        let entries = fs::read_dir(&logs).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut folders: Vec<_> = entries.map_err(cannot_read(&logs))?.iter().map(fs::DirEntry::path).collect();
        folders.sort();
        return folders.into_iter().map(|folder| of_log(keeper, folder)).collect();
    }
    let bytes = read(path, MOST).map_err(cannot_read(path))?;
    if let Ok(request) = AddCheckpoint::parse(&bytes) {
        return Ok(vec![request]);
    }
    let known = Known::read(&path.display().to_string(), &bytes);
    let known = known.map_err(|error| Failure::Usage(format!("--once: {error}; or name an export's folder")))?;
    // Without a proof only a log that is new, or has not grown, can be cosigned. The decision says so.
    known.checkpoints().iter().map(|checkpoint| bare(keeper, checkpoint.clone())).collect()
}

fn bare(keeper: &Keeper, checkpoint: SignedCheckpoint) -> Result<AddCheckpoint, Failure> {
    let old = keeper.seen(checkpoint.claimed().origin())?.map_or(0, |head| head.size);
    Ok(AddCheckpoint { old, proof: Vec::new(), checkpoint })
}

fn of_log(keeper: &Keeper, folder: PathBuf) -> Result<AddCheckpoint, Failure> {
    let path = folder.join("checkpoint");
    let bytes = read(&path, MOST).map_err(cannot_read(&path))?;
    let unreadable = |error| Failure::Usage(format!("{}: {error}", path.display()));
    let checkpoint = SignedCheckpoint::parse(&bytes).map_err(unreadable)?;
    let request = bare(keeper, checkpoint)?;
    let size = request.checkpoint.claimed().head().size;
    if request.old == 0 || request.old >= size {
        return Ok(request); // no proof is needed, or none helps
    }
    let proof = Tree::new(Folder(folder.clone()), size).consistency(request.old);
    let proof = proof.map_err(|error| cannot_read(&folder)(io::Error::other(error)))?;
    Ok(AddCheckpoint { proof, ..request })
}

/// A log's folder.
struct Folder(PathBuf);

impl Tiles for Folder {
    fn tile(&self, tile: Tile) -> Result<Option<std::borrow::Cow<'_, [u8]>>, ReadError> {
        match read(&self.0.join(tile.to_string()), MOST_TILE) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn cannot_read(path: &Path) -> impl Fn(io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |source| FileError::Io { path: path.clone(), step: "read", source }.into()
}
