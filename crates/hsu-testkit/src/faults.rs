//! Faults: a host that lacks something, on real processes.
//!
//! Each fault takes something away from a running fleet (descriptors, memory,
//! room on a disk, the right time, a folder, readers that read) and gives it
//! back. Meanwhile no worker may be disturbed, nothing may be lost that was
//! promised, the master must answer or say why not, and afterwards all must be
//! as before, without help. `cargo xtask faults` runs the long form of each.

mod clock;
mod descriptors;
mod disks;
mod files;
mod memory;
mod readers;
mod stop;
mod storm;
mod watch;

use std::time::Duration;

use crate::chaos::Report;
use crate::error::TestError;

/// How long an answer may be waited for while something is missing.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// How much of a fault is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Seconds, for every run of the tests.
    Short,
    /// Minutes.
    Long,
}

impl Form {
    /// One of two values.
    fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// One thing that a host can lack.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is tried, and which promise it is about.
    pub about: &'static str,
    trial: fn(Form, u64) -> Result<Report, TestError>,
}

impl Fault {
    /// Every fault, in the order of their promises.
    pub const ALL: [Self; 9] = [
        Self::STORM,
        Self::DISKS,
        Self::DESCRIPTORS,
        Self::MEMORY,
        Self::CLOCK,
        Self::READERS,
        Self::FILES,
        Self::FOLDERS,
        Self::STOP,
    ];
    /// Workers that all end at once, again and again.
    pub const STORM: Self = Self {
        name: "storm",
        about: "every worker fails at once, again and again (R9, R10)",
        trial: storm::run,
    };
    /// Disks that are full or cannot be written.
    pub const DISKS: Self = Self {
        name: "disks",
        about: "state, spools or outputs on a disk that is full or cannot be written (R11, R12)",
        trial: disks::run,
    };
    /// No free descriptors.
    pub const DESCRIPTORS: Self = Self {
        name: "descriptors",
        about: "each role has 0 to 20 free descriptors (R14)",
        trial: descriptors::run,
    };
    /// Too little memory.
    pub const MEMORY: Self = Self {
        name: "memory",
        about: "the kernel kills the master because its memory is short (R15)",
        trial: memory::run,
    };
    /// A clock that jumps.
    pub const CLOCK: Self = Self {
        name: "clock",
        about: "the wall clock jumps by hours, years and to 1970, 2038 and 2106 (R16)",
        trial: clock::run,
    };
    /// Clients that do not read.
    pub const READERS: Self = Self {
        name: "readers",
        about: "a crowd of clients that ask and never read, or never end their question (R18)",
        trial: readers::run,
    };
    /// A configuration that is being written.
    pub const FILES: Self = Self {
        name: "files",
        about: "the configuration is half-written, while masters are killed (R19)",
        trial: files::half_written,
    };
    /// Folders that are taken away.
    pub const FOLDERS: Self = Self {
        name: "folders",
        about: "folders of logs, spools and sockets are deleted while they are used (R11)",
        trial: files::deleted,
    };
    /// The end of everything.
    pub const STOP: Self = Self {
        name: "stop",
        about: "many workers are stopped, and a tenth of them does not listen (R29)",
        trial: stop::run,
    };

    /// Runs it in a sandbox of its own.
    ///
    /// # Errors
    /// [`TestError`] when the fleet does not start, does not come back or does not
    /// stop, or this host cannot produce the fault; harm is a finding instead.
    pub fn run(&self, form: Form, seed: u64) -> Result<Report, TestError> {
        (self.trial)(form, seed)
    }
}
