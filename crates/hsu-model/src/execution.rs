//! What to execute, and how to stop it.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::time::Duration;

/// The program of a worker and the surroundings it starts in.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Execution {
    /// An absolute path, a path with a slash (taken from the master's working
    /// directory), or a bare name that is looked up in `PATH`.
    pub program: String,
    /// The arguments after the program's name.
    pub args: Vec<String>,
    /// Variables added to, or replacing those of, the master's own environment.
    pub environment: Vec<(String, String)>,
    /// Where the worker starts.
    pub working_directory: WorkingDirectory,
    /// The user to become.
    pub user: Option<String>,
    /// The group to become; without it, the user's own group.
    pub group: Option<String>,
    /// The file mode creation mask; without it, the master's own.
    pub umask: Option<u32>,
    /// The nice value, -20 to 19; without it, the master's own.
    pub nice: Option<i32>,
    /// Resource limits set before the program starts.
    pub rlimits: Vec<ResourceLimit>,
    /// Whether a program without the execute permission is given it.
    pub make_executable: bool,
}

impl Execution {
    /// A number that tells two of them apart, the same for every master on this host.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut fingerprint = Fingerprint(0xcbf2_9ce4_8422_2325);
        self.hash(&mut fingerprint);
        fingerprint.finish()
    }
}

/// FNV-1a: no secret is needed, only that two masters come to the same.
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Where a worker starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkingDirectory {
    /// The folder that holds the program (the documented default).
    OfProgram,
    /// This absolute path.
    At(String),
}

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceLimit {
    /// What is limited.
    pub resource: Resource,
    /// The soft value; `u64::MAX` is unlimited.
    pub soft: u64,
    /// The hard value; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// The resources that a process limit can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Address space, in bytes.
    AddressSpace,
    /// Size of a core file, in bytes.
    Core,
    /// CPU time, in seconds.
    Cpu,
    /// Data segment, in bytes.
    Data,
    /// Size of a file written, in bytes.
    FileSize,
    /// Locked memory, in bytes.
    LockedMemory,
    /// Open descriptors.
    OpenFiles,
    /// Processes of the user.
    Processes,
    /// Stack, in bytes.
    Stack,
}

impl Resource {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressSpace => "address_space",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::FileSize => "file_size",
            Self::LockedMemory => "locked_memory",
            Self::OpenFiles => "open_files",
            Self::Processes => "processes",
            Self::Stack => "stack",
        }
    }
}

/// How a worker is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The signal that asks it to end, sent to the whole tree.
    pub signal: i32,
    /// How long it may take before it is killed.
    pub graceful_timeout: Duration,
}

impl Stop {
    /// SIGTERM, as every peer sends.
    pub const DEFAULT_SIGNAL: i32 = 15;
    /// The documented default of `graceful_timeout`.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: Self::DEFAULT_SIGNAL, graceful_timeout: Self::DEFAULT_TIMEOUT }
    }
}
