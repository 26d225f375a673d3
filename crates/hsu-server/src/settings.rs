//! Settings: how a worker that we start is run, restarted, stopped and logged, and how one of
//! somebody else is looked for and what may be done to it, for `describe`.
//!
//! Of the environment only the names are told: its values may be secrets.

use std::time::Duration;

use hsu_api::SettingView;
use hsu_core::input::Severity;
use hsu_core::restart::{Cause, in_effect};
use hsu_model::execution::{Execution, WorkingDirectory};
use hsu_model::exit::signal_name;
use hsu_model::logs::{LogTarget, StreamLogs};
use hsu_model::restart::{Restart, RestartContext};
use hsu_model::worker::{Managed, Profile, Unit, WorkerSpec};

mod found;

/// The severity of a health failure or a violation whose multipliers are told.
const SEVERE: Severity = Severity::Critical;

/// Everything that holds for it, in the order of the configuration, by the keys' names.
pub(crate) fn settings(spec: &WorkerSpec) -> Vec<SettingView> {
    let mut settings = Settings::default();
    if let Unit::Managed(managed) = &spec.unit {
        settings.execution(&managed.execution);
        settings.restart(&managed.restart, spec.profile);
        let stop = managed.stop;
        let signal =
            signal_name(stop.signal).map_or_else(|| stop.signal.to_string(), str::to_owned);
        settings.tell("stop_signal", signal);
        settings.rest(managed);
    } else if let Unit::Unmanaged(unmanaged) = &spec.unit {
        found::tell(unmanaged, spec.profile, &mut settings);
    }
    settings.0
}

#[derive(Debug, Default)]
struct Settings(Vec<SettingView>);

impl Settings {
    fn tell(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(SettingView { name: name.to_owned(), value: value.into() });
    }

    fn execution(&mut self, execution: &Execution) {
        let directory = match &execution.working_directory {
            WorkingDirectory::OfProgram => "the folder of the program",
            WorkingDirectory::At(path) => path,
        };
        self.tell("working_directory", directory);
        if !execution.environment.is_empty() {
            let names: Vec<_> = execution.environment.iter().map(|(name, _)| &**name).collect();
            self.tell("environment", names.join(", "));
        }
        self.tell("user", execution.user.as_deref().unwrap_or("that of the master"));
        if let Some(group) = &execution.group {
            self.tell("group", &**group);
        }
        if let Some(umask) = execution.umask {
            self.tell("umask", format!("{umask:04o}"));
        }
        if let Some(nice) = execution.nice {
            self.tell("nice", nice.to_string());
        }
        for limit in &execution.rlimits {
            let value = |value| {
                if value == u64::MAX { "unlimited".to_owned() } else { format!("{value}") }
            };
            let name = format!("rlimits.{}", limit.resource.as_str());
            self.tell(&name, format!("{} (at most {})", value(limit.soft), value(limit.hard)));
        }
    }

    fn restart(&mut self, restart: &Restart, profile: Profile) {
        let tell = |context, cause| retries(context, in_effect(restart, profile, cause), profile);
        self.tell("retries", tell(&restart.default, Cause::Exit));
        for (name, other, cause) in [
            ("retries.health_failures", &restart.health_failures, Cause::Health(SEVERE)),
            ("retries.resource_violations", &restart.resource_violations, Cause::Resource(SEVERE)),
        ] {
            if *other != restart.default {
                self.tell(name, tell(other, cause));
            }
        }
        self.tell("reset_after", span(restart.reset_after));
        self.tell("startup_grace_period", span(restart.startup_grace));
        let trial = restart.breaker.half_open_after.map_or_else(|| "unlimited".to_owned(), span);
        self.tell("half_open_after", trial);
    }

    fn rest(&mut self, managed: &Managed) {
        if managed.notify.is_on() {
            let what = if managed.notify.ready { "ready when it says so" } else { "listened to" };
            self.tell("notify", what);
        }
        for socket in &managed.sockets {
            self.tell("sockets", &*socket.name);
        }
        for (name, logs) in [("stdout", &managed.logs.stdout), ("stderr", &managed.logs.stderr)] {
            self.tell(name, outputs(logs));
        }
    }
}

fn span(span: Duration) -> String {
    format!("{span:?}")
}

fn retries(
    context: &RestartContext,
    (factor, limit, first): (f64, u32, Duration),
    profile: Profile,
) -> String {
    let mut text = match limit {
        0 => "without end".to_owned(),
        1 => "once".to_owned(),
        limit => format!("{limit} times"),
    };
    if first.is_zero() {
        text.push_str(", at once");
    } else {
        text.push_str(&format!(", after {}", span(first)));
        if context.backoff_rate > 1.0 {
            let most = span(context.max_delay);
            let rate = context.backoff_rate;
            text.push_str(&format!(", then {rate} times as long each time, {most} at most"));
        }
    }
    if factor.to_bits() != 1.0_f64.to_bits() {
        text.push_str(&format!(" (times {factor} by profile {} and severity)", profile.as_str()));
    }
    text
}

fn outputs(logs: &StreamLogs) -> String {
    if !logs.capture {
        return "not collected".to_owned();
    }
    let targets = logs.outputs.iter().map(|output| match &output.target {
        LogTarget::File { path, .. } => &**path,
        LogTarget::MasterStdout => "the master's standard output",
        LogTarget::MasterStderr => "the master's standard error",
        _ => "elsewhere",
    });
    let targets: Vec<_> = targets.collect();
    if targets.is_empty() { "collected".to_owned() } else { targets.join(", ") }
}

#[cfg(test)]
mod tests {
    use hsu_model::restart::{Breaker, RestartPolicy};

    use super::*;

    #[test]
    fn retries_are_told_as_they_come_to_for_the_profile() {
        let context = RestartContext {
            max_retries: 10,
            retry_delay: Duration::from_secs(2),
            ..RestartContext::DEFAULT
        };
        let mut restart = Restart {
            policy: RestartPolicy::Always,
            on_clean_exit: false,
            default: context,
            health_failures: context,
            resource_violations: context,
            severity_multipliers: [].into(),
            profile_multipliers: [("worker".into(), 2.0)].into(),
            startup_grace: Duration::ZERO,
            sustained_violation: Duration::ZERO,
            spike_tolerance: Duration::ZERO,
            reset_after: Duration::ZERO,
            breaker: Breaker { half_open_after: None },
        };
        let told = |restart: &Restart, profile| {
            retries(&restart.default, in_effect(restart, profile, Cause::Exit), profile)
        };
        assert_eq!(
            told(&restart, Profile::Worker),
            "20 times, after 4s, then 1.5 times as long each time, 300s at most \
             (times 2 by profile worker and severity)"
        );
        restart.default.retry_delay = Duration::ZERO;
        restart.default.max_retries = 1;
        assert_eq!(told(&restart, Profile::Web), "once, at once");
        restart.default.max_retries = 0;
        assert_eq!(told(&restart, Profile::Web), "without end, at once");
    }
}
