//! Files into a sink, with their hashes for the manifest.

use std::collections::BTreeMap;

use super::{BuildError, Sink, length};
use crate::export::manifest::{FileHash, FileHasher};

pub(super) struct Writer<'s, S> {
    sink: &'s mut S,
    hashes: BTreeMap<String, FileHash>,
    open: Option<Open>,
    bytes: u64,
}

struct Open {
    path: String,
    hash: FileHasher,
    left: u64,
}

impl<'s, S: Sink> Writer<'s, S> {
    pub(super) fn new(sink: &'s mut S) -> Self {
        Self { sink, hashes: BTreeMap::new(), open: None, bytes: 0 }
    }

    /// A file whose bytes follow. The one before must be whole.
    pub(super) fn begin(&mut self, path: &str, size: u64) -> Result<(), BuildError> {
        self.close()?;
        self.sink.file(path, size).map_err(BuildError::Sink)?;
        self.open = Some(Open { path: path.to_owned(), hash: FileHasher::new(), left: size });
        self.bytes += size;
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        let open = self.open.as_mut().ok_or(BuildError::Unfinished)?;
        open.left = open.left.checked_sub(length(bytes)).ok_or(BuildError::Unfinished)?;
        open.hash.update(bytes);
        self.sink.bytes(bytes).map_err(BuildError::Sink)
    }

    pub(super) fn whole(&mut self, path: &str, bytes: &[u8]) -> Result<(), BuildError> {
        self.begin(path, length(bytes))?;
        self.bytes(bytes)
    }

    /// Of all files so far.
    pub(super) fn hashes(&mut self) -> Result<BTreeMap<String, FileHash>, BuildError> {
        self.close()?;
        Ok(self.hashes.clone())
    }

    /// How many files and bytes there were.
    pub(super) fn end(mut self) -> Result<(usize, u64), BuildError> {
        self.close()?;
        Ok((self.hashes.len(), self.bytes))
    }

    fn close(&mut self) -> Result<(), BuildError> {
        let Some(Open { path, hash, left }) = self.open.take() else { return Ok(()) };
        if left > 0 {
            return Err(BuildError::Unfinished);
        }
        self.hashes.insert(path, hash.finish());
        Ok(())
    }
}
