//! When and how fast a worker is restarted, as the file says it.

use hsu_model::restart::RestartPolicy;
use std::time::Duration;

use crate::schema::section;
use crate::schema::types::{Count, Factor, Jitter, Limit, Named, words};

const ONE_POLICY: &str = "write `restart_policy` in `control`; one policy holds for every cause";

/// A restart policy as it is written.
pub(crate) type Policy = RestartPolicy;

words! {
    RestartPolicy {
        "never" => Self::Never,
        "on-failure" => Self::OnFailure,
        "always" => Self::Always,
        "unless-stopped" => Self::UnlessStopped,
    }
}

section! {
    /// The `context_aware_restart` section.
    ContextAware {
        default: Context {
            means: "After an exit.",
        }
        health_failures: Context {
            default: "as `default`",
            means: "After failed health checks.",
        }
        resource_violations: Context {
            default: "two more retries and twice the delay of `default`, factor 1.5",
            means: "After a resource limit was exceeded.",
        }
        severity_multipliers: Named<Factor> {
            default: "warning 0.5, critical 1, emergency 2",
            means: "Factors on retries and delays by severity. What is written replaces all of the default.",
        }
        worker_profile_multipliers: Named<Factor> {
            also: &["process_profile_multipliers"],
            legacy: &["worker_type_multipliers"],
            default: "batch 3, web 1, database 5, worker 2, scheduler 2.5, default 1",
            means: "Factors on retries and delays by `profile_type`. What is written replaces all of the default.",
        }
        startup_grace_period: Duration {
            default: "2m",
            means: "Time after a start in which health and resource findings restart nothing. A crash always counts.",
        }
        sustained_violation_time: Duration {
            default: "5m",
            means: "A resource violation shorter than this restarts nothing.",
        }
        spike_tolerance_time: Duration {
            default: "0s",
            means: "A spike shorter than this is no violation.",
        }
        reset_after: Duration {
            default: "1m",
            means: "A run that lasted this long forgets the earlier attempts.",
        }
        circuit_breaker: CircuitBreaker {
            means: "What happens after the last retry.",
        }
    }
}

section! {
    /// The settings of one cause of restarts.
    Context {
        max_retries: Limit<Count> {
            default: "3",
            means: "Attempts before the breaker opens. `0` and `unlimited`: no limit.",
        }
        retry_delay: Duration {
            default: "5s",
            means: "The rest before the first attempt. `0s`: at once.",
        }
        backoff_rate: Factor {
            default: "1.5",
            means: "The factor from one rest to the next.",
        }
        max_delay: Duration {
            default: "5m, or `retry_delay` when that is longer",
            means: "No rest is longer.",
        }
        jitter: Jitter {
            default: "0.1",
            means: "The random share taken off each rest, so that many workers do not start at once.",
        }
        policy: Policy {
            old: ONE_POLICY,
            means: "The restart policy.",
        }
    }
}

section! {
    /// The `circuit_breaker` section.
    CircuitBreaker {
        half_open_after: Limit<Duration> {
            default: "5m",
            means: "How long an open breaker waits before one trial. `never`: until somebody resets or starts it, or starts the master anew.",
        }
    }
}

section! {
    /// The `restart` section of older files.
    LegacyRestart {
        policy: Policy { means: "See `restart_policy`." }
        max_retries: Limit<Count> { means: "See `context_aware_restart.default`." }
        retry_delay: Duration { means: "See `context_aware_restart.default`." }
        backoff_rate: Factor { means: "See `context_aware_restart.default`." }
    }
}
