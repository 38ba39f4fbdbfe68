//! A tar from the network into a folder that was empty. Only plain files below the folder are taken: whatever the archive
//! names otherwise ends it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::path::{Component, Path};

use bytes::{Buf as _, Bytes};
use tar::{Archive, EntryType};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// More files than an export's manifest can name.
const MOST_FILES: u64 = 1_000_000;

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unpacked {
    pub files: u64,
    pub bytes: u64,
}

/// Chunks from elsewhere as something to read.
pub(crate) struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    chunk: Bytes,
}

impl Chunks {
    pub(crate) fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, chunk: Bytes::new() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let taken = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}

pub(crate) fn unpack(tar: impl Read, folder: &Path) -> Result<Unpacked, Failure> {
    let damaged = |source| Failure::Local { what: "the export broke off or is no tar".to_owned(), source };
    let mut unpacked = Unpacked::default();
    let mut archive = Archive::new(tar);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let kind = entry.header().entry_type();
        let inside = path.components().all(|part| matches!(part, Component::Normal(_))) && path.file_name().is_some();
        if !inside || kind != EntryType::Regular || unpacked.files == MOST_FILES {
            return Err(unwanted(&path, kind));
        }
        let target = folder.join(&path);
        let refused = |source| Failure::Local { what: format!("cannot write {}", target.display()), source };
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(refused)?;
        }
        // New: no name twice, and nothing that is there already is followed or written over.
        let mut file = OpenOptions::new().write(true).create_new(true).open(&target).map_err(refused)?;
        unpacked.bytes += io::copy(&mut entry, &mut file).map_err(refused)?;
        unpacked.files += 1;
    }
    Ok(unpacked)
}

fn unwanted(path: &Path, kind: EntryType) -> Failure {
    let path = path.display().to_string().escape_debug().to_string();
    Failure::Local {
        what: format!("the export holds {path:.200} ({kind:?}), which does not belong into one"),
        source: io::ErrorKind::InvalidData.into(),
    }
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    fn archive(entries: &[(&str, EntryType)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind) in entries {
            let mut header = Header::new_gnu();
            // As a liar would write it: the builder refuses such names.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(if *kind == EntryType::Regular { 3 } else { 0 });
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, if *kind == EntryType::Regular { &b"abc"[..] } else { b"" }).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn plain_files_below_the_folder_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let tar = archive(&[("manifest", EntryType::Regular), ("logs/0/tile/0/000", EntryType::Regular)]);
        let unpacked = unpack(tar.as_slice(), folder.path()).unwrap();
        assert_eq!((unpacked.files, unpacked.bytes), (2, 6));
        assert_eq!(fs::read(folder.path().join("logs/0/tile/0/000")).unwrap(), b"abc");
    }

    #[test]
    fn nothing_leaves_the_folder_and_nothing_is_written_over() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("export");
        let absolute = outside.path().join("absolute").display().to_string();
        let regular = EntryType::Regular;
        for entries in [
            vec![("../escaped", regular)],
            vec![("logs/../../escaped", regular)],
            vec![(absolute.as_str(), regular)],
            vec![("./", regular)],
            vec![("link", EntryType::Symlink), ("link/x", regular)],
            vec![("folder", EntryType::Directory)],
            vec![("hard", EntryType::Link)],
            vec![("twice", regular), ("twice", regular)],
            vec![("file", regular), ("file/below", regular)],
        ] {
            fs::create_dir(&folder).unwrap();
            assert!(unpack(archive(&entries).as_slice(), &folder).is_err(), "{entries:?}");
            let names: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["export"], "{entries:?}");
            fs::remove_dir_all(&folder).unwrap();
        }
    }

    #[test]
    fn a_tar_that_breaks_off_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let tar = archive(&[("manifest", EntryType::Regular)]);
        assert!(unpack(&tar[..513], folder.path()).is_err());
    }
}
