//! Entry bundles: up to 256 entries, each behind its length in two bytes, big-endian.

use super::WIDTH;

/// The longest entry that a bundle can hold: what two bytes can say.
pub const MOST_ENTRY_BYTES: usize = u16::MAX as usize;

/// Adds an entry to a bundle's content. How many it has is the caller's to count.
///
/// # Errors
/// [`BundleError::TooLong`] beyond [`MOST_ENTRY_BYTES`]; the content is then unchanged.
pub fn append_entry(content: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let length = u16::try_from(entry.len()).map_err(|_| BundleError::TooLong { bytes: entry.len() })?;
    content.extend_from_slice(&length.to_be_bytes());
    content.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle of this width, in order.
///
/// # Errors
/// [`BundleError::Width`] when there are more or fewer, [`BundleError::Torn`] when the last one is cut short.
pub fn entries(content: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::with_capacity(usize::from(width.min(WIDTH)));
    let mut rest = content;
    while !rest.is_empty() && entries.len() < usize::from(width) {
        let entry;
        (entry, rest) = split(rest).ok_or(BundleError::Torn { entry: entries.len() })?;
        entries.push(entry);
    }
    if entries.len() == usize::from(width) && rest.is_empty() {
        Ok(entries)
    } else {
        Err(BundleError::Width { width, entries: entries.len(), behind: rest.len() })
    }
}

fn split(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = content.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// What is wrong with an entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// An entry does not fit.
    #[error("entry of {bytes} bytes does not fit into a bundle, which takes at most {MOST_ENTRY_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The bundle ends within an entry.
    #[error("entry bundle ends within entry {entry}")]
    Torn {
        /// Which, from 0.
        entry: usize,
    },
    /// Not as many entries as its path says.
    #[error("entry bundle of width {width} has {entries} entries and {behind} bytes behind them")]
    Width {
        /// How many it should have.
        width: u16,
        /// How many it has, up to that number.
        entries: usize,
        /// What is left behind them.
        behind: usize,
    },
}
