//! The witness' folder: its key, its name, and of each log what was cosigned last.
//!
//! ```text
//!  DIR/lock           held by the one process that may use it
//!  DIR/key            PKCS#8, mode 0600
//!  DIR/name           the name of the key
//!  DIR/logs/HEX.json  {"origin","size","root","at"}; HEX is SHA-256 of the origin
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sallyport_audit::tlog::cosignature::Cosigner;
use sallyport_audit::tlog::note::{KeyName, SigningKey};
use sallyport_audit::tlog::tree::Head;
use sallyport_runtime::files::{self, FileError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// A key in PKCS#8 has 48 or 83 bytes.
const MOST_KEY: u64 = 4096;

/// The folder, locked for this process.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    _lock: File,
}

/// What was cosigned last of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    pub origin: String,
    #[serde(flatten)]
    pub head: SeenHead,
    /// When it was cosigned.
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenHead {
    pub size: u64,
    pub root: sallyport_audit::tlog::hash::Hash,
}

impl From<Head> for SeenHead {
    fn from(Head { size, root }: Head) -> Self {
        Self { size, root }
    }
}

impl From<SeenHead> for Head {
    fn from(SeenHead { size, root }: SeenHead) -> Self {
        Self { size, root }
    }
}

impl Store {
    /// Makes the folder if it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let logs = folder.join("logs");
        DirBuilder::new().recursive(true).mode(0o700).create(&logs).map_err(io(&logs, "make"))?;
        let path = folder.join("lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(io(&path, "open"))?;
        lock.try_lock().map_err(|_| {
            let words = format!("another witness uses {}; two with one memory could cosign a fork", folder.display());
            Failure::Local { what: words, source: io::ErrorKind::AlreadyExists.into() }
        })?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// The key and its name, made at the first start. A name that is given later must be the one that it has.
    pub(crate) fn cosigner(&self, name: Option<KeyName>) -> Result<Cosigner, Failure> {
        let (key_file, name_file) = (self.folder.join("key"), self.folder.join("name"));
        let key = match File::open(&key_file) {
            Ok(file) => read_key(file, &key_file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Logs that were cosigned by a key that is gone would be begun again with another.
                if self.all()?.into_iter().next().is_some() {
                    return Err(io(&key_file, "read")(error));
                }
                let (key, der) = make_key(&key_file)?;
                files::write_atomic(&key_file, &der, 0o600)?;
                key
            }
            Err(error) => return Err(io(&key_file, "read")(error)),
        };
        let kept = match files::read_text(&name_file) {
            Ok(text) => {
                let bad = |_| io(&name_file, "use")(io::ErrorKind::InvalidData.into());
                Some(KeyName::new(text.trim_end().to_owned()).map_err(bad)?)
            }
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let name = match (kept, name) {
            (Some(kept), Some(given)) if kept != given => {
                return Err(Failure::Usage(format!(
                    "--name: this witness is called {kept}; leave --name out, or choose another --state for another witness"
                )));
            }
            (Some(kept), _) => kept,
            (None, given) => {
                let name = given.map_or_else(|| usual_name(&key), Ok)?;
                files::write_atomic(&name_file, format!("{name}\n").as_bytes(), 0o644)?;
                name
            }
        };
        Ok(Cosigner::new(name, key))
    }

    /// What was cosigned last of this log. What cannot be read is an error, never "nothing".
    pub(crate) fn seen(&self, origin: &str) -> Result<Option<Seen>, Failure> {
        let path = self.path(origin);
        match files::read_text(&path) {
            Ok(text) => read_seen(&path, &text).map(Some),
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Durable when it returns.
    pub(crate) fn keep(&self, seen: &Seen) -> Result<(), Failure> {
        let path = self.path(&seen.origin);
        let json = serde_json::to_vec(seen).map_err(|error| io(&path, "write")(io::Error::other(error)))?;
        Ok(files::write_atomic(&path, &json, 0o600)?)
    }

    /// All logs, by name.
    pub(crate) fn all(&self) -> Result<Vec<Seen>, Failure> {
        let logs = self.folder.join("logs");
        let mut all = Vec::new();
        for entry in fs::read_dir(&logs).map_err(io(&logs, "read"))? {
            let path = entry.map_err(io(&logs, "read"))?.path();
            // Whatever a crash left behind is hidden and has another ending.
            if path.extension().is_some_and(|ending| ending == "json") {
                all.push(read_seen(&path, &files::read_text(&path)?)?);
            }
        }
        all.sort_by(|a, b| a.origin.cmp(&b.origin));
        Ok(all)
    }

    fn path(&self, origin: &str) -> PathBuf {
        let name = HEXLOWER.encode(digest(&SHA256, origin.as_bytes()).as_ref());
        self.folder.join("logs").join(format!("{name}.json"))
    }
}

fn read_seen(path: &Path, text: &str) -> Result<Seen, Failure> {
    serde_json::from_str(text).map_err(|error| io(path, "understand")(io::Error::other(error)))
}

fn read_key(file: File, path: &Path) -> Result<SigningKey, Failure> {
    let mut der = Zeroizing::new(Vec::new());
    file.take(MOST_KEY).read_to_end(&mut der).map_err(io(path, "read"))?;
    SigningKey::from_pkcs8(&der).map_err(|error| io(path, "use")(io::Error::other(error)))
}

fn make_key(path: &Path) -> Result<(SigningKey, Zeroizing<Vec<u8>>), Failure> {
    let failed = |error| io(path, "make")(io::Error::other(error));
    let key = SigningKey::generate().map_err(failed)?;
    let der = key.to_pkcs8().map_err(failed)?;
    Ok((key, der))
}

/// Different for every witness, so that two that nobody named are not taken for one.
fn usual_name(key: &SigningKey) -> Result<KeyName, Failure> {
    let hash = HEXLOWER.encode(&digest(&SHA256, &key.public_key()).as_ref()[..4]);
    KeyName::new(format!("sallyport-witness-{hash}")).map_err(|error| Failure::Usage(error.to_string()))
}

fn io(path: &Path, step: &'static str) -> impl Fn(io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |source| FileError::Io { path: path.clone(), step, source }.into()
}
