//! The file itself: JSON lines, appended and synced, recovered to its last whole record at start.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sallyport_audit::{Record, Tail};

use super::AuditError;

pub(super) struct AuditFile {
    file: File,
    next: u64,
}

impl AuditFile {
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        Self::recover(path)
            .map_err(|error| AuditError::Open { path: path.display().to_string(), why: error.to_string() })
    }

    fn recover(path: &Path) -> std::io::Result<Self> {
        let mut file = open_or_create(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let recovered = sallyport_audit::recover(&bytes);
        match recovered.tail {
            Tail::Clean => {}
            Tail::Torn => {
                let cut = bytes.len() - recovered.valid_len;
                tracing::warn!(path = %path.display(), cut, "audit file had a torn end, which was never acknowledged");
                file.set_len(recovered.valid_len as u64)?;
            }
            Tail::Damaged { line } => {
                // Acknowledged records behind the damage must not be cut away: set the file aside, whole.
                let aside = path.with_extension(format!("damaged-before-{}.jsonl", recovered.next_sequence));
                tracing::error!(path = %path.display(), line, aside = %aside.display(), "audit file is damaged");
                std::fs::rename(path, &aside)?;
                file = open_or_create(path)?;
            }
        }
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        if let Some(folder) = path.parent() {
            // The file's name must be durable too, or all its records go with it.
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, next: recovered.next_sequence })
    }

    /// A file that is not recovered, to test errors of writing.
    #[cfg(test)]
    pub(super) fn of(file: File, next: u64) -> Self {
        Self { file, next }
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.next
    }

    pub(super) fn append<'r>(&mut self, records: impl Iterator<Item = &'r Record>) -> std::io::Result<()> {
        let mut lines = Vec::new();
        let mut next = self.next;
        for record in records {
            lines.extend_from_slice(&sallyport_audit::encode(record));
            next = record.sequence + 1;
        }
        self.file.write_all(&lines)?;
        self.file.sync_data()?;
        self.next = next;
        Ok(())
    }
}

fn open_or_create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
