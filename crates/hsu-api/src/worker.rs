//! Workers on the wire.

use hsu_model::exit::{Exit, signal_name};
use hsu_model::health::CheckStatus;
use hsu_model::status::{Desired, LastExit, WorkerStatus};
use hsu_model::time::Now;
use serde::{Deserialize, Serialize};

use crate::event::EventView;
use crate::time::rfc3339;
use crate::usage::{LimitView, PressureView};

/// `GET /v1/workers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerList {
    /// The workers, by id.
    pub workers: Vec<WorkerView>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its name.
    pub id: String,
    /// What it is doing: registered, searching, starting, running, stopping, stopped, backing-off, tripped, failed.
    pub state: String,
    /// Whether it does its job.
    pub ready: bool,
    /// Whether its process was started with other settings of its execution (such as program,
    /// arguments, environment, user, limits of the system) than the configuration says now: a
    /// restart applies them.
    #[serde(default)]
    pub outdated: bool,
    /// What its checks say: unknown, healthy, degraded, unhealthy; none without checks.
    #[serde(default)]
    pub health: Option<String>,
    /// Whether it may run.
    pub enabled: bool,
    /// What the operator wants: running or stopped.
    pub desired: String,
    /// The PID, while a process runs.
    pub pid: Option<u32>,
    /// The number of its latest run.
    pub run: Option<u64>,
    /// How long the process has run.
    pub uptime_seconds: Option<f64>,
    /// Restarts since it was first started.
    pub restarts: u64,
    /// Failures in a row.
    pub attempts: u32,
    /// How its latest ended run ended.
    pub last_exit: Option<ExitView>,
    /// closed, open or half-open.
    pub breaker: String,
    /// When the next attempt is due.
    pub next_attempt_seconds: Option<f64>,
    /// Why it is in this state.
    pub reason: String,
    /// CPU time of the process.
    pub cpu_seconds: Option<f64>,
    /// Resident memory of the process.
    pub memory_bytes: Option<u64>,
    /// Processes that a kill did not end.
    #[serde(default)]
    pub survivors: Vec<u32>,
    /// The processes of somebody else that are watched as this worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<u32>,
    /// What it tells of itself; absent when it is not listened to, or does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldView>,
}

/// What a running worker tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldView {
    /// starting, ready, reloading or stopping.
    pub phase: String,
    /// What it is doing, in its own words.
    pub text: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitView {
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u64>,
    /// The exit code, when it ended by itself.
    pub code: Option<i32>,
    /// The signal, when one ended it.
    pub signal: Option<i32>,
    /// The name of that signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_name: Option<String>,
    /// Whether a core file was written.
    pub core: bool,
    /// Why nobody knows, when nobody does.
    pub unknown: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How long it had run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_seconds: Option<f64>,
    /// In words.
    pub text: String,
}

impl From<Exit> for ExitView {
    fn from(exit: Exit) -> Self {
        let (code, signal, core, unknown) = match exit {
            Exit::Code(code) => (Some(code), None, false, None),
            Exit::Signal { number, core } => (None, Some(number), core, None),
            Exit::Unknown(reason) => (None, None, false, Some(reason.to_string())),
        };
        Self {
            run: None,
            code,
            signal,
            signal_name: signal.and_then(signal_name).map(str::to_owned),
            core,
            unknown,
            at: None,
            lasted_seconds: None,
            text: exit.to_string(),
        }
    }
}

impl From<&LastExit> for ExitView {
    fn from(last: &LastExit) -> Self {
        Self {
            run: Some(last.run.0),
            at: Some(rfc3339(last.at)),
            lasted_seconds: Some(last.lasted.as_secs_f64()),
            ..Self::from(last.exit)
        }
    }
}

impl WorkerView {
    /// A status as it is told, at a moment.
    #[must_use]
    pub fn new(status: &WorkerStatus, now: Now) -> Self {
        let started = status.started_at.map(|(tick, _)| now.tick.since(tick).as_secs_f64());
        Self {
            id: status.id.as_str().to_owned(),
            state: status.state.as_str().to_owned(),
            ready: status.ready,
            outdated: false,
            health: status.health.as_ref().map(|health| health.condition.as_str().to_owned()),
            enabled: status.enabled,
            desired: match status.desired {
                Desired::Running => "running".to_owned(),
                Desired::Stopped => "stopped".to_owned(),
            },
            pid: status.process.map(|process| process.pid),
            run: status.run.map(|run| run.0),
            uptime_seconds: started,
            restarts: status.restarts,
            attempts: status.attempts,
            last_exit: status.last_exit.as_ref().map(ExitView::from),
            breaker: status.breaker.as_str().to_owned(),
            next_attempt_seconds: status.next_attempt.map(|due| due.since(now.tick).as_secs_f64()),
            reason: status.reason.clone(),
            cpu_seconds: None,
            memory_bytes: None,
            survivors: status.survivors.clone(),
            attached: status.attached.iter().map(|process| process.pid).collect(),
            told: status.told.as_ref().map(|told| ToldView {
                phase: told.phase.as_str().to_owned(),
                text: told.text.clone(),
            }),
        }
    }
}

impl WorkerView {
    /// The same worker some seconds later, or with fewer than none earlier, when nothing but
    /// time has passed.
    pub fn pass(&mut self, seconds: f64) {
        self.uptime_seconds = self.uptime_seconds.map(|uptime| (uptime + seconds).max(0.0));
        self.next_attempt_seconds = self.next_attempt_seconds.map(|rest| (rest - seconds).max(0.0));
    }
}

/// `GET /v1/workers/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Its status.
    #[serde(flatten)]
    pub status: WorkerView,
    /// A display name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// When it is restarted.
    pub restart_policy: String,
    /// How long it may take to stop.
    pub graceful_timeout_seconds: f64,
    /// The PID file.
    pub pid_file: String,
    /// How it is run, restarted, stopped and logged.
    #[serde(default)]
    pub settings: Vec<SettingView>,
    /// Which streams are collected: `stdout`, `stderr`, both or none of them.
    #[serde(default)]
    pub collected: Option<Vec<String>>,
    /// What it may use.
    #[serde(default)]
    pub limits: Vec<LimitView>,
    /// How much it waits for CPUs, memory and disks, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<PressureView>,
    /// Its checks, in the order of the configuration.
    #[serde(default)]
    pub checks: Vec<CheckView>,
    /// Its latest events, oldest first.
    pub events: Vec<EventView>,
}

/// One setting of a worker, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingView {
    /// Its key.
    pub name: String,
    /// What holds; of an environment only the names.
    pub value: String,
}

/// One check of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// Its name.
    pub name: String,
    /// The kind of it.
    pub kind: String,
    /// What hangs on it: startup, readiness, liveness, dependency.
    pub duties: Vec<String>,
    /// What it says after its thresholds: unknown, passing or failing.
    pub verdict: String,
    /// Failures in a row.
    pub failures_in_a_row: u32,
    /// Successes in a row.
    pub successes_in_a_row: u32,
    /// Looks since the master started.
    pub looks: u64,
    /// Failures among them.
    pub failures: u64,
    /// Changes between passing and failing.
    pub flaps: u64,
    /// Whether it changes too often, and counts as failing for that.
    pub flapping: bool,
    /// When it was looked at last.
    pub last_at: Option<String>,
    /// How long that took.
    pub last_seconds: Option<f64>,
    /// What was seen.
    pub last_note: Option<String>,
    /// The number that it read or came to.
    pub last_value: Option<f64>,
    /// How long a look takes usually.
    pub usual_seconds: f64,
    /// The longest look.
    pub longest_seconds: f64,
}

impl From<&CheckStatus> for CheckView {
    fn from(status: &CheckStatus) -> Self {
        let last = status.last.as_ref();
        Self {
            name: status.name.clone(),
            kind: status.kind.to_owned(),
            duties: status.duties.iter().map(|duty| duty.as_str().to_owned()).collect(),
            verdict: status.verdict.as_str().to_owned(),
            failures_in_a_row: status.failures,
            successes_in_a_row: status.successes,
            looks: status.looks,
            failures: status.failed,
            flaps: status.flaps,
            flapping: status.is_flapping,
            last_at: last.map(|look| rfc3339(look.at)),
            last_seconds: last.map(|look| look.took.as_secs_f64()),
            last_note: last.map(|look| look.note.clone()),
            last_value: last.and_then(|look| look.value),
            usual_seconds: status.usual.as_secs_f64(),
            longest_seconds: status.longest.as_secs_f64(),
        }
    }
}

/// `GET /v1/workers/{id}/why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyView {
    /// Its status.
    pub worker: WorkerView,
    /// When it entered its state, as far as the journal goes back.
    pub since: Option<String>,
    /// The last lines of its standard error, oldest first.
    pub last_stderr: Vec<LineView>,
    /// The events that led here, oldest first.
    pub events: Vec<EventView>,
    /// The chain in sentences.
    pub chain: Vec<String>,
}

/// One line of output: a record of `GET /v1/workers/{id}/logs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineView {
    /// When it arrived.
    pub time: String,
    /// stdout or stderr.
    pub stream: String,
    /// The run that wrote it.
    pub run: Option<u64>,
    /// The line; what is no UTF-8 stands as U+FFFD.
    pub line: String,
    /// Whether `line` is not all that the worker wrote: bytes were replaced, cut or lost.
    pub lossy: bool,
    /// Whether the line goes on: only its first 64 KiB are here.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub shortened: bool,
    /// The bytes of a line that is no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
}

/// The body of a command; may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// Kill without grace; for `stop` and `restart` only.
    #[serde(default)]
    pub force: bool,
    /// The signal, by name or number; for `signal` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Whether the answer comes when it is done (the default), or when it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
}

/// A command that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// The worker.
    pub worker: String,
    /// Its state now.
    pub state: String,
    /// What was done.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use hsu_model::exit::UnknownExit;

    use super::*;

    #[test]
    fn an_exit_is_a_code_a_signal_or_unknown_and_never_two_of_them() {
        for (exit, code, signal, name, unknown) in [
            (Exit::Code(7), Some(7), None, None, false),
            (Exit::Signal { number: 9, core: false }, None, Some(9), Some("SIGKILL"), false),
            (Exit::Signal { number: 40, core: true }, None, Some(40), None, false),
            (Exit::Unknown(UnknownExit::Reboot), None, None, None, true),
        ] {
            let view = ExitView::from(exit);
            assert_eq!((view.code, view.signal), (code, signal), "{exit}");
            assert_eq!(view.signal_name.as_deref(), name, "{exit}");
            assert_eq!(view.unknown.is_some(), unknown, "{exit}");
        }
    }
}
