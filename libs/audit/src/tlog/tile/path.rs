//! Paths of tiles. One tile has one path: whatever is spelled otherwise is refused.

use std::{fmt, str::FromStr};

use super::{Level, Tile, WIDTH};
use crate::tlog::decimal;

/// The highest level that a path may name.
const HIGHEST_IN_A_PATH: u64 = 63;

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("tile/entries/")?,
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        // 20 digits are at most seven groups; the first that is written is the highest that is not zero.
        for group in (1..7).rev() {
            let above = self.index / 1000u64.pow(group);
            if above > 0 {
                write!(f, "x{:03}/", above % 1000)?;
            }
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        parse(path).ok_or_else(|| PathError(path.to_owned()))
    }
}

fn parse(path: &str) -> Option<Tile> {
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let level = match level {
        "entries" => Level::Entries,
        level => Level::Hashes(u8::try_from(decimal::parse(level).filter(|l| *l <= HIGHEST_IN_A_PATH)?).ok()?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => {
            let width = decimal::parse(width).filter(|width| (1..u64::from(WIDTH)).contains(width))?;
            (index, u16::try_from(width).ok()?)
        }
        None => (rest, WIDTH),
    };
    Some(Tile { level, index: parse_index(index)?, width })
}

fn parse_index(text: &str) -> Option<u64> {
    let mut groups = text.split('/').peekable();
    let mut index = 0u64;
    let mut first = true;
    while let Some(group) = groups.next() {
        let more = groups.peek().is_some();
        let digits = if more { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) || (first && more && digits == "000")
        {
            return None;
        }
        first = false;
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

/// A text is no tile's path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the path of a tile")]
pub struct PathError(String);
