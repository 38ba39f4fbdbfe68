//! What the journal asks of its volume, as a seam: the tests put volumes behind it that fail, fill up and hang.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

/// A volume.
pub(super) trait Disk: Send {
    /// Makes sure that the first `len` bytes of the file have their place on the volume; those never written are zeros.
    fn allocate(&mut self, file: &File, len: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `at`.
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&mut self, file: &File) -> io::Result<()>;

    /// How full the volume is, in percent, rounded up, as far as this process may fill it.
    fn used_percent(&mut self, folder: &Path) -> io::Result<u8>;
}

/// The volume as it is.
#[derive(Debug)]
pub(super) struct Volume;

impl Disk for Volume {
    fn allocate(&mut self, file: &File, len: u64) -> io::Result<()> {
        match fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // Some network file systems cannot; what is written has its place there too.
            Err(Errno::OPNOTSUPP) => zero(self, file, 0, len),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn used_percent(&mut self, folder: &Path) -> io::Result<u8> {
        let volume = statvfs(folder)?;
        let used = volume.f_blocks.saturating_sub(volume.f_bfree);
        let mine = used.saturating_add(volume.f_bavail);
        let percent = u128::from(used).saturating_mul(100).div_ceil(u128::from(mine).max(1));
        Ok(u8::try_from(percent).unwrap_or(100).min(100))
    }
}

/// Overwrites a part of a file with zeros.
pub(super) fn zero(disk: &mut dyn Disk, file: &File, mut from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    while from < to {
        let part = usize::try_from(to - from).unwrap_or(ZEROS.len()).min(ZEROS.len());
        disk.write(file, &ZEROS[..part], from)?;
        from += part as u64;
    }
    Ok(())
}
