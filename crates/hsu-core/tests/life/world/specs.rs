//! Specs of workers for tests: plain ones, and the changes that a test is about.

use std::collections::BTreeMap;
use std::time::Duration;

use hsu_model::execution::{Execution, Stop, WorkingDirectory};
use hsu_model::health::Health;
use hsu_model::logs::WorkerLogs;
use hsu_model::notify::Notify;
use hsu_model::restart::{Breaker, Restart, RestartContext, RestartPolicy};
use hsu_model::worker::{Managed, Metadata, Profile, Unit, WorkerSpec};

use super::id;

/// How long a plain worker may take to end.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Rests of 5 s that do not grow, without chance.
pub(crate) const STEADY: RestartContext = RestartContext {
    max_retries: 3,
    retry_delay: Duration::from_secs(5),
    backoff_rate: 1.0,
    max_delay: Duration::from_secs(300),
    jitter: 0.0,
};

/// How a plain worker is restarted.
pub(crate) fn restart(policy: RestartPolicy) -> Restart {
    Restart {
        policy,
        on_clean_exit: false,
        default: STEADY,
        health_failures: STEADY,
        resource_violations: STEADY,
        severity_multipliers: BTreeMap::new(),
        profile_multipliers: BTreeMap::new(),
        startup_grace: Duration::ZERO,
        sustained_violation: Restart::DEFAULT_SUSTAINED_VIOLATION,
        spike_tolerance: Duration::ZERO,
        reset_after: Duration::from_secs(60),
        breaker: Breaker { half_open_after: None },
    }
}

/// A worker with these restarts.
pub(crate) fn worker(name: &str, restart: Restart) -> WorkerSpec {
    let execution = Execution {
        program: "/bin/web".to_owned(),
        args: vec![],
        environment: vec![],
        working_directory: WorkingDirectory::OfProgram,
        user: None,
        group: None,
        umask: None,
        nice: None,
        rlimits: vec![],
        make_executable: false,
    };
    let unit = Unit::Managed(Managed {
        execution,
        restart,
        stop: Stop { signal: Stop::DEFAULT_SIGNAL, graceful_timeout: GRACE },
        pid_file: format!("/run/{name}.pid"),
        logs: WorkerLogs::default(),
        notify: Notify::default(),
        sockets: vec![],
        limits: None,
    });
    let (metadata, profile) = (Metadata::default(), Profile::Default);
    WorkerSpec { id: id(name), enabled: true, profile, metadata, health: Health::default(), unit }
}

/// A worker that is always restarted after 5 s.
pub(crate) fn plain(name: &str) -> WorkerSpec {
    worker(name, restart(RestartPolicy::Always))
}

/// The restart settings of a spec.
pub(crate) fn restart_of(spec: &WorkerSpec) -> Option<&Restart> {
    match &spec.unit {
        Unit::Managed(managed) => Some(&managed.restart),
        Unit::Departed(_) | _ => None,
    }
}
