//! Tests of the restart decision.

use alloc::collections::BTreeMap;
use core::time::Duration;

use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::restart::{Breaker, Restart, RestartContext, RestartPolicy};
use hsu_model::worker::Profile;

use super::*;

fn restart(policy: RestartPolicy) -> Restart {
    let plain = RestartContext { jitter: 0.0, ..RestartContext::DEFAULT };
    Restart {
        policy,
        on_clean_exit: false,
        default: plain,
        health_failures: plain,
        resource_violations: plain,
        severity_multipliers: BTreeMap::from([("warning".into(), 0.5), ("emergency".into(), 2.0)]),
        profile_multipliers: BTreeMap::from([("batch".into(), 3.0)]),
        startup_grace: Duration::ZERO,
        sustained_violation: Duration::ZERO,
        spike_tolerance: Duration::ZERO,
        reset_after: Duration::from_secs(60),
        breaker: Breaker { half_open_after: None },
    }
}

fn after_exit(restart: &Restart, exit: Exit, attempts: u32) -> Verdict {
    decide(restart, Profile::Default, exit, Cause::Exit, attempts, 0)
}

#[test]
fn each_policy_restarts_the_exits_it_names() {
    let zero = Exit::Code(0);
    let failures = [
        Exit::Code(1),
        Exit::Signal { number: 9, core: false },
        Exit::Unknown(UnknownExit::Reboot),
    ];
    for (policy, clean, failed) in [
        (RestartPolicy::Never, false, false),
        (RestartPolicy::OnFailure, false, true),
        (RestartPolicy::Always, true, true),
        (RestartPolicy::UnlessStopped, true, true),
    ] {
        let restart = restart(policy);
        assert_eq!(after_exit(&restart, zero, 0) != Verdict::Final, clean, "{policy:?}");
        for exit in failures {
            assert_eq!(after_exit(&restart, exit, 0) != Verdict::Final, failed, "{policy:?}");
        }
    }
}

#[test]
fn rests_grow_by_the_rate_up_to_the_cap_and_the_last_attempt_gives_up() {
    let mut restart = restart(RestartPolicy::Always);
    restart.default.max_retries = 4;
    restart.default.max_delay = Duration::from_secs(10);
    let rests: alloc::vec::Vec<_> = (0..5)
        .map(|attempts| match after_exit(&restart, Exit::Code(1), attempts) {
            Verdict::Retry { delay, .. } => Some(delay.as_millis()),
            Verdict::GiveUp | Verdict::Final => None,
        })
        .collect();
    assert_eq!(rests, [Some(5000), Some(7500), Some(10_000), Some(10_000), None]);
}

#[test]
fn no_retries_means_no_limit_and_no_delay_means_at_once() {
    let mut restart = restart(RestartPolicy::Always);
    restart.default.max_retries = 0;
    restart.default.retry_delay = Duration::ZERO;
    let verdict = after_exit(&restart, Exit::Code(1), u32::MAX - 1);
    assert!(matches!(verdict, Verdict::Retry { limit: 0, delay: Duration::ZERO, .. }));
}

#[test]
fn multipliers_scale_retries_and_rests_and_leave_at_least_one_attempt() {
    let restart = restart(RestartPolicy::OnFailure);
    let warning = Cause::Health(Severity::Warning);
    let verdict = decide(&restart, Profile::Batch, Exit::Code(1), warning, 0, 0);
    let expected = Verdict::Retry { attempt: 1, limit: 4, delay: Duration::from_millis(7500) };
    assert_eq!(verdict, expected);
    let mut small = restart;
    small.health_failures.max_retries = 1;
    let verdict = decide(&small, Profile::Default, Exit::Code(1), warning, 0, 0);
    assert!(matches!(verdict, Verdict::Retry { limit: 1, .. }));
}

#[test]
fn jitter_takes_at_most_its_share_off() {
    let mut restart = restart(RestartPolicy::Always);
    restart.default.jitter = 0.5;
    let rest = |entropy| match decide(
        &restart,
        Profile::Default,
        Exit::Code(1),
        Cause::Exit,
        0,
        entropy,
    ) {
        Verdict::Retry { delay, .. } => delay,
        Verdict::GiveUp | Verdict::Final => Duration::MAX,
    };
    assert_eq!(rest(0), Duration::from_secs(5));
    assert_eq!(rest(u64::MAX), Duration::from_millis(2500));
}

#[test]
fn a_rest_that_has_come_to_its_cap_stays_there() {
    let mut restart = restart(RestartPolicy::Always);
    let cap = Duration::from_secs(8);
    let falling =
        RestartContext { retry_delay: cap, max_delay: cap, backoff_rate: 0.5, ..restart.default };
    restart.default = RestartContext { max_retries: 0, ..falling };
    let verdict = after_exit(&restart, Exit::Code(1), 3);
    assert!(matches!(verdict, Verdict::Retry { delay, .. } if delay == cap), "{verdict:?}");
}

#[test]
fn what_is_shown_of_the_settings_is_what_the_first_failure_meets_without_its_jitter() {
    let mut restart = restart(RestartPolicy::OnFailure);
    restart.health_failures.jitter = 1.0;
    restart.resource_violations.max_retries = 0;
    for (cause, factor, limit) in [
        (Cause::Exit, 3.0, 9),
        (Cause::Health(Severity::Warning), 1.5, 4),
        (Cause::Resource(Severity::Emergency), 6.0, 0),
    ] {
        let shown = in_effect(&restart, Profile::Batch, cause);
        assert_eq!(shown, (factor, limit, Duration::from_secs(5).mul_f64(factor)), "{cause:?}");
        let verdict = decide(&restart, Profile::Batch, Exit::Code(1), cause, 0, 0);
        let met = Verdict::Retry { attempt: 1, limit, delay: shown.2 };
        assert_eq!(verdict, met, "{cause:?}");
    }
}
