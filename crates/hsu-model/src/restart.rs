//! When and how fast a worker is restarted.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

/// Whether an exit is followed by a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// An exit is final.
    Never,
    /// Any exit but exit code 0 is followed by a restart.
    OnFailure,
    /// Every exit is followed by a restart.
    Always,
    /// As `Always`, but a worker that the operator stopped stays stopped when the master starts again.
    UnlessStopped,
}

/// Everything that decides about the restarts of one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    /// Whether to restart at all.
    pub policy: RestartPolicy,
    /// Whether exit code 0 counts as a failure for `OnFailure` (the predecessors' reading).
    pub on_clean_exit: bool,
    /// After an exit.
    pub default: RestartContext,
    /// After failed health checks.
    pub health_failures: RestartContext,
    /// After a resource limit was exceeded.
    pub resource_violations: RestartContext,
    /// Factors on retries and delays by severity: `warning`, `critical`, `emergency`.
    pub severity_multipliers: BTreeMap<String, f64>,
    /// Factors on retries and delays by the worker's profile.
    pub profile_multipliers: BTreeMap<String, f64>,
    /// Time after a start in which health and resource findings restart nothing. Crashes always count.
    pub startup_grace: Duration,
    /// A violation shorter than this restarts nothing.
    pub sustained_violation: Duration,
    /// A spike shorter than this is no violation.
    pub spike_tolerance: Duration,
    /// A run that lasted this long forgets the earlier attempts.
    pub reset_after: Duration,
    /// How the breaker behaves.
    pub breaker: Breaker,
}

/// Retries and delays of one cause of restarts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartContext {
    /// Attempts before the breaker opens; 0 is no limit (documented, as in the originals).
    pub max_retries: u32,
    /// The rest before the first attempt; zero is at once.
    pub retry_delay: Duration,
    /// The factor from one rest to the next; greater than 0.
    pub backoff_rate: f64,
    /// No rest is longer.
    pub max_delay: Duration,
    /// Random share taken off each rest, 0.0 (none) to 1.0 (full jitter).
    pub jitter: f64,
}

impl RestartContext {
    /// The documented defaults: 3 retries, 5 s, factor 1.5; capped at 5 minutes, a tenth of jitter.
    pub const DEFAULT: Self = Self {
        max_retries: 3,
        retry_delay: Duration::from_secs(5),
        backoff_rate: 1.5,
        max_delay: Duration::from_secs(300),
        jitter: 0.1,
    };
}

/// The circuit breaker of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// How long an open breaker waits before one trial; none means until an operator resets it.
    pub half_open_after: Option<Duration>,
}

impl Restart {
    /// The documented default of `startup_grace_period`.
    pub const DEFAULT_STARTUP_GRACE: Duration = Duration::from_secs(120);
    /// The documented default of `sustained_violation_time`.
    pub const DEFAULT_SUSTAINED_VIOLATION: Duration = Duration::from_secs(300);
    /// How long a run must last to forget earlier attempts, when nothing is configured.
    pub const DEFAULT_RESET_AFTER: Duration = Duration::from_secs(60);
    /// How long an open breaker rests, when nothing is configured.
    pub const DEFAULT_HALF_OPEN_AFTER: Duration = Duration::from_secs(300);
}

/// How many automatic starts the whole master allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartRate {
    /// Automatic restarts per second over a longer time; infinite when `f64::INFINITY`.
    pub per_second: f64,
    /// Restarts that may happen at once.
    pub burst: u32,
}

impl StartRate {
    /// 50 restarts a second, 200 at once (the promise R9).
    pub const DEFAULT: Self = Self { per_second: 50.0, burst: 200 };
}
