//! The top level of the file and the master's own section.

use hsu_model::limits::Cgroups;
use hsu_model::master::LogLevel;
use hsu_model::worker::Profile;
use std::time::Duration;

use crate::findings::At;
use crate::node::Node;
use crate::reader::Reader;
use crate::schema::logs::{LogCollection, WorkerLogs};
use crate::schema::restart::ContextAware;
use crate::schema::types::{Factor, Filled, Limit, MOST_COUNT, Port, Whole, words};
use crate::schema::unit::Unit;
use crate::schema::{Key, Read, Section, Shape, section};

/// The keys of the top level.
pub(crate) const KEYS: &[Key] = Root::KEYS;

section! {
    /// The whole file.
    Root {
        master: Master {
            also: &["process_manager"],
            means: "The master itself.",
        }
        workers: Workers {
            also: &["managed_processes"],
            default: "required",
            means: "What runs. An empty list is allowed: the master then waits.",
        }
        log_collection: LogCollection {
            default: "off, unless `--enable-log` is given",
            means: "Where the output of workers goes.",
        }
        restart_circuit_breaker: ContextAware {
            old: "write it as `context_aware_restart` in each worker's `control`; it is taken as the default of every worker",
            means: "Restart settings that every worker starts from.",
        }
    }
}

section! {
    /// The `master` section.
    Master {
        port: Port {
            default: "50055",
            means: "The loopback port of the compatible gRPC service.",
            later: "nothing listens there; the master is reached through its control socket",
        }
        log_level: LogLevel {
            default: "info",
            means: "The least severe message that the master writes about itself.",
        }
        force_shutdown_timeout: Duration {
            default: "30s",
            means: "How long a stop of everything may take before it is forced. `0s` is the default.",
        }
        base_directory: Filled {
            default: "folders by `service_context`",
            means: "One folder for every file of the master: PID files and sockets in it, logs in `logs/logs`, state in `state`. A relative path is taken from where the master is started.",
        }
        service_context: ServiceContext {
            also: &["scenario"],
            default: "user",
            means: "Which of the documented folders the master uses; see the table below.",
        }
        start_rate: StartRate {
            means: "How many automatic restarts the whole master allows, so that a storm of failures does not take the host.",
        }
        cgroups: Cgroups {
            default: "auto",
            means: "Which control groups of the kernel keep workers within their `limits`. `auto`: version 2 where it has a controller, else version 1. `v2`, `v1`: that version only. `none`: limits are watched, and set on single processes.",
        }
        logging: MasterLogging {
            later: "the master writes its own log to its standard error; `log_level` sets how much",
            means: "Where the master writes its own log.",
        }
        log_collection: LogCollection {
            old: "write `log_collection` at the top level of the file",
            means: "As at the top level.",
        }
    }
}

section! {
    /// The `start_rate` section.
    StartRate {
        per_second: Limit<Factor> {
            default: "50",
            means: "Automatic restarts per second over a longer time. `unlimited` switches the limit off.",
        }
        burst: Whole<1, MOST_COUNT> {
            default: "200",
            means: "Restarts that may happen at once.",
        }
    }
}

section! {
    /// The `logging` section of the master.
    MasterLogging {
        backend: String { means: "The logging library of a predecessor." }
        level: LogLevel { means: "See `log_level`." }
        format: String { means: "`json` or `console`." }
        output: String { means: "A file." }
    }
}

words! {
    Cgroups {
        "auto" => Self::Auto,
        "v2" => Self::Version2,
        "v1" => Self::Version1,
        "none" => Self::None,
    }
}

words! {
    LogLevel {
        "error" => Self::Error,
        "warn" => Self::Warn,
        "info" => Self::Info,
        "debug" => Self::Debug,
        "trace" => Self::Trace,
    } else { "warning" => "warn" }
}

/// Whose folders are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceContext {
    /// A service of the host.
    System,
    /// A program of one user.
    User,
    /// A program of one login.
    Session,
    /// A trial, all of it in the folder for temporary files.
    Development,
}

words! {
    ServiceContext {
        "system" => Self::System,
        "user" => Self::User,
        "session" => Self::Session,
        "development" => Self::Development,
    } else {
        "daemon" => "system",
        "service" => "system",
        "personal" => "user",
        "desktop" => "session",
        "dev" => "development",
        "test" => "development",
    }
}

section! {
    /// One worker.
    Worker {
        id: String {
            default: "required",
            means: "The name: 1 to 64 ASCII letters, digits, `-` and `_`, not beginning with `-`, not a Windows device (`CON`), unique without regard to case.",
        }
        r#type: WorkerType {
            default: "required",
            means: "Who owns the process. `integrated` is not built yet.",
        }
        profile_type: WorkerProfile {
            default: "default",
            means: "What kind of program it is; selects a factor of `worker_profile_multipliers`.",
        }
        enabled: bool {
            default: "true",
            means: "`false`: checked, known, and not started.",
        }
        unit: Unit {
            also: &["management"],
            default: "required",
            means: "What runs, in a section named like `type`.",
        }
        log_collection: WorkerLogs {
            means: "As `control.log_collection`, for those who prefer it here.",
        }
    }
}

/// Who owns the process of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerType {
    /// We start it.
    Managed,
    /// Somebody else starts it, we watch it.
    Unmanaged,
    /// We start it, and it speaks with us.
    Integrated,
}

words! {
    WorkerType {
        "managed" => Self::Managed,
        "unmanaged" => Self::Unmanaged,
        "integrated" => Self::Integrated,
    } else {
        "standard_managed" => "managed",
        "integrated_managed" => "integrated",
    }
}

/// A profile as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerProfile(pub(crate) Profile);

words! {
    WorkerProfile {
        "batch" => Self(Profile::Batch),
        "web" => Self(Profile::Web),
        "database" => Self(Profile::Database),
        "worker" => Self(Profile::Worker),
        "scheduler" => Self(Profile::Scheduler),
        "default" => Self(Profile::Default),
    } else {
        // The words of the predecessors' own examples.
        "short_running_task" => "batch",
        "long_running_service" => "default",
        "test" => "default",
        "" => "default",
    }
}

/// The workers, as a list or by name.
#[derive(Debug)]
pub(crate) struct Workers(pub(crate) Vec<Listed>);

/// A worker and the key it stands under, when it does.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) key: Option<At<String>>,
    pub(crate) worker: At<Worker>,
}

impl Read for Workers {
    const SHAPE: Shape = Shape::List(|| Worker::SHAPE);

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let items = reader.list(node)?;
            let mut listed = Vec::with_capacity(items.len());
            for item in items {
                listed.extend(reader.required(item).map(|worker| Listed { key: None, worker }));
            }
            return Some(Self(listed));
        };
        let what = "write a list: `- id: NAME`";
        reader.findings.notice("legacy-key", ("workers", what), node.place, || {
            (String::from("workers by name are an old form"), what.to_owned())
        });
        let mut listed = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = At { value: entry.key.to_string(), place: entry.key_place };
            let worker = reader.required(&entry.value);
            listed.extend(worker.map(|worker| Listed { key: Some(key), worker }));
        }
        Some(Self(listed))
    }
}
