//! Where what lies in an export.

use crate::tlog::tile::Tile;

pub(crate) const MANIFEST: &str = "manifest";
pub(crate) const ABOUT: &str = "export.json";
pub(crate) const JSONL: &str = "records.jsonl";
pub(crate) const CSV: &str = "records.csv";
pub(crate) const REPORT: &str = "report.html";

pub(crate) fn checkpoint(log: usize) -> String {
    format!("logs/{log}/checkpoint")
}

pub(crate) fn keys(log: usize) -> String {
    format!("logs/{log}/keys.json")
}

pub(crate) fn tile(log: usize, tile: Tile) -> String {
    format!("logs/{log}/{tile}")
}

/// To which log a file belongs.
pub(crate) fn log_of(path: &str) -> Option<usize> {
    path.strip_prefix("logs/")?.split_once('/')?.0.parse().ok()
}

/// Whether a path can be one of an export: relative, of plain letters, and nowhere `..`.
pub(crate) fn is_plain(path: &str) -> bool {
    let part = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
    };
    path.len() <= MOST_PATH && path.split('/').all(part)
}

/// The longest path, `logs/N/tile/entries/x...` with seven groups of digits, has less.
const MOST_PATH: usize = 120;
