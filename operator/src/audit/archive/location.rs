//! Places that flags name: a folder of a volume, or a bucket.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place for objects. Written `file:///PATH` or `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A bucket of an object store. Where it is and who we are there is in the environment (`AWS_*`).
    Bucket {
        /// Its name.
        bucket: String,
        /// Before all paths; may be empty.
        prefix: String,
    },
    /// A folder, which must exist: a volume that is not mounted must not look like an empty archive.
    Folder(PathBuf),
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let refused = || LocationError::Unreadable { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("file://") {
            let fine = path.starts_with('/') && !path.contains(['\0', '%', '?', '#']);
            return if fine { Ok(Self::Folder(path.into())) } else { Err(refused()) };
        }
        let rest = text.strip_prefix("s3://").ok_or_else(refused)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let in_bucket = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let in_prefix = |b: u8| b.is_ascii_alphanumeric() || b"-._/".contains(&b);
        let fine = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(in_bucket)
            && prefix.bytes().all(in_prefix)
            && (prefix.is_empty() || prefix.split('/').all(|part| !["", ".", ".."].contains(&part)));
        if fine { Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }) } else { Err(refused()) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(folder) => write!(f, "file://{}", folder.display()),
        }
    }
}

/// A flag that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// A bucket for records, and nothing else for keys.
    #[error(
        "--archive is a bucket, whose lock would keep persons' keys after an erasure: name another place for them with --archive-keys"
    )]
    NoKeys,
    /// Another text.
    #[error("{text:?} names no archive: write file:///PATH or s3://BUCKET/PREFIX")]
    Unreadable {
        /// The text.
        text: String,
    },
}
