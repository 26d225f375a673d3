//! Events on the wire: a name, and the fields that belong to it.

use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::exit::Exit;
use hsu_model::health::{Condition, Verdict};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::severity::Severity;
use hsu_model::time::WallTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::time::rfc3339;
use crate::worker::ExitView;

/// `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// The events, oldest first.
    pub events: Vec<EventView>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its place in the journal.
    pub sequence: u64,
    /// When it happened.
    pub at: String,
    /// Whom it is about; none for the master.
    pub worker: Option<String>,
    /// Who caused it.
    pub actor: String,
    /// What happened, by name.
    pub kind: String,
    /// In words.
    pub text: String,
    /// What belongs to the kind.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        let (kind, text, fields) = kind(&event.kind);
        let fields = match fields {
            Value::Object(fields) => fields,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        Self {
            sequence: event.sequence,
            at: rfc3339(event.at),
            worker: event.worker.as_ref().map(|worker| worker.as_str().to_owned()),
            actor: actor(&event.actor),
            kind: kind.to_owned(),
            text,
            fields,
        }
    }
}

/// An alert, as a webhook or a command gets it.
#[must_use]
pub fn alert(worker: &WorkerId, limit: &str, text: &str, at: WallTime) -> String {
    let at = rfc3339(at);
    json!({"worker": worker.as_str(), "limit": limit, "text": text, "at": at}).to_string()
}

fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Master => "master".to_owned(),
        Actor::Configuration => "configuration".to_owned(),
        Actor::Operator { uid } => format!("operator:{uid}"),
        Actor::Signal(number) => format!("signal:{number}"),
        Actor::Worker => "worker".to_owned(),
    }
}

fn kind(kind: &EventKind) -> (&'static str, String, Value) {
    match kind {
        EventKind::Registered => ("registered", "known from now on".to_owned(), json!({})),
        EventKind::Removed => ("removed", "forgotten".to_owned(), json!({})),
        EventKind::StateChanged { from, to, reason } => (
            "state_changed",
            format!("{} -> {}: {reason}", from.as_str(), to.as_str()),
            json!({"from": from.as_str(), "to": to.as_str(), "reason": reason}),
        ),
        EventKind::Spawned { run, pid } => (
            "spawned",
            format!("run {run} started with PID {pid}"),
            json!({"run": run.0, "pid": pid}),
        ),
        EventKind::Adopted { run, pid } => (
            "adopted",
            format!("run {run} found running with PID {pid}"),
            json!({"run": run.0, "pid": pid}),
        ),
        EventKind::Released { run, reason } => (
            "released",
            format!("run {run} is not watched any more: {reason}"),
            json!({"run": run.0, "reason": reason}),
        ),
        EventKind::NotFound { reason } => {
            ("not_found", format!("not attached: {reason}"), json!({"reason": reason}))
        }
        EventKind::SpawnFailed { run, error } => (
            "spawn_failed",
            format!("run {run} could not be started: {error}"),
            json!({"run": run.0, "error": error}),
        ),
        EventKind::Exited { run, exit, lasted } => ended(run.0, *exit, lasted.as_secs_f64()),
        EventKind::RestartScheduled { attempt, limit, delay } => (
            "restart_scheduled",
            attempt_of(*attempt, *limit, delay.as_secs_f64()),
            json!({"attempt": attempt, "limit": limit, "delay_seconds": delay.as_secs_f64()}),
        ),
        EventKind::RestartRefused { reason } => {
            ("restart_refused", format!("not restarted: {reason}"), json!({"reason": reason}))
        }
        EventKind::CheckChanged { .. } | EventKind::HealthChanged { .. } => checks(kind),
        EventKind::Signalled { .. }
        | EventKind::Told { .. }
        | EventKind::MainProcess { .. }
        | EventKind::MainProcessRefused { .. }
        | EventKind::Killed { .. }
        | EventKind::LeftBehind { .. }
        | EventKind::Survived { .. }
        | EventKind::Breaker { .. }
        | EventKind::Commanded { .. }
        | EventKind::OutputStuck { .. }
        | EventKind::OutputFlows { .. }
        | EventKind::OutputDropped { .. }
        | EventKind::LimitExceeded { .. }
        | EventKind::LimitAction { .. }
        | EventKind::LimitEased { .. }
        | EventKind::OomKilled { .. }
        | EventKind::LimitFailed { .. }
        | EventKind::MasterStarted { .. }
        | EventKind::RoleLost { .. } => operations(kind),
        EventKind::MasterStopping { .. }
        | EventKind::StateReplaced { .. }
        | EventKind::StateUnwritable { .. }
        | EventKind::StateWritable => of_the_master(kind),
    }
}

fn ended(run: u64, exit: Exit, seconds: f64) -> (&'static str, String, Value) {
    let fields = json!({"run": run, "exit": ExitView::from(exit), "lasted_seconds": seconds});
    ("exited", format!("run {run} ended after {seconds:.3} s: {exit}"), fields)
}

fn attempt_of(attempt: u32, limit: u32, seconds: f64) -> String {
    match limit {
        0 => format!("attempt {attempt} after {seconds:.3} s"),
        limit => format!("attempt {attempt} of {limit} after {seconds:.3} s"),
    }
}

/// What becomes of the master, and of its state on the disk.
fn of_the_master(kind: &EventKind) -> (&'static str, String, Value) {
    if let EventKind::MasterStopping { reason } = kind {
        let text = format!("the master is ending: {reason}");
        return ("master_stopping", text, json!({"reason": reason}));
    }
    if let EventKind::StateReplaced { reason } = kind {
        let text = format!("the state was begun anew with what is sound: {reason}");
        return ("state_replaced", text, json!({"reason": reason}));
    }
    if let EventKind::StateUnwritable { reason } = kind {
        return ("state_unwritable", reason.clone(), json!({"reason": reason}));
    }
    ("state_writable", "the state is written again".to_owned(), json!({}))
}

/// What checks say.
fn checks(kind: &EventKind) -> (&'static str, String, Value) {
    if let EventKind::CheckChanged { run, check: name, to, reason } = kind {
        return check(*run, name, *to, reason);
    }
    if let EventKind::HealthChanged { run, from, to, ready, reason } = kind {
        return health(*run, (*from, *to), *ready, reason);
    }
    ("other", String::new(), json!({}))
}

fn check(run: RunId, name: &str, to: Verdict, reason: &str) -> (&'static str, String, Value) {
    let to = to.as_str();
    (
        "check_changed",
        format!("check {name} is {to}: {reason}"),
        json!({"run": run.0, "check": name, "to": to, "reason": reason}),
    )
}

fn health(
    run: RunId,
    (from, to): (Condition, Condition),
    ready: bool,
    reason: &str,
) -> (&'static str, String, Value) {
    let (from, to) = (from.as_str(), to.as_str());
    let readiness = if ready { "ready" } else { "not ready" };
    (
        "health_changed",
        format!("{from} -> {to}, {readiness}: {reason}"),
        json!({"run": run.0, "from": from, "to": to, "ready": ready, "reason": reason}),
    )
}

/// What workers say of themselves.
fn words(kind: &EventKind) -> (&'static str, String, Value) {
    if let EventKind::MainProcess { run, pid } = kind {
        let text = format!("run {run} goes on as PID {pid}, which it has named (MAINPID)");
        return ("main_process", text, json!({"run": run.0, "pid": pid}));
    }
    if let EventKind::MainProcessRefused { run, pid, reason } = kind {
        let text = format!("MAINPID={pid} of run {run} is refused: {reason}");
        let fields = json!({"run": run.0, "pid": pid, "reason": reason});
        return ("main_process_refused", text, fields);
    }
    let EventKind::Told { run, phase } = kind else {
        return ("other", String::new(), json!({}));
    };
    let phase = phase.as_str();
    ("told", format!("run {run} says: {phase}"), json!({"run": run.0, "phase": phase}))
}

fn left_behind(run: RunId, count: u32) -> (&'static str, String, Value) {
    let text = format!("run {run} ended and left {count} of its processes behind: they were ended");
    ("left_behind", text, json!({"run": run.0, "count": count}))
}

fn survived(run: RunId, count: u32) -> (&'static str, String, Value) {
    let text = format!("{count} processes of run {run} survived their kill");
    ("survived", text, json!({"run": run.0, "count": count}))
}

fn operations(kind: &EventKind) -> (&'static str, String, Value) {
    match kind {
        EventKind::Signalled { run, signal } => {
            let name = hsu_model::exit::signal_name(*signal).unwrap_or("signal");
            let fields = json!({"run": run.0, "signal": signal});
            ("signalled", format!("{name} ({signal}) sent to run {run}"), fields)
        }
        EventKind::Told { .. }
        | EventKind::MainProcess { .. }
        | EventKind::MainProcessRefused { .. } => words(kind),
        EventKind::Killed { run } => {
            ("killed", format!("run {run} killed with its whole tree"), json!({"run": run.0}))
        }
        EventKind::LeftBehind { run, count } => left_behind(*run, *count),
        EventKind::Survived { run, count } => survived(*run, *count),
        EventKind::Breaker { to } => {
            ("breaker", format!("breaker {}", to.as_str()), json!({"to": to.as_str()}))
        }
        EventKind::Commanded { verb } => {
            ("commanded", format!("asked to {verb}"), json!({"verb": verb}))
        }
        EventKind::OutputStuck { output, reason } => (
            "output_stuck",
            format!("{output} takes nothing at present: {reason}"),
            json!({"output": output, "reason": reason}),
        ),
        EventKind::OutputFlows { output } => {
            ("output_flows", format!("{output} takes lines again"), json!({"output": output}))
        }
        EventKind::OutputDropped { bytes } => {
            ("output_dropped", format!("{bytes} bytes of output dropped"), json!({"bytes": bytes}))
        }
        EventKind::LimitExceeded { .. }
        | EventKind::LimitAction { .. }
        | EventKind::LimitEased { .. }
        | EventKind::OomKilled { .. }
        | EventKind::LimitFailed { .. } => limits(kind),
        EventKind::MasterStarted { adopted } => (
            "master_started",
            format!("the master serves; {adopted} running workers taken over"),
            json!({"adopted": adopted}),
        ),
        EventKind::RoleLost { role, reason } => {
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            let text = format!("the {role} was lost and is replaced{why}");
            ("role_lost", text, json!({"role": role, "reason": reason}))
        }
        // The others are told by `kind`.
        EventKind::CheckChanged { .. }
        | EventKind::HealthChanged { .. }
        | EventKind::Registered
        | EventKind::Removed
        | EventKind::StateChanged { .. }
        | EventKind::Spawned { .. }
        | EventKind::Adopted { .. }
        | EventKind::MasterStopping { .. }
        | EventKind::StateReplaced { .. }
        | EventKind::StateUnwritable { .. }
        | EventKind::StateWritable
        | EventKind::Released { .. }
        | EventKind::NotFound { .. }
        | EventKind::SpawnFailed { .. }
        | EventKind::Exited { .. }
        | EventKind::RestartScheduled { .. }
        | EventKind::RestartRefused { .. } => ("other", String::new(), json!({})),
    }
}

fn exceeded(run: RunId, limit: &str, severity: Severity, held: bool) -> String {
    match severity {
        Severity::Warning => format!("run {run} is near {limit}"),
        Severity::Critical | Severity::Emergency if held => {
            format!("run {run} is held at {limit} and wants more")
        }
        Severity::Critical | Severity::Emergency => format!("run {run} exceeds {limit}"),
    }
}

fn limits(kind: &EventKind) -> (&'static str, String, Value) {
    match kind {
        EventKind::LimitExceeded { run, limit, severity, value, most, held } => (
            "limit_exceeded",
            exceeded(*run, limit, *severity, *held) + &format!(": {value} of {most}"),
            json!({
                "run": run.0, "limit": limit, "severity": severity.as_str(),
                "value": value, "most": most, "held": held,
            }),
        ),
        EventKind::LimitAction { run, limit, action } => (
            "limit_action",
            format!("{action} of run {run}, because of {limit}"),
            json!({"run": run.0, "limit": limit, "action": action}),
        ),
        EventKind::LimitEased { run, limit, lasted } => (
            "limit_eased",
            format!("run {run} keeps {limit} again, after {:.3} s", lasted.as_secs_f64()),
            json!({"run": run.0, "limit": limit, "lasted_seconds": lasted.as_secs_f64()}),
        ),
        EventKind::OomKilled { run, count, most } => (
            "oom_killed",
            format!(
                "the kernel killed {count} of the processes of run {run} for want of memory \
                 within its limit of {most}"
            ),
            json!({"run": run.0, "count": count, "most": most}),
        ),
        EventKind::LimitFailed { reason } => {
            ("limit_failed", reason.clone(), json!({"reason": reason}))
        }
        // The others are told by `kind` and `operations`.
        EventKind::Registered
        | EventKind::CheckChanged { .. }
        | EventKind::HealthChanged { .. }
        | EventKind::Removed
        | EventKind::StateChanged { .. }
        | EventKind::Spawned { .. }
        | EventKind::Adopted { .. }
        | EventKind::Released { .. }
        | EventKind::Told { .. }
        | EventKind::MainProcess { .. }
        | EventKind::MainProcessRefused { .. }
        | EventKind::NotFound { .. }
        | EventKind::SpawnFailed { .. }
        | EventKind::Exited { .. }
        | EventKind::RestartScheduled { .. }
        | EventKind::RestartRefused { .. }
        | EventKind::Signalled { .. }
        | EventKind::Killed { .. }
        | EventKind::LeftBehind { .. }
        | EventKind::Survived { .. }
        | EventKind::Breaker { .. }
        | EventKind::Commanded { .. }
        | EventKind::OutputStuck { .. }
        | EventKind::OutputFlows { .. }
        | EventKind::OutputDropped { .. }
        | EventKind::MasterStarted { .. }
        | EventKind::MasterStopping { .. }
        | EventKind::StateReplaced { .. }
        | EventKind::StateUnwritable { .. }
        | EventKind::StateWritable
        | EventKind::RoleLost { .. } => ("other", String::new(), json!({})),
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use hsu_model::exit::Exit;

    #[test]
    fn an_exit_is_told_with_its_run_its_status_and_its_time() {
        let event = Event {
            sequence: 5,
            at: WallTime(1_700_000_000_123_000_000),
            worker: WorkerId::new("web").ok(),
            actor: Actor::Operator { uid: 7 },
            kind: EventKind::Exited {
                run: RunId(3),
                exit: Exit::Signal { number: 9, core: false },
                lasted: Duration::from_millis(1500),
            },
        };
        let value = serde_json::to_value(EventView::from(&event)).unwrap();
        let expected = json!({
            "sequence": 5, "at": "2023-11-14T22:13:20.123Z", "worker": "web",
            "actor": "operator:7", "kind": "exited", "run": 3, "lasted_seconds": 1.5,
            "text": "run 3 ended after 1.500 s: signal SIGKILL",
            "exit": {"code": null, "signal": 9, "signal_name": "SIGKILL", "core": false,
                     "unknown": null, "text": "signal SIGKILL"},
        });
        assert_eq!(value, expected);
        let back: EventView = serde_json::from_value(value).unwrap();
        assert_eq!(back, EventView::from(&event));
    }
}
