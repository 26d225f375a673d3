//! Restarts: what the worker says, then what the fleet says, then the documented default.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hsu_model::restart::{Breaker, Restart, RestartContext, RestartPolicy};

use super::{Context, one_of};
use crate::findings::{At, shown};
use crate::schema::flat::FlatRestart;
use crate::schema::restart::{Context as RawContext, ContextAware, LegacyRestart};
use crate::schema::types::{Count, Factor, Limit, Named};
use crate::value::duration;

/// Everything that a worker's file says about restarts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written<'r> {
    pub(super) policy: Option<&'r At<RestartPolicy>>,
    pub(super) on_clean_exit: Option<&'r At<bool>>,
    pub(super) aware: Option<&'r ContextAware>,
    pub(super) legacy: Option<&'r LegacyRestart>,
    pub(super) flat: Option<&'r FlatRestart>,
    /// What holds for every worker.
    pub(super) fleet: Option<&'r ContextAware>,
}

/// The settings of one cause, as far as they are written.
#[derive(Clone, Copy, Debug, Default)]
struct Partial<'r> {
    max_retries: Option<&'r At<Limit<Count>>>,
    retry_delay: Option<&'r At<Duration>>,
    backoff_rate: Option<&'r At<Factor>>,
    max_delay: Option<&'r At<Duration>>,
    jitter: Option<f64>,
}

const SEVERITIES: [(&str, f64); 3] = [("warning", 0.5), ("critical", 1.0), ("emergency", 2.0)];
const PROFILES: [(&str, f64); 6] = [
    ("batch", 3.0),
    ("web", 1.0),
    ("database", 5.0),
    ("worker", 2.0),
    ("scheduler", 2.5),
    ("default", 1.0),
];

/// The resolved restart settings.
pub(super) fn resolve(written: &Written<'_>, context: &mut Context<'_>) -> Restart {
    let aware = written.aware;
    let default = cause(own_default(written, context), RestartContext::DEFAULT, context);
    let health = layered(written, |aware| aware.health_failures.as_deref());
    let resource = layered(written, |aware| aware.resource_violations.as_deref());
    // Documented: two more retries and twice the delay, and a gentle factor.
    let milder = RestartContext {
        max_retries: match default.max_retries {
            0 => 0,
            retries => retries.saturating_add(2),
        },
        retry_delay: default.retry_delay.saturating_mul(2),
        backoff_rate: RestartContext::DEFAULT.backoff_rate,
        ..default
    };
    let fleet = written.fleet;
    let time = |of: fn(&ContextAware) -> Option<&At<Duration>>| {
        aware.and_then(of).or_else(|| fleet.and_then(of))
    };
    let reset = time(|aware| aware.reset_after.as_deref());
    Restart {
        policy: policy(written, context),
        on_clean_exit: written.on_clean_exit.is_some_and(|switch| switch.value),
        default,
        health_failures: cause(health, default, context),
        resource_violations: cause(resource, milder, context),
        severity_multipliers: factors(written, &SEVERITIES, context, |aware| {
            aware.severity_multipliers.as_deref()
        }),
        profile_multipliers: factors(written, &PROFILES, context, |aware| {
            aware.worker_profile_multipliers.as_deref()
        }),
        startup_grace: time(|aware| aware.startup_grace_period.as_deref())
            .map_or(Restart::DEFAULT_STARTUP_GRACE, |time| time.value),
        sustained_violation: time(|aware| aware.sustained_violation_time.as_deref())
            .map_or(Restart::DEFAULT_SUSTAINED_VIOLATION, |time| time.value),
        spike_tolerance: time(|aware| aware.spike_tolerance_time.as_deref())
            .map_or(Duration::ZERO, |time| time.value),
        reset_after: never_zero(reset, "every attempt would be forgotten at once", context)
            .unwrap_or(Restart::DEFAULT_RESET_AFTER),
        breaker: breaker(written, context),
    }
}

fn policy(written: &Written<'_>, context: &mut Context<'_>) -> RestartPolicy {
    let legacy = written.legacy.and_then(|legacy| legacy.policy.as_deref());
    let flat = written.flat.and_then(|flat| flat.strategy.as_deref());
    let own = one_of("restart_policy", written.policy, legacy, context);
    let own = one_of("restart_policy", own, flat, context);
    let in_default = |aware: &'_ ContextAware| {
        let default = aware.default.as_deref()?;
        default.value.policy.as_deref().map(|policy| policy.value)
    };
    own.map(|policy| policy.value)
        .or_else(|| written.aware.and_then(in_default))
        .or_else(|| written.fleet.and_then(in_default))
        .unwrap_or(RestartPolicy::OnFailure)
}

/// The `default` block, under whichever of its names.
fn own_default<'r>(written: &Written<'r>, context: &mut Context<'_>) -> Partial<'r> {
    let mut own = layered(written, |aware| aware.default.as_deref());
    let fleet = layered(&Written { aware: None, ..*written }, |aware| aware.default.as_deref());
    let aware = written.aware.and_then(|aware| aware.default.as_deref()).map(|d| &d.value);
    let older = Partial {
        max_retries: written.legacy.and_then(|legacy| legacy.max_retries.as_deref()),
        retry_delay: written.legacy.and_then(|legacy| legacy.retry_delay.as_deref()),
        backoff_rate: written.legacy.and_then(|legacy| legacy.backoff_rate.as_deref()),
        ..Partial::default()
    };
    let flat = written.flat;
    let older = Partial {
        max_retries: older
            .max_retries
            .or_else(|| flat.and_then(|flat| flat.max_attempts.as_deref())),
        retry_delay: older
            .retry_delay
            .or_else(|| flat.and_then(|flat| flat.restart_delay.as_deref())),
        backoff_rate: older
            .backoff_rate
            .or_else(|| flat.and_then(|flat| flat.backoff_multiplier.as_deref())),
        ..older
    };
    let retries = aware.and_then(|aware| aware.max_retries.as_deref());
    let delay = aware.and_then(|aware| aware.retry_delay.as_deref());
    let rate = aware.and_then(|aware| aware.backoff_rate.as_deref());
    own.max_retries =
        one_of("max_retries", retries, older.max_retries, context).or(fleet.max_retries);
    own.retry_delay =
        one_of("retry_delay", delay, older.retry_delay, context).or(fleet.retry_delay);
    own.backoff_rate =
        one_of("backoff_rate", rate, older.backoff_rate, context).or(fleet.backoff_rate);
    own
}

/// A block of the worker, filled up from the same block of the fleet.
fn layered<'r>(
    written: &Written<'r>,
    block: impl Fn(&'r ContextAware) -> Option<&'r At<RawContext>>,
) -> Partial<'r> {
    let own = written.aware.and_then(&block).map(|block| &block.value);
    let fleet = written.fleet.and_then(&block).map(|block| &block.value);
    fn first<'r, T>(
        own: Option<&'r RawContext>,
        fleet: Option<&'r RawContext>,
        of: fn(&RawContext) -> Option<&At<T>>,
    ) -> Option<&'r At<T>> {
        own.and_then(of).or_else(|| fleet.and_then(of))
    }
    Partial {
        max_retries: first(own, fleet, |block| block.max_retries.as_deref()),
        retry_delay: first(own, fleet, |block| block.retry_delay.as_deref()),
        backoff_rate: first(own, fleet, |block| block.backoff_rate.as_deref()),
        max_delay: first(own, fleet, |block| block.max_delay.as_deref()),
        jitter: first(own, fleet, |block| block.jitter.as_deref()).map(|jitter| jitter.value.0),
    }
}

/// One cause of restarts over its defaults.
fn cause(
    partial: Partial<'_>,
    default: RestartContext,
    context: &mut Context<'_>,
) -> RestartContext {
    let retry_delay = partial.retry_delay.map_or(default.retry_delay, |delay| delay.value);
    let max_delay = match partial.max_delay {
        Some(most) if most.value < retry_delay => {
            let message = format!(
                "`max_delay` is shorter than the first rest of {}",
                duration::shown(retry_delay)
            );
            let problem = context.findings.error("range", most.place, message);
            problem.hint("write at least `retry_delay`");
            if let Some(delay) = partial.retry_delay {
                problem.see(delay.place, "`retry_delay` is set here");
            }
            retry_delay
        }
        Some(most) => most.value,
        None => default.max_delay.max(retry_delay),
    };
    RestartContext {
        max_retries: partial.max_retries.map_or(default.max_retries, |most| match most.value {
            Limit::Of(count) => count.get(),
            Limit::Unlimited => 0,
        }),
        retry_delay,
        backoff_rate: partial.backoff_rate.map_or(default.backoff_rate, |rate| rate.value.0),
        max_delay,
        jitter: partial.jitter.unwrap_or(default.jitter),
    }
}

fn breaker(written: &Written<'_>, context: &mut Context<'_>) -> Breaker {
    let of = |aware: &'_ ContextAware| -> Option<At<Limit<Duration>>> {
        let breaker = aware.circuit_breaker.as_deref()?;
        breaker.value.half_open_after.as_deref().cloned()
    };
    let found = written.aware.and_then(of).or_else(|| written.fleet.and_then(of));
    let half_open_after = match found {
        None => Some(Restart::DEFAULT_HALF_OPEN_AFTER),
        Some(At { value: Limit::Unlimited, .. }) => None,
        Some(At { value: Limit::Of(time), place }) => {
            let time = At { value: time, place };
            never_zero(Some(&time), "an open breaker would never rest", context)
                .or(Some(Restart::DEFAULT_HALF_OPEN_AFTER))
        }
    };
    Breaker { half_open_after }
}

/// A time that makes no sense as zero.
fn never_zero(
    time: Option<&At<Duration>>,
    why: &str,
    context: &mut Context<'_>,
) -> Option<Duration> {
    let time = time?;
    if !time.value.is_zero() {
        return Some(time.value);
    }
    context
        .findings
        .error("range", time.place, format!("with `0s`, {why}"))
        .hint("write a longer time, or leave it out for the default");
    None
}

/// A table of factors: the worker's, else the fleet's, else the documented one.
fn factors(
    written: &Written<'_>,
    documented: &[(&'static str, f64)],
    context: &mut Context<'_>,
    of: impl Fn(&ContextAware) -> Option<&At<Named<Factor>>>,
) -> BTreeMap<String, f64> {
    let found = written.aware.and_then(&of).or_else(|| written.fleet.and_then(&of));
    let Some(found) = found else {
        return documented.iter().map(|(name, factor)| ((*name).to_owned(), *factor)).collect();
    };
    let known: HashMap<_, _> = documented.iter().copied().collect();
    let mut factors = BTreeMap::new();
    for (name, factor) in &found.value.0 {
        if known.contains_key(name.value.as_str()) {
            factors.insert(name.value.clone(), factor.value.0);
            continue;
        }
        let names: Vec<_> = documented.iter().map(|(name, _)| *name).collect();
        context
            .findings
            .error("unknown-key", name.place, format!("unknown name `{}`", shown(&name.value)))
            .hint(format!("the names here are {}", names.join(", ")));
    }
    factors
}
