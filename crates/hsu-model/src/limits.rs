//! Limits: what a worker may use, and what becomes of it when it uses more.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::units::ByteSize;

/// Everything that limits one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The single limits, in the order of the documentation.
    pub rules: Vec<Rule>,
    /// What it gets when there is not enough for all.
    pub shares: Shares,
    /// The time between two looks at what it uses; none when nobody looks.
    pub check_interval: Option<Duration>,
    /// How much below a threshold is calm again, in percent of it; 0 to 50.
    pub hysteresis: u32,
    /// What is remembered of its usage; none when nothing is.
    pub history: Option<UsageHistory>,
    /// Who is told.
    pub alert: Alert,
}

/// Which cgroups keep workers within their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cgroups {
    /// Version 2 where it has a controller, else version 1.
    #[default]
    Auto,
    /// Version 2 only.
    Version2,
    /// Version 1 only.
    Version1,
    /// None: limits are watched, and set on single processes.
    None,
}

/// What a worker gets when there is not enough for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Its weight among others for CPU time, 1 to 10,000; 100 is usual.
    pub cpu_weight: Option<u32>,
    /// Its weight among others for the disk, 1 to 10,000; 100 is usual.
    pub io_weight: Option<u32>,
    /// Its nice value, -20 to 19.
    pub nice: Option<i32>,
}

/// What is remembered of the usage of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageHistory {
    /// The time between two records.
    pub interval: Duration,
    /// How long a record is kept.
    pub retention: Duration,
}

/// Who is told of alerts, besides the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alert {
    /// A program and its arguments; empty when none is run.
    pub command: Vec<String>,
    /// An `http://` address that alerts are posted to.
    pub webhook: Option<String>,
    /// How long either may take.
    pub timeout: Duration,
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What is limited.
    pub kind: LimitKind,
    /// The folders or log files that are limited, absolute paths; empty where none are.
    pub paths: Vec<String>,
    /// The limit, in the unit of its kind.
    pub most: u64,
    /// From here on it is a warning.
    pub warning: u64,
    /// Beyond this it is exceeded.
    pub critical: u64,
    /// Who sees to it.
    pub hold: Hold,
    /// A violation shorter than this is none.
    pub spike_tolerance: Duration,
    /// What is done while it is exceeded, in the order of the times; each once.
    pub ladder: Vec<Step>,
    /// How far `RestartAdjusted` raises it.
    pub raise: Raise,
    /// How `Throttle` slows the worker down.
    pub brake: Brake,
}

/// How a worker is slowed down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Brake {
    /// By a limit of the kernel, else by holding it still.
    #[default]
    Hold,
    /// It gives way to everybody else.
    Nice,
}

/// Who sees to it that a limit is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The kernel, from before the program starts, where it can; it is watched too.
    Kernel,
    /// Nobody: it is watched, and its policy acts.
    Watch,
}

/// One step of what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long the limit has been exceeded by then.
    pub after: Duration,
    /// What is done.
    pub action: Action,
}

/// What is done about an exceeded limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A line in the master's log.
    Log,
    /// Everybody who is to be told is told.
    Alert,
    /// The worker is slowed down until it is within the limit.
    Throttle,
    /// It is asked to end, and stays stopped.
    GracefulShutdown,
    /// It is killed, and stays stopped.
    ImmediateKill,
    /// It is restarted, as after a failure.
    Restart,
    /// The same, with a higher limit.
    RestartAdjusted,
}

impl Action {
    /// Whether the run is over after it.
    #[must_use]
    pub const fn ends_the_run(self) -> bool {
        match self {
            Self::Log | Self::Alert | Self::Throttle => false,
            Self::GracefulShutdown
            | Self::ImmediateKill
            | Self::Restart
            | Self::RestartAdjusted => true,
        }
    }

    /// Whether another run follows.
    #[must_use]
    pub const fn restarts(self) -> bool {
        matches!(self, Self::Restart | Self::RestartAdjusted)
    }

    /// The word in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Alert => "alert",
            Self::Throttle => "throttle",
            Self::GracefulShutdown => "graceful_shutdown",
            Self::ImmediateKill => "immediate_kill",
            Self::Restart => "restart",
            Self::RestartAdjusted => "restart_adjusted",
        }
    }
}

/// How far a limit is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The factor for each restart, in percent; more than 100.
    pub percent: u32,
    /// No higher than this.
    pub cap: u64,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Memory in RAM, of all its processes.
    Resident,
    /// Address space, of all its processes; the kernel holds each of them to it.
    Virtual,
    /// Memory on disk.
    Swap,
    /// Data segments, of all its processes; the kernel holds each of them to it.
    Heap,
    /// CPUs, in thousandths.
    Cpu,
    /// CPU time in all, in milliseconds.
    CpuTime,
    /// Bytes read from disks per second.
    ReadBytes,
    /// Bytes written to disks per second.
    WriteBytes,
    /// Reads per second.
    ReadOperations,
    /// Writes per second.
    WriteOperations,
    /// Processes.
    Processes,
    /// Threads of all its processes.
    Threads,
    /// Processes besides the first.
    Children,
    /// Open descriptors of its process that has the most.
    OpenFiles,
    /// Open sockets.
    Connections,
    /// Bytes in files of a folder.
    Directory,
    /// Bytes in files of its folder for temporary files.
    Temporary,
    /// Bytes in its log files.
    Logs,
}

impl LimitKind {
    /// The key in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resident => "memory.max_rss",
            Self::Virtual => "memory.max_virtual",
            Self::Swap => "memory.max_swap",
            Self::Heap => "memory.max_heap",
            Self::Cpu => "cpu.max_percent",
            Self::CpuTime => "cpu.max_time",
            Self::ReadBytes => "io.max_read_bps",
            Self::WriteBytes => "io.max_write_bps",
            Self::ReadOperations => "io.max_read_ops",
            Self::WriteOperations => "io.max_write_ops",
            Self::Processes => "process.max_processes",
            Self::Threads => "process.max_threads",
            Self::Children => "process.max_child_processes",
            Self::OpenFiles => "process.max_file_descriptors",
            Self::Connections => "network.max_connections",
            Self::Directory => "storage.directories",
            Self::Temporary => "storage.max_temporary",
            Self::Logs => "storage.max_logs",
        }
    }

    /// Whether it is used up anew each second: what is measured is the sum so far.
    #[must_use]
    pub const fn is_rate(self) -> bool {
        match self {
            Self::Cpu
            | Self::ReadBytes
            | Self::WriteBytes
            | Self::ReadOperations
            | Self::WriteOperations => true,
            Self::Resident
            | Self::Virtual
            | Self::Swap
            | Self::Heap
            | Self::CpuTime
            | Self::Processes
            | Self::Threads
            | Self::Children
            | Self::OpenFiles
            | Self::Connections
            | Self::Directory
            | Self::Temporary
            | Self::Logs => false,
        }
    }

    /// An amount of it, for people.
    #[must_use]
    pub const fn amount(self, value: u64) -> Amount {
        Amount { kind: self, value }
    }
}

/// An amount of what is limited, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    kind: LimitKind,
    value: u64,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.kind {
            LimitKind::Resident
            | LimitKind::Virtual
            | LimitKind::Swap
            | LimitKind::Heap
            | LimitKind::Directory
            | LimitKind::Temporary
            | LimitKind::Logs => write!(f, "{}", ByteSize(value)),
            LimitKind::ReadBytes | LimitKind::WriteBytes => write!(f, "{}/s", ByteSize(value)),
            LimitKind::ReadOperations | LimitKind::WriteOperations => write!(f, "{value}/s"),
            // A thousandth of a CPU is a tenth of a percent of it.
            LimitKind::Cpu => write!(f, "{}.{} %", value / 10, value % 10),
            LimitKind::CpuTime => write!(f, "{}.{:03} s", value / 1000, value % 1000),
            LimitKind::Processes
            | LimitKind::Threads
            | LimitKind::Children
            | LimitKind::OpenFiles
            | LimitKind::Connections => write!(f, "{value}"),
        }
    }
}
