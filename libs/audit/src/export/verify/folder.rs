//! The export's files, each read once and compared with the manifest's hash on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::fault::{Check, Fault, Faults, What};
use super::log_of;
use crate::export::manifest::{FileHash, FileHasher};
use crate::export::paths;
use crate::scope::Origin;

/// The files of a folder.
pub trait Files {
    /// What is in it: every path below the folder, with `/` between its parts. Links and whatever else is no file too.
    ///
    /// # Errors
    /// When the folder cannot be looked through.
    fn paths(&self) -> io::Result<Vec<String>>;

    /// A file. What is no plain file is an error.
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

impl Files for BTreeMap<String, Vec<u8>> {
    fn paths(&self) -> io::Result<Vec<String>> {
        Ok(self.keys().cloned().collect())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        match self.get(path) {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Read at once from a file that is not kept.
const CHUNK: usize = 64 * 1024;

/// The folder, and what was found wrong so far.
pub(super) struct Folder<'f, F> {
    files: &'f F,
    hashes: BTreeMap<String, FileHash>,
    read: BTreeSet<String>,
    /// Logs that were not read to their end: nobody asked for some of their files.
    left: BTreeSet<usize>,
    pub(super) size: Size,
    faults: Faults,
}

/// How large an export is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl<'f, F: Files> Folder<'f, F> {
    pub(super) fn new(files: &'f F) -> Self {
        let size = Size::default();
        Self {
            files,
            hashes: BTreeMap::new(),
            read: BTreeSet::new(),
            left: BTreeSet::new(),
            size,
            faults: Faults::default(),
        }
    }

    /// Takes the manifest's word for what is in the folder, and compares it with what is.
    pub(super) fn expect(&mut self, hashes: BTreeMap<String, FileHash>) {
        self.hashes = hashes;
        let listed = match self.files.paths() {
            Ok(listed) => listed.into_iter().collect::<BTreeSet<_>>(),
            Err(error) => return self.file(Check::Manifest, ".", What::Damaged { why: error.to_string() }),
        };
        let added = listed.iter().filter(|path| *path != paths::MANIFEST && !self.hashes.contains_key(*path));
        let added: Vec<_> = added.cloned().collect();
        added.iter().for_each(|path| self.file(Check::Manifest, &path.escape_debug().to_string(), What::Added));
    }

    /// A log is not read to its end.
    pub(super) fn leave(&mut self, log: usize) {
        self.left.insert(log);
    }

    /// Whether any log is not read to its end.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whether this check found something.
    pub(super) fn has(&self, check: Check) -> bool {
        self.faults.faults.iter().any(|fault| fault.check == check)
    }

    /// Whether the manifest names it.
    pub(super) fn names(&self, path: &str) -> bool {
        self.hashes.contains_key(path)
    }

    /// A file that is kept while it is looked at; nothing when there is none or it is larger than it can be. A file that
    /// is not the one of the manifest is given all the same, so that it can be told what in it was changed.
    pub(super) fn read(&mut self, path: &str, most: usize) -> Option<Vec<u8>> {
        let mut file = self.open(path)?;
        let mut content = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        if let Err(error) = file.by_ref().take(limit).read_to_end(&mut content) {
            self.file(Check::Manifest, path, What::Damaged { why: error.to_string() });
            return None;
        }
        let mut hasher = FileHasher::new();
        hasher.update(&content);
        self.size.bytes += u64::try_from(content.len()).unwrap_or(0);
        if content.len() > most {
            self.file(Check::Manifest, path, What::Large { most });
            return None;
        }
        self.compare(path, hasher);
        Some(content)
    }

    /// A file that is looked at as it passes. Whoever reads it hands back what it hashed by [`Folder::compare`].
    pub(super) fn open(&mut self, path: &str) -> Option<Box<dyn Read + 'f>> {
        self.read.insert(path.to_owned());
        self.size.files += 1;
        match self.files.open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.file(Check::Manifest, path, What::Missing);
                None
            }
            Err(error) => {
                self.file(Check::Manifest, path, What::Damaged { why: error.to_string() });
                None
            }
        }
    }

    pub(super) fn compare(&mut self, path: &str, hasher: FileHasher) {
        // What the manifest does not name was told when the folder was looked through.
        if self.hashes.get(path).is_some_and(|hash| *hash != hasher.finish()) {
            self.file(Check::Manifest, path, What::Changed);
        }
    }

    /// Whatever the manifest names and nobody asked for.
    pub(super) fn hash_the_rest(&mut self) {
        let rest: Vec<_> = self.hashes.keys().filter(|path| !self.read.contains(*path)).cloned().collect();
        for path in rest {
            if log_of(&path).is_none_or(|log| !self.left.contains(&log)) {
                self.file(Check::Manifest, &path, What::NotOfAnExport);
            }
            let Some(mut file) = self.open(&path) else { continue };
            let (mut hasher, mut buffer) = (FileHasher::new(), vec![0; CHUNK]);
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => break self.compare(&path, hasher),
                    Ok(read) => hasher.update(&buffer[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break self.file(Check::Manifest, &path, What::Damaged { why: error.to_string() }),
                }
            }
        }
    }

    /// A fault of a file.
    pub(super) fn file(&mut self, check: Check, path: &str, what: What) {
        self.faults.push(Fault { check, file: Some(path.to_owned()), log: None, record: None, what });
    }

    /// A fault of a record of a log.
    pub(super) fn record(&mut self, check: Check, path: &str, record: u64, what: What) {
        self.faults.push(Fault { check, file: Some(path.to_owned()), log: None, record: Some(record), what });
    }

    /// A fault of something that is not in the folder.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// The faults, with the names of the logs in whose folders they are.
    pub(super) fn into_faults(self, origins: &[Origin]) -> Faults {
        let mut faults = self.faults;
        for fault in &mut faults.faults {
            let number = fault.file.as_deref().and_then(log_of);
            if let (None, Some(origin)) = (&fault.log, number.and_then(|number| origins.get(number))) {
                fault.log = Some(origin.to_string());
            }
        }
        faults.faults.sort_by_key(|fault| fault.check); // stable: in the order in which they were found
        faults
    }

    pub(super) fn end(self, origins: &[Origin]) -> (Size, Faults) {
        (self.size, self.into_faults(origins))
    }
}
