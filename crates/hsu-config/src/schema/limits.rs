//! Resource limits, as the file says them.

use std::time::Duration;

use hsu_model::limits::{Brake, Hold};
use hsu_model::units::ByteSize;

use crate::findings::At;
use crate::node::Node;
use crate::reader::Reader;
use crate::schema::types::{Count, CpuPercent, Factor, Filled, Named, Percentage, Whole, words};
use crate::schema::{Read, Shape, section};

const MODERN_MEMORY: &str = "write `memory: { max_rss: ... }`";
const MODERN_CPU: &str = "write `cpu: { max_cores: ... }`";
const MODERN_PROCESS: &str = "write it in `process`";
const AS_NICE: &str = "write it as `nice`, which is -20 to 19 and holds for CPU time";
const AS_WEIGHT: &str = "write `cpu: { weight: ... }`, where 100 is what 1024 was";

/// A weight among workers.
pub(crate) type Weight = Whole<1, 10_000>;

/// Declares a section of limits: its own keys, and those that every such section has.
macro_rules! limited {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $field:ident: $type:ty { $($attribute:ident: $value:expr),* $(,)? } )*
        }
    ) => {
        section! {
            $(#[$meta])*
            $name {
                $( $field: $type { $($attribute: $value),* } )*
                warning_threshold: Percentage { default: "80", means: "The share of a limit from which to warn." }
                critical_threshold: Percentage { default: "100", means: "The share of a limit beyond which the policy acts." }
                policy: LimitPolicy {
                    default: "none",
                    means: "What is done beyond the limit. `none`: nothing but an event; the kernel holds the limit. `log`: a line. `alert`: a line, and whoever `alerts` names is told. `throttle`: the worker is slowed down until it is within the limit. `graceful_shutdown`, `immediate_kill`: it is ended, and stays stopped. `restart`: as after a failure, by `context_aware_restart.resource_violations`. `restart_adjusted`: the same with a raised limit. `escalate`: the steps of `escalation`.",
                }
                escalation: Vec<At<EscalationStep>> { means: "The steps of the policy `escalate`, in the order of their times; each is taken once while the limit is exceeded." }
                adjustment: Adjustment { means: "How far `restart_adjusted` raises the limit." }
                enforce: Hold {
                    default: "`kernel` with the policy `none`, else `watch`",
                    means: "`kernel`: the kernel holds the worker within the limit from before its start, where this host can; what it refuses or kills counts as a violation. `watch`: the worker may exceed it, and the policy acts.",
                }
                sustained_violation_time: Duration { default: "as `context_aware_restart`", means: "A violation shorter than this restarts nothing." }
                spike_tolerance_time: Duration { default: "as `context_aware_restart`", means: "A spike shorter than this is no violation." }
            }
        }

        impl Limited for $name {
            fn common(&self) -> Common<'_> {
                Common {
                    warning: self.warning_threshold.as_deref(),
                    critical: self.critical_threshold.as_deref(),
                    policy: self.policy.as_deref(),
                    escalation: self.escalation.as_deref(),
                    adjustment: self.adjustment.as_deref(),
                    enforce: self.enforce.as_deref(),
                    sustained: self.sustained_violation_time.as_deref(),
                    spike: self.spike_tolerance_time.as_deref(),
                }
            }
        }
    };
}

/// What every section of limits has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Common<'a> {
    pub(crate) warning: Option<&'a At<Percentage>>,
    pub(crate) critical: Option<&'a At<Percentage>>,
    pub(crate) policy: Option<&'a At<LimitPolicy>>,
    pub(crate) escalation: Option<&'a At<Vec<At<EscalationStep>>>>,
    pub(crate) adjustment: Option<&'a At<Adjustment>>,
    pub(crate) enforce: Option<&'a At<Hold>>,
    pub(crate) sustained: Option<&'a At<Duration>>,
    pub(crate) spike: Option<&'a At<Duration>>,
}

/// A section of limits.
pub(crate) trait Limited {
    /// What it has as every other.
    fn common(&self) -> Common<'_>;
}

section! {
    /// The `limits` section.
    Limits {
        memory: Short<MemoryLimits> { legacy: &["memory_limits"], means: "Memory; a size alone is `max_rss`." }
        cpu: Short<CpuLimits> { legacy: &["cpu_limits"], means: "CPU; a number alone is `max_cores`." }
        io: IoLimits { legacy: &["io_limits"], means: "Reading and writing." }
        process: ProcessLimits { legacy: &["process_limits"], means: "Processes and files." }
        network: NetworkLimits { means: "Connections." }
        storage: StorageLimits { means: "What it may leave on disks." }
        monitoring: Monitoring { means: "How often to look, and what to remember." }
        alerts: Alerts { means: "Who is told of what the policy `alert` finds." }
        nice: Whole<-20, 19> { means: "Its nice value; as `execution.nice`." }
        priority: Whole<-1_000_000, 1_000_000> { old: AS_NICE, means: "A priority; taken as `nice` when it is one." }
        cpu_shares: Whole<2, 262_144> { old: AS_WEIGHT, means: "As `cpu.weight`, where 1024 is usual." }
        max_processes: Count { old: MODERN_PROCESS, means: "As `process.max_processes`." }
        max_open_files: Count { old: MODERN_PROCESS, means: "As `process.max_file_descriptors`." }
    }
}

limited! {
    /// The `memory` section.
    MemoryLimits {
        max_rss: ByteSize { legacy: &["limit_bytes"], means: "Memory in RAM, of all its processes." }
        limit_mb: Whole<1, 1_000_000_000> { means: "The same in megabytes; wins over `max_rss`." }
        max_virtual: ByteSize { means: "Address space, of all its processes. The kernel holds each process to it." }
        max_swap: ByteSize { means: "Memory on disk." }
        max_heap: ByteSize { means: "Data segments, of all its processes. The kernel holds each process to it." }
        check_interval: Duration { default: "10s", means: "The time between two looks; the shortest of a worker holds for all its limits." }
    }
}

limited! {
    /// The `cpu` section.
    CpuLimits {
        max_cores: Factor { means: "CPUs; of this and `max_percent` the smaller one holds." }
        max_percent: CpuPercent { legacy: &["limit_percent"], means: "Percent; 100 is one CPU." }
        throttle_by: Brake { default: "`quota`", means: "How the policy `throttle` slows it down. `quota`: by a limit of the kernel, else by holding it still most of the time. `nice`: it gives way to all others, and gets what they leave; the master needs CAP_SYS_NICE." }
        max_time: Duration { means: "CPU time in all. The kernel holds each process to it, in whole seconds." }
        weight: Weight { default: "100", means: "Its weight among workers when there is not enough for all." }
        check_interval: Duration { default: "10s", means: "As in `memory`." }
    }
}

limited! {
    /// The `io` section.
    IoLimits {
        weight: Weight { default: "100", means: "Its weight among workers when there is not enough for all." }
        max_read_bps: ByteSize { means: "Bytes read from disks per second." }
        max_write_bps: ByteSize { means: "Bytes written to disks per second." }
        max_read_ops: Count { means: "Reads per second." }
        max_write_ops: Count { means: "Writes per second." }
    }
}

limited! {
    /// The `process` section.
    ProcessLimits {
        max_processes: Count { means: "Processes. Where the kernel holds it, threads count too, unless `max_threads` says how many." }
        max_threads: Count { means: "Threads of all its processes." }
        max_file_descriptors: Count { means: "Open descriptors of one process." }
        max_child_processes: Count { means: "Processes besides the first." }
    }
}

limited! {
    /// The `network` section.
    NetworkLimits {
        max_connections: Count { means: "Open sockets, of all its processes." }
        max_receive_bps: ByteSize { means: "Refused: this version cannot limit bandwidth." }
        max_send_bps: ByteSize { means: "Refused: this version cannot limit bandwidth." }
    }
}

limited! {
    /// The `storage` section.
    StorageLimits {
        max_temporary: ByteSize { means: "Bytes in the folder that `TMPDIR` names in its `environment`." }
        max_logs: ByteSize { means: "Bytes in its own log files." }
        directories: Named<ByteSize> { means: "Bytes in each of these folders, by their absolute paths." }
    }
}

section! {
    /// One step of an escalation.
    EscalationStep {
        after: Duration { default: "0s", means: "How long the limit has been exceeded by then." }
        policy: LimitPolicy { default: "required", means: "What is done: any policy but `none` and `escalate`." }
    }
}

section! {
    /// How far `restart_adjusted` raises a limit.
    Adjustment {
        factor: Factor { default: "1.5", means: "The factor for each restart; greater than 1." }
        max: Factor { default: "4", means: "No more than so many times the limit." }
    }
}

section! {
    /// The `monitoring` section.
    Monitoring {
        enabled: bool { default: "true", means: "Whether to look. Without it only what the kernel holds is held." }
        interval: Duration { default: "30s", means: "The time between two records of usage." }
        history_retention: Duration { default: "24h", means: "How long a record is kept. `0s`: none is." }
        check_interval: Duration { default: "10s", means: "The time between two looks at the limits." }
        hysteresis: Percentage { default: "5", means: "How much below a threshold a worker is within it again, in percent of it; at most 50." }
        alerting_enabled: bool { default: "true", means: "Whether the policy `alert` tells anybody but the journal." }
    }
}

section! {
    /// The `alerts` section.
    Alerts {
        command: Vec<At<Filled>> { means: "A program and its arguments. The alert is in its environment (`HSU_ALERT_WORKER`, `HSU_ALERT_LIMIT`, `HSU_ALERT_TEXT`) and, as JSON, on its standard input." }
        webhook: Filled { means: "An address `http://HOST[:PORT]/PATH` that the alert is posted to as JSON." }
        timeout: Duration { default: "10s", means: "How long either may take." }
    }
}

/// What to do beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitPolicy {
    /// Nothing.
    None,
    /// This.
    Do(hsu_model::limits::Action),
    /// One thing after the other.
    Escalate,
}

words! {
    LimitPolicy {
        "none" => Self::None,
        "log" => Self::Do(hsu_model::limits::Action::Log),
        "alert" => Self::Do(hsu_model::limits::Action::Alert),
        "throttle" => Self::Do(hsu_model::limits::Action::Throttle),
        "graceful_shutdown" => Self::Do(hsu_model::limits::Action::GracefulShutdown),
        "immediate_kill" => Self::Do(hsu_model::limits::Action::ImmediateKill),
        "restart" => Self::Do(hsu_model::limits::Action::Restart),
        "restart_adjusted" => Self::Do(hsu_model::limits::Action::RestartAdjusted),
        "escalate" => Self::Escalate,
    }
}

words! {
    Brake {
        "quota" => Self::Hold,
        "nice" => Self::Nice,
    }
}

words! {
    Hold {
        "kernel" => Self::Kernel,
        "watch" => Self::Watch,
    }
}

/// A section whose most important number may stand alone, as in older files.
#[derive(Debug)]
pub(crate) enum Short<T: Alone> {
    /// The number alone.
    Alone(T::Number),
    /// The section.
    Full(T),
}

impl<T: Alone> Short<T> {
    /// The section, when it is one.
    pub(crate) fn full(&self) -> Option<&T> {
        match self {
            Self::Alone(_) => None,
            Self::Full(section) => Some(section),
        }
    }

    /// The number, when it stands alone.
    pub(crate) fn alone(&self) -> Option<&T::Number> {
        match self {
            Self::Alone(number) => Some(number),
            Self::Full(_) => None,
        }
    }
}

/// What a limit is when it stands alone.
pub(crate) trait Alone {
    /// What to write today.
    const MODERN: &'static str;
    /// How it is described.
    const NAME: &'static str;
    /// What it is.
    type Number: Read + std::fmt::Debug;
}

impl Alone for MemoryLimits {
    const MODERN: &'static str = MODERN_MEMORY;
    const NAME: &'static str = "a size";
    type Number = ByteSize;
}

impl Alone for CpuLimits {
    const MODERN: &'static str = MODERN_CPU;
    const NAME: &'static str = "a number";
    type Number = Factor;
}

impl<T: Read + Alone> Read for Short<T> {
    const SHAPE: Shape = Shape::Either(T::NAME, || T::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        if node.entries().is_some() {
            return T::read(node, reader).map(Self::Full);
        }
        let number = T::Number::read(node, reader)?;
        reader.findings.notice("legacy-key", ("limits", T::MODERN), node.place, || {
            (String::from("a limit that stands alone is an old form"), T::MODERN.to_owned())
        });
        Some(Self::Alone(number))
    }
}
