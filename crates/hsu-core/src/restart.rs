//! The restart decision: what follows an exit.
//!
//! Pure arithmetic over the declared settings. `attempts` counts failures in a
//! row; who counts and who forgets them: [`crate::worker`]. A limit of 0 retries
//! is no limit, and a delay of 0 is no delay (docs/design/0002-core-machine.md).

use core::time::Duration;

use hsu_model::exit::Exit;
use hsu_model::restart::{Restart, RestartContext, RestartPolicy};
use hsu_model::worker::Profile;

use crate::input::Severity;
use crate::scatter::part;

/// What brought a restart up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process ended.
    Exit,
    /// Its health checks failed.
    Health(Severity),
    /// It exceeded a resource limit.
    Resource(Severity),
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The policy does not restart this.
    Final,
    /// Another attempt, after a rest.
    Retry {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The most attempts; 0 is no limit.
        limit: u32,
        /// The rest; zero is at once.
        delay: Duration,
    },
    /// There were too many attempts.
    GiveUp,
}

/// What follows an exit after `attempts` failures in a row.
#[must_use]
pub fn decide(
    restart: &Restart,
    profile: Profile,
    exit: Exit,
    cause: Cause,
    attempts: u32,
    entropy: u64,
) -> Verdict {
    if cause == Cause::Exit && !is_restarted(restart, exit) {
        return Verdict::Final;
    }
    let context = context(restart, cause);
    let factor = factor(restart, profile, cause);
    let limit = limit(context.max_retries, factor);
    if limit != 0 && attempts >= limit {
        return Verdict::GiveUp;
    }
    let delay = delay(context, factor, attempts, entropy);
    Verdict::Retry { attempt: attempts.saturating_add(1), limit, delay }
}

/// What the settings come to for a profile, with the multipliers in: the factor, the most
/// attempts (0 is no limit), and the first rest without its jitter.
#[must_use]
pub fn in_effect(restart: &Restart, profile: Profile, cause: Cause) -> (f64, u32, Duration) {
    let (context, factor) = (context(restart, cause), factor(restart, profile, cause));
    // A random number of 0 takes nothing off.
    (factor, limit(context.max_retries, factor), delay(context, factor, 0, 0))
}

fn is_restarted(restart: &Restart, exit: Exit) -> bool {
    match restart.policy {
        RestartPolicy::Never => false,
        RestartPolicy::OnFailure => !exit.is_success() || restart.on_clean_exit,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
    }
}

fn context(restart: &Restart, cause: Cause) -> &RestartContext {
    match cause {
        Cause::Exit => &restart.default,
        Cause::Health(_) => &restart.health_failures,
        Cause::Resource(_) => &restart.resource_violations,
    }
}

fn factor(restart: &Restart, profile: Profile, cause: Cause) -> f64 {
    let severity = match cause {
        Cause::Exit => Severity::Critical,
        Cause::Health(severity) | Cause::Resource(severity) => severity,
    };
    let of_severity = restart.severity_multipliers.get(severity.as_str()).copied().unwrap_or(1.0);
    let of_profile = restart.profile_multipliers.get(profile.as_str()).copied().unwrap_or(1.0);
    of_severity * of_profile
}

/// At least one attempt, however small the factor; 0 stays "no limit".
fn limit(retries: u32, factor: f64) -> u32 {
    if retries == 0 {
        return 0;
    }
    // The cast saturates, and truncation is the documented rounding.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    let scaled = (f64::from(retries) * factor) as u32;
    scaled.max(1)
}

fn delay(context: &RestartContext, factor: f64, attempts: u32, entropy: u64) -> Duration {
    let mut seconds = context.retry_delay.as_secs_f64() * factor;
    let cap = context.max_delay.as_secs_f64();
    // Multiplied step by step: `core` has no power function, and the cap ends it early.
    for _ in 0..attempts {
        if seconds >= cap {
            break;
        }
        let next = seconds * context.backoff_rate;
        if next == seconds {
            break;
        }
        seconds = next;
    }
    seconds = seconds.min(cap).max(0.0);
    let rest = Duration::try_from_secs_f64(seconds).unwrap_or(context.max_delay);
    rest.saturating_sub(part(rest, context.jitter, entropy))
}

#[cfg(test)]
mod tests;
