//! `audit verify`: an export and a key, and nothing else.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use sallyport_audit::export::{Known, Trust, verify};
use sallyport_runtime::files::FileError;

use super::folder::Folder;
use super::verdict;
use crate::cli::audit::Verify;
use crate::failure::Failure;
use crate::output::Output;

/// A webhook's delivery holds some dozens of checkpoints.
const MOST_KNOWN: u64 = 4 * 1024 * 1024;

pub(crate) fn run(wish: &Verify, output: &Output) -> Result<(), Failure> {
    let folder = &wish.folder;
    if !folder.is_dir() {
        let words = format!("{} is no folder; unpack the export and name its folder", folder.display());
        return Err(Failure::Usage(words));
    }
    let mut known = Vec::new();
    for path in &wish.known {
        known.extend(read_known(path)?);
    }
    let trust = Trust { keys: &wish.key, witnesses: &wish.witness, known: &known };
    verdict::tell(folder, &verify(&Folder::new(folder), trust), output)
}

/// Of a file, or of an earlier export.
fn read_known(path: &Path) -> Result<Vec<Known>, Failure> {
    let logs = path.join("logs");
    if !logs.is_dir() {
        return Ok(vec![read_one(path)?]);
    }
    let entries = fs::read_dir(&logs).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|source| cannot_read(&logs, source))?;
    let mut folders: Vec<_> = entries.iter().map(|entry| entry.path().join("checkpoint")).collect();
    folders.sort();
    folders.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> Result<Known, Failure> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MOST_KNOWN + 1).read_to_end(&mut bytes));
    read.map_err(|source| cannot_read(path, source))?;
    Known::read(&path.display().to_string(), &bytes).map_err(|error| Failure::Usage(format!("--known: {error}")))
}

fn cannot_read(path: &Path, source: std::io::Error) -> Failure {
    FileError::Io { path: path.to_owned(), step: "read", source }.into()
}
