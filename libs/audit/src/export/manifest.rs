//! `manifest`: a signed note with the hash of every other file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sallyport_core::name::RegionId;

use super::about::Period;
use super::paths;
use crate::scope::Scope;
use crate::tlog::note::{KeyName, KeyNameError};

/// First line: nothing else that a region signs begins so.
pub(crate) const TITLE: &str = "sallyport.dev/audit-export/v1";

/// SHA-256 of a file.
pub(crate) type FileHash = [u8; 32];

/// SHA-256 of a file as it passes.
pub(crate) struct FileHasher(Context);

impl FileHasher {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> FileHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref()); // SHA-256 has exactly 32 bytes
        hash
    }
}

/// What the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) region: RegionId,
    pub(crate) scope: Scope,
    pub(crate) period: Period,
    pub(crate) files: BTreeMap<String, FileHash>,
}

impl Manifest {
    /// The text that is signed.
    pub(crate) fn text(&self) -> String {
        let Self { region, scope, period, files } = self;
        let mut text = format!("{TITLE}\n{region}\n{scope}\n{}\n{}\n", period.from, period.to);
        for (path, hash) in files {
            let _ = writeln!(text, "{}  {path}", HEXLOWER.encode(hash)); // writing to a String cannot fail
        }
        text
    }

    /// Reads it in the one spelling that it has.
    pub(crate) fn parse(text: &str) -> Result<Self, ManifestError> {
        let mut lines = text.strip_suffix('\n').ok_or(ManifestError::Line { line: 1 })?.split('\n');
        let title = lines.next().unwrap_or_default();
        if title != TITLE {
            return Err(ManifestError::Title);
        }
        let region = head(&mut lines, 2)?;
        let scope = head(&mut lines, 3)?;
        let period = Period { from: head::<Timestamp>(&mut lines, 4)?, to: head::<Timestamp>(&mut lines, 5)? };
        let mut files = BTreeMap::new();
        for (number, line) in (6..).zip(lines) {
            let (path, hash) = file(line).ok_or(ManifestError::Line { line: number })?;
            files.insert(path, hash);
        }
        let manifest = Self { region, scope, period, files };
        // Order, repeated paths and other spellings of times all show here.
        if manifest.text() == text { Ok(manifest) } else { Err(ManifestError::Spelling) }
    }
}

fn head<'l, T: std::str::FromStr>(lines: &mut impl Iterator<Item = &'l str>, line: usize) -> Result<T, ManifestError> {
    lines.next().and_then(|text| text.parse().ok()).ok_or(ManifestError::Line { line })
}

fn file(line: &str) -> Option<(String, FileHash)> {
    let (hash, path) = line.split_once("  ")?;
    let hash = HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?;
    (paths::is_plain(path) && path != paths::MANIFEST).then(|| (path.to_owned(), hash))
}

/// The name of a region's key.
///
/// # Errors
/// None for a region's name as it is parsed; the type cannot say so.
pub(crate) fn region_key_name(region: &RegionId) -> Result<KeyName, KeyNameError> {
    KeyName::new(format!("sallyport.dev/{region}"))
}

/// Why a signed text is no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    /// A line does not say what it should.
    #[error("line {line} cannot be read")]
    Line { line: usize },
    /// Files not in order, named twice, or a time spelled otherwise.
    #[error("its lines are not in the one order and spelling that they have")]
    Spelling,
    /// Something else that was signed, or a later version.
    #[error("it does not begin with {TITLE}; a newer version may be needed to read it")]
    Title,
}
