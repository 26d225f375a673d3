//! The inventory: what the keeper holds, in a file that outlives it.
//!
//! A fixed table of slots in a shared mapping. The last thing a child does before
//! it executes the worker is to claim its slot, with its PID and its start time
//! in one atomic word. The next keeper withdraws every start that is not claimed,
//! by the same word: a child that comes too late ends itself. So a worker never
//! runs unrecorded, whenever the keeper is killed, and nobody waits to find out.
//! The kernel's page cache is all that is trusted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::{Tick, WallTime};

use crate::kernel;

/// Runs that one keeper holds at most: three descriptors each fit a limit of 20,000.
pub(crate) const SLOTS: usize = 4096;

/// `HSUINV` and the version of this layout.
const MAGIC: u64 = 0x4853_5549_4e56_0002;

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing.
    Free,
    /// A spawn is under way.
    Spawning,
    /// A process that lives.
    Live,
    /// An exit that is not acknowledged.
    Ended,
}

impl Held {
    fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Spawning,
            2 => Self::Live,
            3 => Self::Ended,
            _ => Self::Free,
        }
    }
}

/// One slot, in shared memory: every field is atomic, none is trusted to be valid.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Slot {
    held: AtomicU32,
    name_length: AtomicU32,
    claim: AtomicU64,
    run: AtomicU64,
    started_at: AtomicU64,
    started_tick: AtomicU64,
    started_wall: AtomicI64,
    ended_tick: AtomicU64,
    ended_wall: AtomicI64,
    exit_kind: AtomicU32,
    exit_number: AtomicI32,
    /// Why the program could not be executed after all: the error number, or 0.
    failure: AtomicI32,
    name: [AtomicU8; WorkerId::MAX_LENGTH],
}

/// Who a start belongs to, in one word: ten bits that tell the starts of a slot
/// apart, 22 bits of PID (0: not claimed), and the low half of the start time.
// Source: linux/threads.h, PID_MAX_LIMIT is 2^22.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim(u64);

impl Claim {
    fn pid(self) -> u32 {
        u32::try_from(self.0 >> 32 & 0x3f_ffff).unwrap_or(0)
    }

    /// Whether a process that started then may be the one that claimed.
    pub(crate) fn is_of(self, started_at: u64) -> bool {
        self.0 & 0xffff_ffff == started_at & 0xffff_ffff
    }

    fn by(self, pid: u32, started_at: u64) -> Self {
        Self(self.0 >> 54 << 54 | u64::from(pid & 0x3f_ffff) << 32 | started_at & 0xffff_ffff)
    }

    fn next(self) -> Self {
        Self((self.0 >> 54).wrapping_add(1) << 54)
    }
}

impl Slot {
    /// What a child shows when it claims its start.
    pub(crate) fn claim(&self) -> Claim {
        Claim(self.claim.load(Ordering::Acquire))
    }

    /// The child takes its start, unless a keeper has withdrawn it; whether it did.
    pub(crate) fn take(&self, offered: Claim, pid: u32, started_at: u64) -> bool {
        self.replace(offered, offered.by(pid, started_at))
    }

    /// Withdraws a start that is not claimed; whether that was in time.
    pub(crate) fn withdraw(&self) -> bool {
        let offered = self.claim();
        offered.pid() == 0 && self.replace(offered, offered.next())
    }

    fn replace(&self, old: Claim, new: Claim) -> bool {
        self.claim.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// A child that has claimed its start could not execute the program.
    pub(crate) fn fail(&self, errno: i32) {
        self.failure.store(errno, Ordering::Release);
    }

    /// Why the program could not be executed after all.
    pub(crate) fn failure(&self) -> Option<i32> {
        Some(self.failure.load(Ordering::Acquire)).filter(|errno| *errno != 0)
    }

    pub(crate) fn held(&self) -> Held {
        Held::from_number(self.held.load(Ordering::Acquire))
    }

    pub(crate) fn run(&self) -> RunId {
        RunId(self.run.load(Ordering::Relaxed))
    }

    pub(crate) fn process(&self) -> ProcessKey {
        ProcessKey { pid: self.claim().pid(), started_at: self.started_at.load(Ordering::Relaxed) }
    }

    pub(crate) fn started(&self) -> (Tick, WallTime) {
        (
            Tick(self.started_tick.load(Ordering::Relaxed)),
            WallTime(self.started_wall.load(Ordering::Relaxed)),
        )
    }

    pub(crate) fn ended(&self) -> (Tick, WallTime) {
        (
            Tick(self.ended_tick.load(Ordering::Relaxed)),
            WallTime(self.ended_wall.load(Ordering::Relaxed)),
        )
    }

    pub(crate) fn worker(&self) -> Option<WorkerId> {
        let length = usize::try_from(self.name_length.load(Ordering::Relaxed)).ok()?;
        let bytes: Vec<u8> =
            self.name.get(..length)?.iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        WorkerId::new(std::str::from_utf8(&bytes).ok()?).ok()
    }

    pub(crate) fn exit(&self) -> Exit {
        let number = self.exit_number.load(Ordering::Relaxed);
        match self.exit_kind.load(Ordering::Relaxed) {
            1 => Exit::Code(number),
            2 => Exit::Signal { number, core: false },
            3 => Exit::Signal { number, core: true },
            _ => Exit::Unknown(UnknownExit::KeeperLost),
        }
    }

    /// A spawn begins.
    pub(crate) fn reserve(&self, run: RunId, worker: &WorkerId) {
        self.claim.store(self.claim().next().0, Ordering::Relaxed);
        self.failure.store(0, Ordering::Relaxed);
        self.started_at.store(0, Ordering::Relaxed);
        self.run.store(run.0, Ordering::Relaxed);
        let bytes = worker.as_str().as_bytes();
        for (place, byte) in self.name.iter().zip(bytes) {
            place.store(*byte, Ordering::Relaxed);
        }
        self.name_length.store(u32::try_from(bytes.len()).unwrap_or(0), Ordering::Relaxed);
        self.started_tick.store(kernel::tick().0, Ordering::Relaxed);
        self.started_wall.store(kernel::wall().0, Ordering::Relaxed);
        self.held.store(1, Ordering::Release);
    }

    /// The process lives.
    pub(crate) fn occupy(&self, started_at: u64) {
        self.started_at.store(started_at, Ordering::Relaxed);
        self.held.store(2, Ordering::Release);
    }

    /// The process has ended.
    pub(crate) fn end(&self, exit: Exit) {
        let (kind, number) = match exit {
            Exit::Code(code) => (1, code),
            Exit::Signal { number, core: false } => (2, number),
            Exit::Signal { number, core: true } => (3, number),
            Exit::Unknown(_) => (0, 0),
        };
        self.exit_kind.store(kind, Ordering::Relaxed);
        self.exit_number.store(number, Ordering::Relaxed);
        self.ended_tick.store(kernel::tick().0, Ordering::Relaxed);
        self.ended_wall.store(kernel::wall().0, Ordering::Relaxed);
        self.held.store(3, Ordering::Release);
    }

    /// The exit is accounted, or there was never a process.
    pub(crate) fn free(&self) {
        self.held.store(0, Ordering::Release);
    }
}

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

    pub(crate) fn slots(&self) -> &'static [Slot; SLOTS] {
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
