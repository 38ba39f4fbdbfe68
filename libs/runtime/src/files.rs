//! Files that are whole or not there, and errors that name them. Blocking: call it through `spawn_blocking` from async
//! code that has something else to do.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sallyport_pki::bundle::{BundleError, TrustBundle};

/// No file we read into memory is larger: keys and bundles are kilobytes.
const MAX_TEXT_BYTES: u64 = 4 * 1024 * 1024;

/// Replaces a file so that a reader, or a crash at any moment, sees the old or the new bytes and nothing else: a new
/// file beside it, synced, renamed over it, and the directory synced. `mode` is exact, whatever the umask.
///
/// # Errors
/// [`FileError::Io`] names the path and the step; the old file is then still whole.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let at = |step: &'static str| move |source: io::Error| FileError::io(path, step, source);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(at("name")(io::ErrorKind::InvalidInput.into()));
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let temporary = directory.join(temporary_name(name));
    let written = fill(&temporary, bytes, mode)
        .map_err(at("write"))
        .and_then(|()| fs::rename(&temporary, path).map_err(at("replace")));
    if written.is_err() {
        // The first error is the one to tell; a file that is left behind is harmless and hidden.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(at("sync the directory of"))
}

fn fill(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Hidden, and unique in this process and among processes; a leftover of a crashed one with the same id would make
/// `create_new` fail, so the counter begins at the time of day.
fn temporary_name(name: &std::ffi::OsStr) -> std::ffi::OsString {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{nanos}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    temporary
}

/// Reads a text file of at most 4 MiB.
///
/// # Errors
/// [`FileError`] names the path.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|source| FileError::io(path, "read", source))?;
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(FileError::io(path, "read", io::ErrorKind::FileTooLarge.into()));
    }
    Ok(text)
}

/// Reads a trust bundle in PEM.
///
/// # Errors
/// [`FileError`] names the path.
pub fn read_trust_bundle(path: &Path) -> Result<TrustBundle, FileError> {
    TrustBundle::from_pem(&read_text(path)?).map_err(|source| FileError::Bundle { path: path.to_owned(), source })
}

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not what it should be.
    #[error("{} holds no usable trust bundle", path.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: BundleError,
    },
    /// The operating system refused.
    #[error("cannot {step} {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// At what.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl FileError {
    fn io(path: &Path, step: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), step, source }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        for (text, mode) in [("first", 0o600), ("second, longer", 0o666)] {
            write_atomic(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(read_text(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
        assert_eq!(entries(folder.path()), ["key.pem"]);
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("occupied");
        fs::create_dir(&path).unwrap();
        let error = write_atomic(&path, b"x", 0o600).unwrap_err();
        assert!(error.to_string().starts_with("cannot replace ") && error.to_string().ends_with("occupied"), "{error}");
        assert!(path.is_dir());
        assert_eq!(entries(folder.path()), ["occupied"]);
    }

    #[test]
    fn errors_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        assert_eq!(read_text(&missing).unwrap_err().to_string(), format!("cannot read {}", missing.display()));
        let junk = folder.path().join("junk.pem");
        fs::write(&junk, "junk").unwrap();
        let error = read_trust_bundle(&junk).unwrap_err();
        assert!(error.to_string().contains("junk.pem"));
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "trust bundle: line 1 is neither part of a certificate nor a comment");
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(MAX_TEXT_BYTES + 1).unwrap();
        assert!(read_text(&large).is_err());
        assert!(write_atomic(Path::new("/"), b"", 0o600).is_err());
    }
}
