//! Shapes of restarts, stops and resource limits.

use super::{At, Shape, built, cause, debug, holds, later, managed, older};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = policies();
    all.extend(aware());
    all.extend(factors_and_times());
    all.extend(older_restarts());
    all.extend(limits());
    all
}

fn policies() -> Vec<Shape> {
    let mut all = vec![
        built(
            At::Control,
            "restart_on_clean_exit: true",
            |f| debug(managed(f).restart.on_clean_exit),
            "true",
        ),
        built(
            At::Control,
            "graceful_timeout: 100ms",
            |f| debug(managed(f).stop.graceful_timeout),
            "100ms",
        ),
        older(
            At::Control,
            "graceful_timeout: 0s",
            |f| debug(managed(f).stop.graceful_timeout),
            "20s",
            &["the default of 20s"],
        ),
    ];
    for (text, means) in [
        ("restart_policy: never", "Never"),
        ("restart_policy: on-failure", "OnFailure"),
        ("restart_policy: on_failure", "OnFailure"),
        ("restart_policy: always", "Always"),
        ("restart_policy: unless-stopped", "UnlessStopped"),
        ("restart_policy: unless_stopped", "UnlessStopped"),
    ] {
        all.push(built(At::Control, text, |f| debug(managed(f).restart.policy), means));
    }
    for (text, means) in [
        ("stop_signal: TERM", "15"),
        ("stop_signal: SIGQUIT", "3"),
        ("stop_signal: int", "2"),
        ("stop_signal: 10", "10"),
        ("stop_signal: RTMIN+3", "37"),
    ] {
        all.push(built(At::Control, text, |f| debug(managed(f).stop.signal), means));
    }
    all
}

fn aware() -> Vec<Shape> {
    use At::Aware;
    let own = |text, look, means| built(Aware, text, look, means);
    vec![
        own(
            "default: { max_retries: 7, retry_delay: 2s, backoff_rate: 3 }",
            |f| cause(managed(f).restart.default),
            "7 2s 3",
        ),
        own(
            "default: { max_retries: 7, retry_delay: 2s, backoff_rate: 3 }",
            |f| cause(managed(f).restart.health_failures),
            "7 2s 3",
        ),
        own(
            "default: { max_retries: 7, retry_delay: 2s, backoff_rate: 3 }",
            |f| cause(managed(f).restart.resource_violations),
            "9 4s 1.5",
        ),
        own("default: { max_retries: 0 }", |f| cause(managed(f).restart.default), "0 5s 1.5"),
        own(
            "default: { max_retries: unlimited }",
            |f| cause(managed(f).restart.resource_violations),
            "0 10s 1.5",
        ),
        own(
            "default: { max_delay: 1h, jitter: 20% }",
            |f| debug((managed(f).restart.default.max_delay, managed(f).restart.default.jitter)),
            "(3600s, 0.2)",
        ),
        own("default: { jitter: 0 }", |f| debug(managed(f).restart.default.jitter), "0.0"),
        older(
            Aware,
            "health_failures: { max_retries: 1 }",
            |f| cause(managed(f).restart.health_failures),
            "1 5s 1.5",
            &["`health_failures` is not built yet"],
        ),
        older(
            Aware,
            "resource_violations: { retry_delay: 1m }",
            |f| cause(managed(f).restart.resource_violations),
            "5 60s 1.5",
            &["`resource_violations` is not built yet"],
        ),
    ]
}

fn factors_and_times() -> Vec<Shape> {
    use At::Aware;
    let own = |text, look, means| built(Aware, text, look, means);
    vec![
        older(
            Aware,
            "severity_multipliers: { warning: 1, critical: 2.5 }",
            |f| debug(&managed(f).restart.severity_multipliers),
            r#"{"critical": 2.5, "warning": 1.0}"#,
            &["`severity_multipliers` is not built yet"],
        ),
        own(
            "worker_profile_multipliers: { batch: 2 }",
            |f| debug(&managed(f).restart.profile_multipliers),
            r#"{"batch": 2.0}"#,
        ),
        own(
            "process_profile_multipliers: { web: 2 }",
            |f| debug(&managed(f).restart.profile_multipliers),
            r#"{"web": 2.0}"#,
        ),
        older(
            Aware,
            "worker_type_multipliers: { web: 2 }",
            |f| debug(&managed(f).restart.profile_multipliers),
            r#"{"web": 2.0}"#,
            &["`worker_type_multipliers` is an old spelling of `worker_profile_multipliers`"],
        ),
        older(
            Aware,
            "startup_grace_period: 1m",
            |f| debug(managed(f).restart.startup_grace),
            "60s",
            &["`startup_grace_period` is not built yet"],
        ),
        older(
            Aware,
            "sustained_violation_time: 1m",
            |f| debug(managed(f).restart.sustained_violation),
            "60s",
            &["`sustained_violation_time` is not built yet"],
        ),
        older(
            Aware,
            "spike_tolerance_time: 1m",
            |f| debug(managed(f).restart.spike_tolerance),
            "60s",
            &["`spike_tolerance_time` is not built yet"],
        ),
        own("reset_after: 2m", |f| debug(managed(f).restart.reset_after), "120s"),
        own(
            "circuit_breaker: { half_open_after: 1m }",
            |f| debug(managed(f).restart.breaker.half_open_after),
            "Some(60s)",
        ),
        own(
            "circuit_breaker: { half_open_after: never }",
            |f| debug(managed(f).restart.breaker.half_open_after),
            "None",
        ),
        older(
            Aware,
            "default: { policy: always }",
            |f| debug(managed(f).restart.policy),
            "Always",
            &["`policy` is an old form"],
        ),
    ]
}

fn older_restarts() -> Vec<Shape> {
    let section = &["`restart` is an old form"][..];
    let text = "restart: { policy: always, max_retries: 4, retry_delay: 1s, backoff_rate: 2 }";
    let fleet = "restart_circuit_breaker: { default: { policy: always, max_retries: 6 }, health_failures: { max_retries: 9 }, startup_grace_period: 10m }";
    let fleet_warns = &[
        "`restart_circuit_breaker` is an old form",
        "`policy` is an old form",
        "`health_failures` is not built yet",
        "`startup_grace_period` is not built yet",
    ][..];
    vec![
        older(At::Control, text, |f| cause(managed(f).restart.default), "4 1s 2", section),
        older(At::Control, text, |f| debug(managed(f).restart.policy), "Always", section),
        older(At::Managed, text, |f| cause(managed(f).restart.default), "4 1s 2", section),
        older(At::Root, fleet, |f| cause(managed(f).restart.default), "6 5s 1.5", fleet_warns),
        older(
            At::Root,
            fleet,
            |f| cause(managed(f).restart.health_failures),
            "9 5s 1.5",
            fleet_warns,
        ),
        older(At::Root, fleet, |f| debug(managed(f).restart.policy), "Always", fleet_warns),
        older(At::Root, fleet, |f| debug(managed(f).restart.startup_grace), "600s", fleet_warns),
    ]
}

/// Limits are checked and not enforced: one warning, and what must be `rlimits` works.
fn limits() -> Vec<Shape> {
    let told = &["`limits` is not built yet"][..];
    let mut all: Vec<_> = [
        "limits: { memory: { max_rss: 1048576, max_virtual: 1GB, max_swap: 0, warning_threshold: 80, policy: log, check_interval: 5s } }",
        "limits: { memory: { limit_mb: 128, policy: restart_adjusted } }",
        "limits: { cpu: { max_cores: 1.5, max_percent: 50, max_time: 1h, warning_threshold: 80%, policy: throttle, check_interval: 5s } }",
        "limits: { io: { weight: 1, max_read_bps: 1MB, max_write_bps: 1, max_read_ops: 1, max_write_ops: 1, warning_threshold: 0, policy: none } }",
        "limits: { process: { max_processes: 1, max_file_descriptors: 1, max_child_processes: 1, warning_threshold: 1, policy: alert } }",
        "limits: { monitoring: { enabled: true, interval: 30s, history_retention: 24h, alerting_enabled: true } }",
        "limits: { priority: 5, cpu_shares: 1024 }",
        "limits: { memory: { policy: graceful_shutdown }, cpu: { policy: immediate_kill } }",
        "limits: { memory: { policy: restart } }",
    ]
    .map(|text| later(At::Control, text, told))
    .into();
    let older_spelling = [
        ("limits: { memory: { limit_bytes: 1 } }", "`limit_bytes` is an old spelling of `max_rss`"),
        (
            "limits: { cpu: { limit_percent: 80 } }",
            "`limit_percent` is an old spelling of `max_percent`",
        ),
        (
            "limits: { memory_limits: { max_rss: 1 } }",
            "`memory_limits` is an old spelling of `memory`",
        ),
        ("limits: { cpu_limits: { max_percent: 1 } }", "`cpu_limits` is an old spelling of `cpu`"),
        ("limits: { io_limits: { weight: 1 } }", "`io_limits` is an old spelling of `io`"),
        (
            "limits: { process_limits: { max_processes: 1 } }",
            "`process_limits` is an old spelling of `process`",
        ),
        ("limits: { memory: 512MB }", "a limit that stands alone is an old form"),
        ("limits: { cpu: 1.5 }", "a limit that stands alone is an old form"),
        ("limits: { max_processes: 1 }", "`max_processes` is an old form"),
        ("limits: { max_open_files: 1 }", "`max_open_files` is an old form"),
    ];
    for (text, warning) in older_spelling {
        let both: &'static [&'static str] =
            Box::leak(Box::new(["`limits` is not built yet", warning]));
        all.push(later(At::Control, text, both));
    }
    all
}

#[test]
fn restarts_stops_and_limits_mean_what_is_documented() {
    holds(&shapes());
}
