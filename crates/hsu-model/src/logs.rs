//! Where the output of workers goes.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::units::ByteSize;

/// One of the two streams of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both streams.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// `stdout` or `stderr`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Where the output of one worker goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerLogs {
    /// Standard output.
    pub stdout: StreamLogs,
    /// Standard error.
    pub stderr: StreamLogs,
    /// What a full disk or a full spool means.
    pub on_full: OnFull,
}

/// Where one stream goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamLogs {
    /// Whether the stream is captured. When not, it goes to the null device and never blocks.
    pub capture: bool,
    /// Every place that receives it, besides the global aggregation.
    pub outputs: Vec<LogOutput>,
}

/// Outputs that every captured stream of every worker goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aggregation {
    /// The outputs.
    pub outputs: Vec<LogOutput>,
}

/// One place that receives lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOutput {
    /// Where the lines go.
    pub target: LogTarget,
    /// How a line is written.
    pub format: LogFormat,
    /// Text before each line, templates already replaced.
    pub prefix: String,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogTarget {
    /// A file, by absolute path, templates already replaced.
    File {
        /// Its path.
        path: String,
        /// When a new file is begun.
        rotation: Rotation,
    },
    /// The master's standard output.
    MasterStdout,
    /// The master's standard error.
    MasterStderr,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// The bytes as they came.
    Plain,
    /// `[RFC3339 seconds][worker][stdout|stderr] line`.
    EnhancedPlain,
    /// One JSON object a line.
    Json,
}

/// When a new log file is begun, and which old ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file is closed at the last line end within this size.
    pub max_size: ByteSize,
    /// Closed files that stay; 0 keeps them all.
    pub max_files: u32,
    /// Closed files older than this go; none keeps them.
    pub max_age: Option<Duration>,
}

impl Rotation {
    /// The documented default: 100 MB, 10 files, 7 days.
    pub const DEFAULT: Self = Self {
        max_size: ByteSize(100_000_000),
        max_files: 10,
        max_age: Some(Duration::from_secs(7 * 24 * 3600)),
    };
}

/// What happens to output that has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// The worker waits at its pipe; nothing is lost.
    #[default]
    Block,
    /// Bytes are dropped, counted exactly, and a marker line says how many.
    Drop,
}
