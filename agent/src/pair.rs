//! Key and certificate on disk, replaced so that a crash at any moment leaves a usable pair. They are two files, and no
//! two files are renamed at once:
//!
//! ```text
//!  1 write KEY.next   2 write CERTIFICATE.next   3 KEY.next -> KEY   4 CERTIFICATE.next -> CERTIFICATE
//!  │ killed before 2: the old pair counts │ after 2: recover() does 3 and 4 │ after 3: recover() does 4
//! ```
//!
//! Every step is on disk before the next begins. Where the configuration names one file for both there is one rename.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sallyport_pki::inspect;
use sallyport_pki::key::PrivateKey;
use sallyport_runtime::files::{FileError, write_atomic};
use sallyport_runtime::tls::KeyMaterial;

/// Only its owner reads a key.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// The two files.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'p> {
    /// The chain, PEM.
    pub certificate: &'p Path,
    /// PKCS#8, PEM. The same path as `certificate` means one file with both.
    pub key: &'p Path,
}

/// What [`Pair::recover`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// A replacement that was begun too early to be finished was thrown away; the pair is the old one.
    Discarded,
    /// A replacement was finished; the pair is the new one.
    Finished,
    /// There was nothing to do.
    Nothing,
}

impl Pair<'_> {
    /// Replaces both. Blocks on the disk.
    ///
    /// # Errors
    /// [`FileError`] names the file. Whatever had been done, [`Pair::recover`] makes whole.
    pub fn replace(&self, own: &KeyMaterial) -> Result<(), FileError> {
        if self.certificate == self.key {
            let both = zeroize::Zeroizing::new(format!("{}{}", *own.key_pem, own.chain_pem));
            return write_atomic(self.key, both.as_bytes(), KEY_MODE);
        }
        for step in Step::ALL {
            self.take(step, own)?;
        }
        Ok(())
    }

    fn take(&self, step: Step, own: &KeyMaterial) -> Result<(), FileError> {
        match step {
            Step::WriteKey => write_atomic(&next(self.key), own.key_pem.as_bytes(), KEY_MODE),
            Step::WriteCertificate => write_atomic(&next(self.certificate), own.chain_pem.as_bytes(), CERTIFICATE_MODE),
            Step::RenameKey => put_in_place(self.key),
            Step::RenameCertificate => put_in_place(self.certificate),
        }
    }

    /// Whether [`Pair::replace`] could work, by making and removing a file in each folder.
    ///
    /// # Errors
    /// [`NotWritable`] names the folder and what to do.
    pub fn is_writable(&self) -> Result<(), NotWritable> {
        folder_is_writable(self.key).and_then(|()| folder_is_writable(self.certificate))
    }

    /// Finishes or throws away what a crash interrupted. For the start, and before the next [`Pair::replace`].
    ///
    /// # Errors
    /// [`FileError`] names the file that cannot be moved or removed.
    pub fn recover(&self) -> Result<Recovered, FileError> {
        if self.certificate == self.key {
            return Ok(Recovered::Nothing);
        }
        let (next_key, next_certificate) = (next(self.key), next(self.certificate));
        match (exists(&next_key)?, exists(&next_certificate)?) {
            (false, false) => Ok(Recovered::Nothing),
            (true, true) if fits(&next_certificate, &next_key) && self.is_older_than(&next_certificate) => {
                put_in_place(self.key)?;
                put_in_place(self.certificate)?;
                Ok(Recovered::Finished)
            }
            (false, true) if fits(&next_certificate, self.key) => {
                put_in_place(self.certificate)?;
                Ok(Recovered::Finished)
            }
            (key, certificate) => {
                // The certificate first: alone it could be taken for the end of a replacement.
                for (path, there) in [(next_certificate, certificate), (next_key, key)] {
                    if there {
                        remove(&path)?;
                    }
                }
                Ok(Recovered::Discarded)
            }
        }
    }

    /// Somebody who put a younger pair there by hand after the crash knows better.
    fn is_older_than(&self, certificate: &Path) -> bool {
        let begin = |path: &Path| inspect::validity(&leaf(path)?).ok().map(|validity| validity.not_before);
        let usable = fits(self.certificate, self.key);
        !usable || begin(self.certificate) <= begin(certificate)
    }
}

/// What [`Pair::replace`] does, in order. A process can die between any two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    WriteKey,
    WriteCertificate,
    RenameKey,
    RenameCertificate,
}

impl Step {
    const ALL: [Self; 4] = [Self::WriteKey, Self::WriteCertificate, Self::RenameKey, Self::RenameCertificate];
}

/// `FILE.next`, beside it: a rename does not cross file systems.
fn next(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Whether a file can be replaced: by a new one beside it, so its folder is what counts.
///
/// # Errors
/// [`NotWritable`] names the folder and what to do.
pub fn folder_is_writable(file: &Path) -> Result<(), NotWritable> {
    let mut probe = next(file).into_os_string();
    probe.push(format!("-probe-{}", std::process::id()));
    let probe = PathBuf::from(probe);
    let probed = File::create_new(&probe).and_then(|_| fs::remove_file(&probe));
    probed.map_err(|source| NotWritable { file: file.to_owned(), source })
}

/// A file cannot be replaced.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file} cannot be replaced: its folder must exist and be writable for the agent's user. Keep certificate, key and trust in the agent's own folder (/var/lib/sallyport-agent), or set `renew: false` where somebody else replaces them", file = file.display()
)]
pub struct NotWritable {
    /// The file.
    file: PathBuf,
    /// Why.
    source: io::Error,
}

fn put_in_place(path: &Path) -> Result<(), FileError> {
    fs::rename(next(path), path).and_then(|()| sync_directory(path)).map_err(at(path, "replace"))
}

fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).and_then(|()| sync_directory(path)).map_err(at(path, "remove"))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn exists(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(at(path, "look at"))
}

fn at(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { path: path.to_owned(), step, source }
}

fn leaf(certificate: &Path) -> Option<Vec<u8>> {
    let chain_pem = fs::read_to_string(certificate).ok()?;
    let own = KeyMaterial { chain_pem, key_pem: String::new().into() };
    own.leaf().ok().map(|leaf| leaf.to_vec())
}

/// Whether the key in one file is that of the certificate in the other.
fn fits(certificate: &Path, key: &Path) -> bool {
    let fits = || {
        let key = zeroize::Zeroizing::new(fs::read_to_string(key).ok()?);
        let key = PrivateKey::from_pem(&key).ok()?;
        Some(inspect::public_key(&leaf(certificate)?).ok()? == key.public_key())
    };
    fits().unwrap_or(false)
}

#[cfg(test)]
mod tests;
