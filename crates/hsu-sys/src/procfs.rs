//! `/proc/PID`: small files of the kernel about one process, read without an allocation.
//!
//! Where there is no `/proc`, every look finds nothing.
// Source: proc(5).

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use hsu_model::process::ProcessKey;

/// Room for one `/proc/PID/stat`: 52 numbers of at most 20 digits, and a name.
pub(crate) const STAT: usize = 2048;

/// Reads the beginning of `/proc/PID/NAME`, as much as one read gives.
pub(crate) fn read<'a>(pid: u32, name: &str, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut file = open(pid, name)?;
    let length = file.read(buffer)?;
    Ok(buffer.get(..length).unwrap_or_default())
}

pub(crate) fn open(pid: u32, name: &str) -> io::Result<File> {
    let mut path = [0_u8; 48];
    let mut rest = path.as_mut_slice();
    write!(rest, "/proc/{pid}/{name}")?;
    let unused = rest.len();
    let path = path.get(..path.len() - unused).unwrap_or_default();
    File::open(std::str::from_utf8(path).map_err(io::Error::other)?)
}

/// The places of the numbers in proc_pid_stat(5).
const FIRST: usize = 4;
const LAST: usize = 52;

/// The fields of `/proc/PID/stat`, each read once.
#[derive(Clone, Debug)]
pub(crate) struct Stat<'a> {
    name: &'a [u8],
    state: u8,
    numbers: [Option<u64>; LAST - FIRST + 1],
}

impl<'a> Stat<'a> {
    pub(crate) fn read(pid: u32, buffer: &'a mut [u8; STAT]) -> io::Result<Self> {
        let bytes = read(pid, "stat", buffer)?;
        Self::parse(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The name in field 2 may hold brackets, spaces, line ends and no text at
    /// all: the fields count from its last bracket.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let name_ends = bytes.iter().rposition(|byte| *byte == b')')?;
        let name_begins = bytes.iter().position(|byte| *byte == b'(')?;
        let name = bytes.get(name_begins + 1..name_ends)?;
        let mut fields = bytes.get(name_ends + 1..)?.split(u8::is_ascii_whitespace);
        let mut field = || fields.find(|field| !field.is_empty());
        let state = field().and_then(|letter| letter.first()).copied().unwrap_or(b'?');
        let mut numbers = [None; LAST - FIRST + 1];
        for number in &mut numbers {
            *number = field().and_then(decimal);
        }
        Some(Self { name, state, numbers })
    }

    /// The name of the process.
    pub(crate) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// A number by its place in proc_pid_stat(5), 4 or higher.
    pub(crate) fn number(&self, place: usize) -> Option<u64> {
        *self.numbers.get(place.checked_sub(FIRST)?)?
    }

    /// The letter of field 3.
    pub(crate) fn state(&self) -> u8 {
        self.state
    }
}

/// A negative number is none.
fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(value)
    })
}

/// One look at a process: its identity, its parent and whether it lives, all of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: ProcessKey,
    pub(crate) parent: u32,
    pub(crate) state: u8,
    /// How many threads it has; the state is that of the first one only.
    threads: u64,
    /// Bits that the kernel keeps about it.
    flags: u64,
    /// Where its environment ends; 0 as long as it has none.
    environment_end: u64,
}

// Source: linux/sched.h, PF_EXITING and PF_KTHREAD.
const EXITING: u64 = 0x4;
const KERNEL_THREAD: u64 = 0x0020_0000;

impl Seen {
    pub(crate) fn look(pid: u32) -> io::Result<Self> {
        let mut buffer = [0; STAT];
        let stat = Stat::read(pid, &mut buffer)?;
        Self::of(pid, &stat)
    }

    pub(crate) fn of(pid: u32, stat: &Stat<'_>) -> io::Result<Self> {
        let number = |place| stat.number(place).ok_or(io::ErrorKind::InvalidData);
        Ok(Self {
            key: ProcessKey { pid, started_at: number(22)? },
            parent: u32::try_from(number(4)?).map_err(io::Error::other)?,
            state: stat.state(),
            threads: number(20)?,
            flags: number(9)?,
            environment_end: stat.number(51).unwrap_or(0),
        })
    }

    /// Whether it has ended, and only its status is left. A process whose first thread
    /// has ended lives for as long as another one does.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }

    /// How many threads it has.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self) -> u64 {
        self.threads
    }

    /// Whether it has no thread but the first.
    pub(crate) fn has_one_thread(&self) -> bool {
        self.threads == 1
    }

    /// Whether it has begun to end: from then on it may let go of its children.
    pub(crate) fn is_ending(&self) -> bool {
        self.has_ended() || self.flags & EXITING != 0
    }

    /// Whether it will never have an environment.
    pub(crate) fn is_bare(&self) -> bool {
        self.has_ended() || self.flags & KERNEL_THREAD != 0
    }

    /// What tells its present program from the one before: where the environment
    /// ends. None between two programs, for some hundred microseconds, and on the
    /// way out, when its memory is gone and its files are still open.
    // Source: linux kernel/exit.c, do_exit: exit_mm comes before exit_files.
    pub(crate) fn program(&self) -> Option<u64> {
        (self.environment_end != 0).then_some(self.environment_end)
    }
}

#[cfg(test)]
mod tests;
