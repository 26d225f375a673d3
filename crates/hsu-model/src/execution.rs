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
    /// What tells it apart from another one.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        self.hash(&mut digest);
        Fingerprint(Fingerprint::SHAPE << 56 | digest.finish() >> 8)
    }
}

/// A number that tells two [`Execution`]s apart, the same for every master on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Which build's way to digest an [`Execution`] it is; the golden test below fails when
    /// the way has changed and this has not.
    const SHAPE: u64 = 1;

    /// Whether it is known to be another one; numbers of builds that digest another way are not
    /// compared.
    #[must_use]
    pub const fn differs_from(self, other: Self) -> bool {
        self.0 >> 56 == other.0 >> 56 && self.0 != other.0
    }
}

/// FNV-1a: no secret is needed, only that two masters come to the same.
struct Digest(u64);

impl Hasher for Digest {
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn execution() -> Execution {
        Execution {
            program: "/usr/bin/server".into(),
            args: vec!["--port".into(), "80".into()],
            environment: vec![("HOME".into(), "/srv".into())],
            working_directory: WorkingDirectory::At("/srv".into()),
            user: Some("www".into()),
            group: None,
            umask: Some(0o027),
            nice: Some(-5),
            rlimits: vec![ResourceLimit { resource: Resource::OpenFiles, soft: 10, hard: 20 }],
            make_executable: true,
        }
    }

    /// A master compares with what another build has written: whoever changes what is digested
    /// raises [`Fingerprint::SHAPE`], and this number.
    #[test]
    fn every_build_of_a_shape_comes_to_the_same_fingerprint() {
        assert_eq!(execution().fingerprint(), Fingerprint(0x0137_57db_e378_8665));
    }

    #[test]
    fn whatever_changes_is_told_apart_and_another_shape_is_not_compared() {
        let of = |change: fn(&mut Execution)| {
            let mut changed = execution();
            change(&mut changed);
            changed.fingerprint()
        };
        let was = execution().fingerprint();
        assert!(!was.differs_from(execution().fingerprint()));
        let changes: [fn(&mut Execution); 10] = [
            |it| it.program.push('d'),
            |it| it.args.push("--other".into()),
            |it| it.environment.clear(),
            |it| it.working_directory = WorkingDirectory::OfProgram,
            |it| it.user = None,
            |it| it.group = Some("www".into()),
            |it| it.umask = None,
            |it| it.nice = Some(5),
            |it| it.rlimits[0].soft = 11,
            |it| it.make_executable = false,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(was.differs_from(of(change)), "change {index}");
        }
        assert!(!was.differs_from(Fingerprint(0x7f << 56)));
    }
}
