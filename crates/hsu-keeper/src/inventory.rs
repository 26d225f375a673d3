//! The inventory: what the keeper holds, in a file that outlives it.
//!
//! A fixed number of slots in a shared mapping; what they mean is in [`crate::table`].
//! The kernel's page cache is all that is trusted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::table::slot::{Held, Slot};

/// Runs that one keeper holds at most: three descriptors each fit a limit of 20,000.
pub(crate) const SLOTS: usize = 4096;

/// `HSUINV` and the version of this layout.
const MAGIC: u64 = 0x4853_5549_4e56_0002;

#[repr(C, align(64))]
#[derive(Debug)]
struct Table {
    magic: AtomicU64,
    boot: [AtomicU64; 2],
    slots: [Slot; SLOTS],
}

/// The table, mapped for as long as the keeper lives.
#[derive(Debug)]
pub(crate) struct Inventory {
    table: &'static Table,
}

/// Whether a table of an earlier keeper was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// One of this boot.
    Earlier,
    /// None, or one that means nothing any more.
    Fresh,
}

impl Inventory {
    /// Maps the file; an earlier table of this boot is kept.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Found)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        let size = size_of::<Table>();
        let had = file.metadata()?.len();
        let wanted = u64::try_from(size).unwrap_or(u64::MAX);
        if had != wanted {
            file.set_len(0)?;
        }
        // One of an earlier version may have the size and not the room.
        allocate(&file, wanted)?;
        let table = map(&file, size)?;
        let boot = boot_id();
        let same = table.magic.load(Ordering::Acquire) == MAGIC
            && table.boot.iter().zip(boot).all(|(have, want)| have.load(Ordering::Relaxed) == want);
        if !same {
            for slot in table.slots.iter().filter(|slot| slot.held() != Held::Free) {
                slot.free();
            }
            for (place, value) in table.boot.iter().zip(boot) {
                place.store(value, Ordering::Relaxed);
            }
            table.magic.store(MAGIC, Ordering::Release);
        }
        Ok((Self { table }, if same { Found::Earlier } else { Found::Fresh }))
    }

    pub(crate) fn slots(&self) -> &'static [Slot] {
        &self.table.slots
    }
}

/// Takes the room on the disk: writing through a mapping to a page that finds none would
/// kill the keeper.
fn allocate(file: &File, size: u64) -> io::Result<()> {
    let size = libc::off_t::try_from(size).map_err(io::Error::other)?;
    // SAFETY: no memory is passed.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn map(file: &File, size: usize) -> io::Result<&'static Table> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the file has this size, and the mapping is never taken away.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), size, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is page-aligned, has the table's size, lives for ever,
    // and every bit pattern is a valid table of atomics.
    Ok(unsafe { &*address.cast::<Table>() })
}

fn boot_id() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|part| u64::from_str_radix(part, 16).ok());
    [half(0..16).unwrap_or(0), half(16..32).unwrap_or(0)]
}
