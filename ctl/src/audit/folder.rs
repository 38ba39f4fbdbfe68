//! An export in a folder on this machine.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sallyport_audit::export::Files;

/// Deeper than any export; a folder that somebody prepared must not lead us on.
const DEEPEST: usize = 16;

/// The files below a folder. Links are not followed: what is behind them is not of the export.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn gather(&self, folder: &Path, depth: usize, paths: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() && depth < DEEPEST {
                self.gather(&path, depth + 1, paths)?;
            } else {
                let below = path.strip_prefix(&self.root).unwrap_or(&path);
                // A name that is no text cannot be in a manifest; it is told as it can be written.
                paths.push(below.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
}

impl Files for Folder {
    fn paths(&self) -> io::Result<Vec<String>> {
        let mut paths = Vec::new();
        self.gather(&self.root, 0, &mut paths)?;
        Ok(paths)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        let path = self.root.join(path);
        let found = fs::symlink_metadata(&path)?;
        if !found.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        Ok(Box::new(File::open(path)?))
    }
}
