//! Names of the files of the audit: what is where on the gateway's volume, and nobody else may read it.
//!
//! ```text
//! audit/key                              signs the checkpoints of this incarnation
//! audit/journal/NNNNNNNNNNNNNNNNNNNN.log lines, named for the first sequence number
//! audit/journal/spare                    allocated ahead, all zeros
//! audit/aside-INCARNATION/               a journal that could not be continued, whole
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder `audit` of a volume.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    audit: PathBuf,
}

impl Folder {
    /// Makes it where it is not there yet, durably.
    pub(super) fn open(volume: &Path) -> io::Result<Self> {
        let folder = Self { audit: volume.join("audit") };
        for path in [folder.audit.clone(), folder.journal()] {
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => sync(path.parent().unwrap_or(volume))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.audit
    }

    pub(super) fn key(&self) -> PathBuf {
        self.audit.join("key")
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.audit.join("journal")
    }

    pub(super) fn spare(&self) -> PathBuf {
        self.journal().join("spare")
    }

    /// The file whose first record has this sequence number.
    pub(super) fn file(&self, first: u64) -> PathBuf {
        self.journal().join(format!("{first:020}.log"))
    }

    /// First sequence numbers of all files, rising. Other names in the folder are not the journal's.
    pub(super) fn files(&self) -> io::Result<Vec<u64>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.journal())? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|number| number.len() == 20);
            files.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Makes renames and removals in the journal's folder durable.
    pub(super) fn sync_journal(&self) -> io::Result<()> {
        sync(&self.journal())
    }

    /// Moves the journal aside, whole, and begins an empty one. What it is called now.
    pub(super) fn set_aside(&self, incarnation: &str) -> io::Result<String> {
        // A spare holds nothing.
        remove_if_there(&self.spare())?;
        let name = (0u32..)
            .map(|n| if n == 0 { format!("aside-{incarnation}") } else { format!("aside-{incarnation}-{n}") })
            .find(|name| !self.audit.join(name).exists())
            .ok_or_else(|| io::Error::other("no name is left for a journal that is set aside"))?;
        std::fs::rename(self.journal(), self.audit.join(&name))?;
        DirBuilder::new().mode(0o700).create(self.journal())?;
        sync(&self.audit)?;
        Ok(name)
    }

    /// Whether a journal was set aside before.
    pub(super) fn has_aside(&self) -> io::Result<bool> {
        for entry in std::fs::read_dir(&self.audit)? {
            if entry?.file_name().to_string_lossy().starts_with("aside-") {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Opens a file for the journal, making it where it is not there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
