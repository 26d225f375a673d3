//! What a worker is: the `unit` section and the three kinds of it.

use std::time::Duration;

use crate::findings::At;
use crate::schema::discovery::{Discovery, LogFile, SystemControl};
use crate::schema::execution::{Execution, ProcessFile, Signal};
use crate::schema::flat::{
    FlatControl, FlatHealth, FlatLimits, FlatLogging, FlatRestart, FlatRunOptions,
};
use crate::schema::health::{HealthCheck, HealthLists, RunOptions};
use crate::schema::limits::Limits;
use crate::schema::logs::WorkerLogs;
use crate::schema::notify::{Notify, Socket};
use crate::schema::restart::{ContextAware, LegacyRestart, Policy};
use crate::schema::section;
use crate::schema::types::{Filled, Named};

const FLAT: &str =
    "write `unit.managed` with `control.execution`, `control.restart_policy` and so on";
const MOVED: &str = "write it in `control`";

section! {
    /// The `unit` section.
    Unit {
        managed: ManagedUnit {
            also: &["standard_managed"],
            means: "A program that we start and own.",
        }
        unmanaged: UnmanagedUnit {
            means: "A process that somebody else starts and we watch.",
        }
        integrated: IntegratedUnit {
            also: &["integrated_managed"],
            later: "the worker is checked and not created",
            means: "A program that we start and that speaks our control protocol.",
        }
        metadata: Metadata {
            old: FLAT,
            means: "Flat form: as `managed.metadata`.",
        }
        control: FlatControl {
            old: FLAT,
            means: "Flat form: what to execute.",
        }
        restart_policy: FlatRestart {
            old: FLAT,
            means: "Flat form: when to restart.",
        }
        logging: FlatLogging {
            old: FLAT,
            means: "Flat form: what to capture.",
        }
        health_check: FlatHealth {
            old: FLAT,
            means: "Flat form: how to check it.",
        }
        health_check_run_options: FlatRunOptions {
            old: FLAT,
            means: "Flat form: when to check it.",
        }
        resource_limits: FlatLimits {
            old: FLAT,
            means: "Flat form: what it may use.",
        }
    }
}

section! {
    /// The `managed` section.
    ManagedUnit {
        metadata: Metadata { means: "Texts for people." }
        control: Control { default: "required", means: "How it is started, restarted and stopped." }
        health_check: HealthCheck { means: "How to tell that it works: ready while it passes, restarted when it fails." }
        health: HealthLists { means: "The same in parts: what tells that it has come up, is ready, is alive." }
        execution: Execution { old: MOVED, means: "As `control.execution`." }
        restart: LegacyRestart { old: MOVED, means: "As `control.restart`." }
        limits: Limits { old: MOVED, means: "As `control.limits`." }
    }
}

section! {
    /// The `integrated` section.
    IntegratedUnit {
        metadata: Metadata { means: "Texts for people." }
        control: Control { default: "required", means: "As `managed.control`." }
        health_check_run_options: RunOptions { means: "When to check it; how is known." }
        health_check: HealthCheck { means: "As `managed.health_check`." }
        health: HealthLists { means: "As `managed.health`." }
    }
}

section! {
    /// The `unmanaged` section.
    UnmanagedUnit {
        metadata: Metadata { means: "Texts for people." }
        discovery: Discovery { default: "required", means: "How to find it." }
        control: SystemControl { means: "What we may do to it." }
        limits: Limits { means: "What it may use; as `managed.control.limits`. Put in force with `control.can_limit`, else watched." }
        log_files: Vec<At<LogFile>> { default: "none", means: "Files that it writes. Their lines are its output, and go where that of any worker goes." }
        log_collection: WorkerLogs { means: "Where those lines go, when not as `log_collection.default_worker` says." }
        health_check: HealthCheck { means: "As `managed.health_check`: it is restarted where `control.can_restart` allows that." }
        health: HealthLists { means: "As `managed.health`." }
    }
}

section! {
    /// The `metadata` section.
    Metadata {
        name: Filled { default: "the worker's `id`", means: "A display name." }
        description: String { means: "What it is for." }
        version: String { means: "Its version, free text." }
        tags: Vec<At<String>> { means: "Free tags." }
        labels: Named<String> { means: "Free labels." }
    }
}

section! {
    /// The `control` section.
    Control {
        execution: Execution { default: "required", means: "What to execute." }
        restart_policy: Policy {
            default: "on-failure",
            means: "Which exits are followed by a restart. `never`: none. `on-failure`: any but exit code 0. `always`: every exit. `unless-stopped`: every exit, and a worker that was stopped by hand stays stopped when the master starts again.",
        }
        restart_on_clean_exit: bool {
            default: "false",
            means: "With `on-failure`: restart after exit code 0 too, as the predecessors did.",
        }
        context_aware_restart: ContextAware { means: "How often and how fast." }
        restart: LegacyRestart {
            old: "write `restart_policy`, and the rest in `context_aware_restart.default`",
            means: "Policy, retries and delays in one section.",
        }
        graceful_timeout: Duration {
            default: "20s",
            means: "How long the worker may take to end after `stop_signal` before its whole tree is killed. `0s` is the default; `1ms` kills at once.",
        }
        stop_signal: Signal {
            default: "TERM",
            means: "The signal that asks the worker's whole tree to end, by name (`QUIT`, `SIGQUIT`, `RTMIN+3`) or number.",
        }
        process_file: ProcessFile { means: "Where this worker's PID file is, when not beside the others." }
        log_collection: WorkerLogs { means: "Where its output goes, when not as `log_collection.default_worker` says." }
        notify: Notify { default: "none: it is not listened to", means: "What it tells of itself, by sd_notify or by a line at a descriptor." }
        sockets: Vec<At<Socket>> { default: "none", means: "Sockets that listen before it starts and while it is replaced; it finds them open from descriptor 3 on, as `LISTEN_FDS` tells." }
        limits: Limits { means: "What it may use; see `docs/guide/limits.md`." }
    }
}
