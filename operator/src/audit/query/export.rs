//! An export as a tar of its folder.

use jiff::Timestamp;
use sallyport_audit::export::{BuildError, Made, Order, Sink, Source, build};
use sallyport_audit::tlog::tree::ReadError;
use tokio::runtime::Handle;

use super::Refused;
use super::asked::Asked;
use super::chunks::Chunks;
use super::logs::{ArchivedKeys, ArchivedTiles, Log};
use crate::audit::records::{Open, Records};

/// Makes the export and gives it while it is made.
pub(super) fn give(
    runtime: &Handle,
    known: &Records,
    open: &Open,
    asked: &Asked,
    logs: Vec<Log>,
    chunks: &mut Chunks,
) -> Result<(), Refused> {
    let at = Timestamp::now();
    let order = Order {
        region: known.id.clone(),
        scope: asked.scope.clone(),
        period: asked.period,
        made: Made { at, by: asked.by.clone() },
    };
    let source = |log: Log| Source {
        verifier_key: log.key,
        checkpoint: log.checkpoint,
        tiles: ArchivedTiles { runtime, archive: &open.archive, origin: log.origin },
        collected_until: log.collected_until,
    };
    let sources = logs.into_iter().map(source).collect();
    let keys = ArchivedKeys::new(runtime, known, open);
    let mut tar = Tar { chunks, at, left: 0, padding: 0 };
    let built = build(&order, sources, &keys, &open.signer, &mut tar);
    built.map_err(|error| match error {
        BuildError::Sink(_) => Refused::Unwanted,
        error => Refused::unreadable(error),
    })?;
    tar.end()?;
    Ok(())
}

/// Files as a tar: a header, the bytes, zeros up to the next block.
struct Tar<'c> {
    chunks: &'c mut Chunks,
    at: Timestamp,
    left: u64,
    padding: usize,
}

const BLOCK: usize = 512;

impl Tar<'_> {
    /// Two blocks of zeros end a tar.
    fn end(mut self) -> Result<(), super::Stopped> {
        self.pad()?;
        self.chunks.write(&[0; 2 * BLOCK])
    }

    fn pad(&mut self) -> Result<(), super::Stopped> {
        let padding = std::mem::take(&mut self.padding);
        self.chunks.write(&[0; BLOCK][..padding])
    }
}

impl Sink for Tar<'_> {
    fn file(&mut self, path: &str, size: u64) -> Result<(), ReadError> {
        if self.left > 0 {
            return Err("a file is shorter than it was said to be".into());
        }
        self.pad()?;
        let mut header = tar::Header::new_ustar();
        header.set_path(path)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(self.at.as_second()).unwrap_or_default());
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        self.chunks.write(header.as_bytes())?;
        self.left = size;
        let over = usize::try_from(size % 512).unwrap_or_default();
        self.padding = if over == 0 { 0 } else { BLOCK - over };
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(more).ok_or("a file is longer than it was said to be")?;
        Ok(self.chunks.write(bytes)?)
    }
}
