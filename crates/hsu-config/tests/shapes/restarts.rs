//! Shapes of restarts and stops.

use super::{At, Shape, built, cause, debug, holds, managed, older};

pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = policies();
    all.extend(aware());
    all.extend(factors_and_times());
    all.extend(older_restarts());
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
    for (text, means) in [("stop_signal: STOP", "19"), ("stop_signal: 20", "20")] {
        let warns = &["does not ask it to end"];
        all.push(older(At::Control, text, |f| debug(managed(f).stop.signal), means, warns));
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
        own(
            "health_failures: { max_retries: 1 }",
            |f| cause(managed(f).restart.health_failures),
            "1 5s 1.5",
        ),
        built(
            Aware,
            "resource_violations: { retry_delay: 1m }",
            |f| cause(managed(f).restart.resource_violations),
            "5 60s 1.5",
        ),
    ]
}

fn factors_and_times() -> Vec<Shape> {
    use At::Aware;
    let own = |text, look, means| built(Aware, text, look, means);
    vec![
        built(
            Aware,
            "severity_multipliers: { warning: 1, critical: 2.5 }",
            |f| debug(&managed(f).restart.severity_multipliers),
            r#"{"critical": 2.5, "warning": 1.0}"#,
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
        built(
            Aware,
            "startup_grace_period: 1m",
            |f| debug(managed(f).restart.startup_grace),
            "60s",
        ),
        built(
            Aware,
            "sustained_violation_time: 1m",
            |f| debug(managed(f).restart.sustained_violation),
            "60s",
        ),
        built(
            Aware,
            "spike_tolerance_time: 1m",
            |f| debug(managed(f).restart.spike_tolerance),
            "60s",
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
    let fleet_warns = &["`restart_circuit_breaker` is an old form", "`policy` is an old form"][..];
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

#[test]
fn restarts_and_stops_mean_what_is_documented() {
    holds(&shapes());
}
