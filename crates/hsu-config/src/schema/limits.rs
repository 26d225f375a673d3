//! Resource limits. Read and checked in full; nothing enforces them yet.

use std::time::Duration;

use hsu_model::units::ByteSize;

use crate::node::Node;
use crate::reader::Reader;
use crate::schema::types::{Count, CpuPercent, Factor, Percentage, Whole, words};
use crate::schema::{Read, Shape, section};

const MODERN_MEMORY: &str = "write `memory: { max_rss: ... }`";
const MODERN_CPU: &str = "write `cpu: { max_cores: ... }`";
const MODERN_PROCESS: &str = "write it in `process`";

section! {
    /// The `limits` section.
    Limits {
        memory: Short<MemoryLimits> { legacy: &["memory_limits"], means: "Memory; a size alone is `max_rss`." }
        cpu: Short<CpuLimits> { legacy: &["cpu_limits"], means: "CPU; a number alone is `max_cores`." }
        io: IoLimits { legacy: &["io_limits"], means: "Reading and writing." }
        process: ProcessLimits { legacy: &["process_limits"], means: "Processes and files." }
        monitoring: Monitoring { means: "How often to look." }
        priority: Whole<-1_000_000, 1_000_000> { means: "A priority." }
        cpu_shares: Count { means: "A weight among workers." }
        max_processes: Count { old: MODERN_PROCESS, means: "As `process.max_processes`." }
        max_open_files: Count { old: MODERN_PROCESS, means: "As `process.max_file_descriptors`." }
    }
}

section! {
    /// The `memory` section.
    MemoryLimits {
        max_rss: ByteSize { legacy: &["limit_bytes"], means: "Memory in RAM." }
        limit_mb: Whole<1, 1_000_000_000> { means: "The same in megabytes; wins over `max_rss`." }
        max_virtual: ByteSize { means: "Address space." }
        max_swap: ByteSize { means: "Memory on disk." }
        warning_threshold: Percentage { default: "80", means: "The share of a limit from which to warn." }
        policy: LimitPolicy { means: "What to do beyond the limit." }
        check_interval: Duration { means: "How often to look." }
    }
}

section! {
    /// The `cpu` section.
    CpuLimits {
        max_cores: Factor { means: "CPUs." }
        max_percent: CpuPercent { legacy: &["limit_percent"], means: "Percent; 100 is one CPU." }
        max_time: Duration { means: "CPU time in all." }
        warning_threshold: Percentage { default: "80", means: "The share of a limit from which to warn." }
        policy: LimitPolicy { means: "What to do beyond the limit." }
        check_interval: Duration { means: "How often to look." }
    }
}

section! {
    /// The `io` section.
    IoLimits {
        weight: Count { means: "A weight among workers." }
        max_read_bps: ByteSize { means: "Bytes read per second." }
        max_write_bps: ByteSize { means: "Bytes written per second." }
        max_read_ops: Count { means: "Reads per second." }
        max_write_ops: Count { means: "Writes per second." }
        warning_threshold: Percentage { default: "80", means: "The share of a limit from which to warn." }
        policy: LimitPolicy { means: "What to do beyond the limit." }
    }
}

section! {
    /// The `process` section.
    ProcessLimits {
        max_processes: Count { means: "Processes." }
        max_file_descriptors: Count { means: "Open files." }
        max_child_processes: Count { means: "Children." }
        warning_threshold: Percentage { default: "80", means: "The share of a limit from which to warn." }
        policy: LimitPolicy { means: "What to do beyond the limit." }
    }
}

section! {
    /// The `monitoring` section.
    Monitoring {
        enabled: bool { default: "true", means: "Whether to look." }
        interval: Duration { default: "30s", means: "How often." }
        history_retention: Duration { default: "24h", means: "How long to remember." }
        alerting_enabled: bool { means: "Whether to tell somebody." }
    }
}

/// What to do beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitPolicy {
    /// Nothing.
    None,
    /// Write a line.
    Log,
    /// Tell somebody.
    Alert,
    /// Slow it down.
    Throttle,
    /// Stop it.
    GracefulShutdown,
    /// Kill it.
    ImmediateKill,
    /// Restart it.
    Restart,
    /// Restart it with other settings.
    RestartAdjusted,
}

words! {
    LimitPolicy {
        "none" => Self::None,
        "log" => Self::Log,
        "alert" => Self::Alert,
        "throttle" => Self::Throttle,
        "graceful_shutdown" => Self::GracefulShutdown,
        "immediate_kill" => Self::ImmediateKill,
        "restart" => Self::Restart,
        "restart_adjusted" => Self::RestartAdjusted,
    }
}

/// A section whose most important number may stand alone, as in older files.
#[derive(Debug)]
pub(crate) enum Short<T> {
    /// The number alone, checked.
    Alone,
    /// The section.
    Full(T),
}

/// What a limit is when it stands alone.
pub(crate) trait Alone {
    /// What to write today.
    const MODERN: &'static str;
    /// How it is described.
    const NAME: &'static str;

    /// Checks it.
    fn check(node: &Node<'_>, reader: &mut Reader<'_>) -> bool;
}

impl Alone for MemoryLimits {
    const MODERN: &'static str = MODERN_MEMORY;
    const NAME: &'static str = "a size";

    fn check(node: &Node<'_>, reader: &mut Reader<'_>) -> bool {
        ByteSize::read(node, reader).is_some()
    }
}

impl Alone for CpuLimits {
    const MODERN: &'static str = MODERN_CPU;
    const NAME: &'static str = "a number";

    fn check(node: &Node<'_>, reader: &mut Reader<'_>) -> bool {
        Factor::read(node, reader).is_some()
    }
}

impl<T: Read + Alone> Read for Short<T> {
    const SHAPE: Shape = Shape::Either(T::NAME, || T::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        if node.entries().is_some() {
            return T::read(node, reader).map(Self::Full);
        }
        if !T::check(node, reader) {
            return None;
        }
        reader.findings.notice("legacy-key", ("limits", T::MODERN), node.place, || {
            (String::from("a limit that stands alone is an old form"), T::MODERN.to_owned())
        });
        Some(Self::Alone)
    }
}
