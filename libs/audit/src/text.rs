//! Texts and lists of bounded length, so that a record always fits its place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Words from a peer or a library: at most 200 characters, no control characters. Longer or other text is clipped, not
/// refused, because an event that happened must be recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Text(String);

impl Text {
    /// Characters that are kept.
    pub const MAX_CHARS: usize = 200;

    /// Clips a text.
    pub fn clipped(text: &str) -> Self {
        Self::clipped_to(text, Self::MAX_CHARS)
    }

    /// Clips a text to fewer characters than [`Text::MAX_CHARS`].
    pub(crate) fn clipped_to(text: &str, chars: usize) -> Self {
        let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Self(text.chars().take(chars.min(Self::MAX_CHARS)).map(visible).collect())
    }

    /// What was kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::clipped(&text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::clipped(text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first [`LISTED`] of some names, and how many more there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Wire<T>", into = "Wire<T>")]
#[serde(bound(serialize = "T: Clone + Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Listed<T> {
    names: Vec<T>,
    more: u64,
}

/// Names that a list holds: nine such lists of names of 127 characters are 46 KiB, which leaves room in a record.
pub const LISTED: usize = 40;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<T> {
    names: Vec<T>,
    more: u64,
}

impl<T> Listed<T> {
    /// The names that are kept, in the order in which they came.
    pub fn names(&self) -> &[T] {
        &self.names
    }

    /// How many more there were.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.more == 0
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { names: Vec::new(), more: 0 }
    }
}

impl<T> FromIterator<T> for Listed<T> {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let mut listed = Self::default();
        for name in names {
            if listed.names.len() < LISTED {
                listed.names.push(name);
            } else {
                listed.more += 1;
            }
        }
        listed
    }
}

impl<T> TryFrom<Wire<T>> for Listed<T> {
    type Error = String;

    fn try_from(Wire { names, more }: Wire<T>) -> Result<Self, String> {
        if names.len() > LISTED {
            return Err(format!("a list of {} names, where {LISTED} are the most", names.len()));
        }
        Ok(Self { names, more })
    }
}

impl<T> From<Listed<T>> for Wire<T> {
    fn from(Listed { names, more }: Listed<T>) -> Self {
        Self { names, more }
    }
}
