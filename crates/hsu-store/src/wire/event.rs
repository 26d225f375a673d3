//! Events as text.

use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::health::{Condition, Verdict};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::severity::Severity;
use hsu_model::time::WallTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{ExitText, breaker_state, nanoseconds, state, told_phase};

#[derive(Debug, Serialize, Deserialize)]
struct EventText {
    sequence: u64,
    at: i64,
    worker: Option<String>,
    actor: ActorText,
    kind: KindText,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ActorText {
    Master,
    Configuration,
    Operator(u32),
    Signal(i32),
    Worker,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindText {
    Registered,
    Removed,
    StateChanged {
        from: String,
        to: String,
        reason: String,
    },
    Spawned {
        run: u64,
        pid: u32,
    },
    Adopted {
        run: u64,
        pid: u32,
    },
    Released {
        run: u64,
        reason: String,
    },
    NotFound {
        reason: String,
    },
    SpawnFailed {
        run: u64,
        error: String,
    },
    Exited {
        run: u64,
        exit: ExitText,
        lasted: u64,
    },
    CheckChanged {
        run: u64,
        check: String,
        to: String,
        reason: String,
    },
    HealthChanged {
        run: u64,
        from: String,
        to: String,
        ready: bool,
        reason: String,
    },
    RestartScheduled {
        attempt: u32,
        limit: u32,
        delay: u64,
    },
    RestartRefused {
        reason: String,
    },
    Signalled {
        run: u64,
        signal: i32,
    },
    Told {
        run: u64,
        phase: String,
    },
    MainProcess {
        run: u64,
        pid: u32,
    },
    MainProcessRefused {
        run: u64,
        pid: u32,
        reason: String,
    },
    Killed {
        run: u64,
    },
    LeftBehind {
        run: u64,
        count: u32,
    },
    Survived {
        run: u64,
        count: u32,
    },
    Breaker {
        to: String,
    },
    Commanded {
        verb: String,
    },
    OutputStuck {
        output: String,
        reason: String,
    },
    OutputFlows {
        output: String,
    },
    OutputDropped {
        bytes: u64,
    },
    LimitExceeded {
        run: u64,
        limit: String,
        severity: String,
        value: String,
        most: String,
        #[serde(default)]
        held: bool,
    },
    LimitAction {
        run: u64,
        limit: String,
        action: String,
    },
    LimitEased {
        run: u64,
        limit: String,
        lasted: u64,
    },
    OomKilled {
        run: u64,
        count: u64,
        most: String,
    },
    LimitFailed {
        reason: String,
    },
    MasterStarted {
        adopted: u32,
    },
    MasterStopping {
        reason: String,
    },
    StateReplaced {
        reason: String,
    },
    StateUnwritable {
        reason: String,
    },
    StateWritable {},
    RoleLost {
        role: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// A kind of a later version: kept as its place in the journal.
    #[serde(other)]
    Other,
}

/// An event as text.
pub(crate) fn encode_event(event: &Event) -> String {
    let text = EventText {
        sequence: event.sequence,
        at: event.at.0,
        worker: event.worker.as_ref().map(|worker| worker.as_str().to_owned()),
        actor: match event.actor {
            Actor::Master => ActorText::Master,
            Actor::Configuration => ActorText::Configuration,
            Actor::Operator { uid } => ActorText::Operator(uid),
            Actor::Signal(number) => ActorText::Signal(number),
            Actor::Worker => ActorText::Worker,
        },
        kind: kind_text(&event.kind),
    };
    serde_json::to_string(&text).unwrap_or_default()
}

fn kind_text(kind: &EventKind) -> KindText {
    match kind.clone() {
        EventKind::Registered => KindText::Registered,
        EventKind::Removed => KindText::Removed,
        EventKind::StateChanged { from, to, reason } => KindText::StateChanged {
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            reason,
        },
        EventKind::Spawned { run, pid } => KindText::Spawned { run: run.0, pid },
        EventKind::Adopted { run, pid } => KindText::Adopted { run: run.0, pid },
        EventKind::Released { run, reason } => KindText::Released { run: run.0, reason },
        EventKind::NotFound { reason } => KindText::NotFound { reason },
        EventKind::SpawnFailed { run, error } => KindText::SpawnFailed { run: run.0, error },
        EventKind::Exited { run, exit, lasted } => {
            KindText::Exited { run: run.0, exit: exit.into(), lasted: nanoseconds(lasted) }
        }
        EventKind::RestartScheduled { attempt, limit, delay } => {
            KindText::RestartScheduled { attempt, limit, delay: nanoseconds(delay) }
        }
        EventKind::RestartRefused { reason } => KindText::RestartRefused { reason },
        EventKind::Signalled { run, signal } => KindText::Signalled { run: run.0, signal },
        EventKind::Told { run, phase } => {
            KindText::Told { run: run.0, phase: phase.as_str().to_owned() }
        }
        EventKind::MainProcess { run, pid } => KindText::MainProcess { run: run.0, pid },
        EventKind::MainProcessRefused { run, pid, reason } => {
            KindText::MainProcessRefused { run: run.0, pid, reason }
        }
        EventKind::Killed { run } => KindText::Killed { run: run.0 },
        EventKind::LeftBehind { run, count } => KindText::LeftBehind { run: run.0, count },
        EventKind::Survived { run, count } => KindText::Survived { run: run.0, count },
        EventKind::Breaker { to } => KindText::Breaker { to: to.as_str().to_owned() },
        EventKind::CheckChanged { run, check, to, reason } => {
            KindText::CheckChanged { run: run.0, check, to: to.as_str().to_owned(), reason }
        }
        EventKind::HealthChanged { run, from, to, ready, reason } => KindText::HealthChanged {
            run: run.0,
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            ready,
            reason,
        },
        EventKind::Commanded { verb } => KindText::Commanded { verb },
        EventKind::OutputStuck { output, reason } => KindText::OutputStuck { output, reason },
        EventKind::OutputFlows { output } => KindText::OutputFlows { output },
        EventKind::OutputDropped { bytes } => KindText::OutputDropped { bytes },
        EventKind::LimitExceeded { run, limit, severity, value, most, held } => {
            let severity = severity.as_str().to_owned();
            KindText::LimitExceeded { run: run.0, limit, severity, value, most, held }
        }
        EventKind::LimitAction { run, limit, action } => {
            KindText::LimitAction { run: run.0, limit, action }
        }
        EventKind::LimitEased { run, limit, lasted } => {
            KindText::LimitEased { run: run.0, limit, lasted: nanoseconds(lasted) }
        }
        EventKind::OomKilled { run, count, most } => {
            KindText::OomKilled { run: run.0, count, most }
        }
        EventKind::LimitFailed { reason } => KindText::LimitFailed { reason },
        EventKind::MasterStarted { adopted } => KindText::MasterStarted { adopted },
        EventKind::MasterStopping { reason } => KindText::MasterStopping { reason },
        EventKind::StateReplaced { reason } => KindText::StateReplaced { reason },
        EventKind::StateUnwritable { reason } => KindText::StateUnwritable { reason },
        EventKind::StateWritable => KindText::StateWritable {},
        EventKind::RoleLost { role, reason } => KindText::RoleLost { role, reason },
    }
}

/// An event from text; none when it is none, or one of a later version.
pub(crate) fn decode_event(text: &str) -> Option<Event> {
    let text: EventText = serde_json::from_str(text).ok()?;
    Some(Event {
        sequence: text.sequence,
        at: WallTime(text.at),
        worker: match text.worker {
            Some(worker) => Some(WorkerId::new(&worker).ok()?),
            None => None,
        },
        actor: match text.actor {
            ActorText::Master => Actor::Master,
            ActorText::Configuration => Actor::Configuration,
            ActorText::Operator(uid) => Actor::Operator { uid },
            ActorText::Signal(number) => Actor::Signal(number),
            ActorText::Worker => Actor::Worker,
        },
        kind: event_kind(text.kind)?,
    })
}

fn event_kind(text: KindText) -> Option<EventKind> {
    Some(match text {
        KindText::Registered => EventKind::Registered,
        KindText::Removed => EventKind::Removed,
        KindText::StateChanged { from, to, reason } => {
            EventKind::StateChanged { from: state(&from)?, to: state(&to)?, reason }
        }
        KindText::Spawned { run, pid } => EventKind::Spawned { run: RunId(run), pid },
        KindText::Adopted { run, pid } => EventKind::Adopted { run: RunId(run), pid },
        KindText::Released { run, reason } => EventKind::Released { run: RunId(run), reason },
        KindText::NotFound { reason } => EventKind::NotFound { reason },
        KindText::SpawnFailed { run, error } => EventKind::SpawnFailed { run: RunId(run), error },
        KindText::Exited { run, exit, lasted } => EventKind::Exited {
            run: RunId(run),
            exit: exit.into(),
            lasted: Duration::from_nanos(lasted),
        },
        KindText::RestartScheduled { attempt, limit, delay } => {
            EventKind::RestartScheduled { attempt, limit, delay: Duration::from_nanos(delay) }
        }
        KindText::RestartRefused { reason } => EventKind::RestartRefused { reason },
        KindText::Signalled { run, signal } => EventKind::Signalled { run: RunId(run), signal },
        KindText::Told { run, phase } => {
            EventKind::Told { run: RunId(run), phase: told_phase(&phase)? }
        }
        KindText::MainProcess { run, pid } => EventKind::MainProcess { run: RunId(run), pid },
        KindText::MainProcessRefused { run, pid, reason } => {
            EventKind::MainProcessRefused { run: RunId(run), pid, reason }
        }
        KindText::Killed { run } => EventKind::Killed { run: RunId(run) },
        KindText::LeftBehind { run, count } => EventKind::LeftBehind { run: RunId(run), count },
        KindText::Survived { run, count } => EventKind::Survived { run: RunId(run), count },
        KindText::Breaker { to } => EventKind::Breaker { to: breaker_state(&to)? },
        KindText::CheckChanged { run, check, to, reason } => {
            EventKind::CheckChanged { run: RunId(run), check, to: Verdict::from_word(&to)?, reason }
        }
        KindText::HealthChanged { run, from, to, ready, reason } => EventKind::HealthChanged {
            run: RunId(run),
            from: Condition::from_word(&from)?,
            to: Condition::from_word(&to)?,
            ready,
            reason,
        },
        KindText::Commanded { verb } => EventKind::Commanded { verb },
        KindText::OutputStuck { output, reason } => EventKind::OutputStuck { output, reason },
        KindText::OutputFlows { output } => EventKind::OutputFlows { output },
        KindText::OutputDropped { bytes } => EventKind::OutputDropped { bytes },
        KindText::LimitExceeded { run, limit, severity, value, most, held } => {
            let known = Severity::ALL.into_iter().find(|one| one.as_str() == severity);
            EventKind::LimitExceeded { run: RunId(run), limit, severity: known?, value, most, held }
        }
        KindText::LimitAction { run, limit, action } => {
            EventKind::LimitAction { run: RunId(run), limit, action }
        }
        KindText::LimitEased { run, limit, lasted } => {
            EventKind::LimitEased { run: RunId(run), limit, lasted: Duration::from_nanos(lasted) }
        }
        KindText::OomKilled { run, count, most } => {
            EventKind::OomKilled { run: RunId(run), count, most }
        }
        KindText::LimitFailed { reason } => EventKind::LimitFailed { reason },
        KindText::MasterStarted { adopted } => EventKind::MasterStarted { adopted },
        KindText::MasterStopping { reason } => EventKind::MasterStopping { reason },
        KindText::StateReplaced { reason } => EventKind::StateReplaced { reason },
        KindText::StateUnwritable { reason } => EventKind::StateUnwritable { reason },
        KindText::StateWritable {} => EventKind::StateWritable,
        KindText::RoleLost { role, reason } => EventKind::RoleLost { role, reason },
        KindText::Other => return None,
    })
}
