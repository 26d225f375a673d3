//! Records and events as text: JSON of our own shapes, apart from the model, so
//! that the model may change its names and old files stay readable.

use hsu_core::breaker::Breaker;
use hsu_core::record::{Raised, Transition, WorkerRecord};
use hsu_model::discovery::{Hint, ProgramId};
use hsu_model::execution::{Fingerprint, Stop};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;
use hsu_model::status::{BreakerState, Desired, LastExit, ToldPhase, WorkerState};
use hsu_model::time::{Tick, WallTime};
use hsu_model::worker::Departure;
use serde::{Deserialize, Serialize};
use std::time::Duration;

mod event;
mod status;

pub(crate) use event::{decode_event, encode_event};
pub(crate) use status::{GONE, decode_status, encode_status};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    removed: bool,
    wanted: bool,
    enabled: Option<bool>,
    state: String,
    #[serde(default)]
    reason: String,
    run: Option<u64>,
    accounted: Option<u64>,
    started: Option<(u64, i64)>,
    #[serde(default)]
    restarts: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    counts_as_restart: bool,
    #[serde(default)]
    attempts: u32,
    breaker: BreakerText,
    next_attempt: Option<u64>,
    last_exit: Option<LastExitText>,
    #[serde(default)]
    history: Vec<(i64, String, String, String)>,
    /// The signal that asks it to end, and how many nanoseconds it may take.
    stop: Option<(i32, u64)>,
    #[serde(default)]
    pid_file: String,
    /// Of a worker that somebody else starts: the processes that are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attached: Option<Vec<HintText>>,
    /// A run, and what it was started as: a build that does not know this keeps it as it is,
    /// while it starts other runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_started_as: Option<(u64, u64)>,
    /// The latest run that said that it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready_run: Option<u64>,
    /// Limits that are higher than declared: key, paths, how high.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    raised: Vec<RaisedText>,
}

/// Key, paths and how high.
type RaisedText = (String, Vec<String>, u64);

/// Run, PID, start, device and inode.
type HintText = (u64, u32, u64, u64, u64);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BreakerText {
    Closed,
    Open { trial_at: Option<u64> },
    HalfOpen,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct LastExitText {
    run: u64,
    exit: ExitText,
    at: i64,
    lasted: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ExitText {
    Code(i32),
    Signal(i32),
    Core(i32),
    KeeperLost,
    NotOurChild,
    Reboot,
    NeverSeen,
    Unwatched,
}

impl From<Exit> for ExitText {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal { number, core: false } => Self::Signal(number),
            Exit::Signal { number, core: true } => Self::Core(number),
            Exit::Unknown(UnknownExit::KeeperLost) => Self::KeeperLost,
            Exit::Unknown(UnknownExit::NotOurChild) => Self::NotOurChild,
            Exit::Unknown(UnknownExit::Reboot) => Self::Reboot,
            Exit::Unknown(UnknownExit::NeverSeen) => Self::NeverSeen,
            Exit::Unknown(UnknownExit::Unwatched) => Self::Unwatched,
        }
    }
}

impl From<ExitText> for Exit {
    fn from(text: ExitText) -> Self {
        match text {
            ExitText::Code(code) => Self::Code(code),
            ExitText::Signal(number) => Self::Signal { number, core: false },
            ExitText::Core(number) => Self::Signal { number, core: true },
            ExitText::KeeperLost => Self::Unknown(UnknownExit::KeeperLost),
            ExitText::NotOurChild => Self::Unknown(UnknownExit::NotOurChild),
            ExitText::Reboot => Self::Unknown(UnknownExit::Reboot),
            ExitText::NeverSeen => Self::Unknown(UnknownExit::NeverSeen),
            ExitText::Unwatched => Self::Unknown(UnknownExit::Unwatched),
        }
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn state(text: &str) -> Option<WorkerState> {
    WorkerState::ALL.into_iter().find(|state| state.as_str() == text)
}

fn told_phase(text: &str) -> Option<ToldPhase> {
    ToldPhase::ALL.into_iter().find(|phase| phase.as_str() == text)
}

fn breaker_state(text: &str) -> Option<BreakerState> {
    [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen]
        .into_iter()
        .find(|state| state.as_str() == text)
}

/// What a worker leaves that an operator removed.
pub(crate) const STONE: &str = "{\"removed\":true}";

/// A record as text.
pub(crate) fn encode_record(record: &WorkerRecord) -> String {
    let departure = &record.departure;
    let text = Record {
        removed: record.removed,
        wanted: record.desired == Desired::Running,
        enabled: record.enabled,
        state: record.state.as_str().to_owned(),
        reason: record.reason.clone(),
        run: record.run.map(|run| run.0),
        accounted: record.accounted.map(|run| run.0),
        started: record.started.map(|(tick, wall)| (tick.0, wall.0)),
        restarts: record.restarts,
        counts_as_restart: record.counts_as_restart,
        attempts: record.attempts,
        breaker: match record.breaker {
            Breaker::Closed => BreakerText::Closed,
            Breaker::Open { trial_at } => {
                BreakerText::Open { trial_at: trial_at.map(|tick| tick.0) }
            }
            Breaker::HalfOpen => BreakerText::HalfOpen,
        },
        next_attempt: record.next_attempt.map(|tick| tick.0),
        last_exit: record.last_exit.map(|last| LastExitText {
            run: last.run.0,
            exit: last.exit.into(),
            at: last.at.0,
            lasted: nanoseconds(last.lasted),
        }),
        history: record
            .history
            .iter()
            .map(|change| {
                let (from, to) = (change.from.as_str(), change.to.as_str());
                (change.at.0, from.to_owned(), to.to_owned(), change.reason.to_string())
            })
            .collect(),
        stop: Some((departure.stop.signal, nanoseconds(departure.stop.graceful_timeout))),
        pid_file: departure.pid_file.clone(),
        attached: record.attached.as_ref().map(|hints| hints.iter().map(hint_text).collect()),
        run_started_as: record.run.zip(record.started_as).map(|(run, print)| (run.0, print.0)),
        ready_run: record.ready_run.map(|run| run.0),
        raised: record.raised.iter().map(raised_text).collect(),
    };
    serde_json::to_string(&text).unwrap_or_default()
}

/// A record with the fields of it that a later version has written.
pub(crate) fn with_extra(mut text: String, extra: Option<&String>) -> String {
    if let Some(extra) = extra
        && text.ends_with('}')
    {
        text.truncate(text.len() - 1);
        text.push_str(extra);
        text.push('}');
    }
    text
}

/// A record from text, and the fields of it that a later version has written, as they are
/// to be written again; none when it is no record.
pub(crate) fn decode_record_and_rest(text: &str) -> Option<(WorkerRecord, Option<String>)> {
    type Fields = serde_json::Map<String, serde_json::Value>;
    if let Some(record) = decode_record(text) {
        return Some((record, None));
    }
    let known: Fields = serde_json::from_str(&encode_record(&full_record())).ok()?;
    let found: Fields = serde_json::from_str(text).ok()?;
    let (ours, rest): (Fields, Fields) =
        found.into_iter().partition(|(key, _)| known.contains_key(key));
    let record = decode_record(&serde_json::to_string(&ours).ok()?)?;
    let rest = serde_json::to_string(&rest).ok()?;
    let rest = rest.strip_prefix('{')?.strip_suffix('}')?;
    Some((record, (!rest.is_empty()).then(|| format!(",{rest}"))))
}

/// A record from text; none when it is no record, or has fields of a later version.
pub(crate) fn decode_record(text: &str) -> Option<WorkerRecord> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Stone {
        removed: bool,
    }
    let Ok(record) = serde_json::from_str::<Record>(text) else {
        let is_stone = serde_json::from_str::<Stone>(text).is_ok_and(|stone| stone.removed);
        return is_stone.then(removed_record);
    };
    Some(WorkerRecord {
        desired: if record.wanted { Desired::Running } else { Desired::Stopped },
        enabled: record.enabled,
        removed: record.removed,
        state: state(&record.state)?,
        reason: record.reason,
        run: record.run.map(RunId),
        accounted: record.accounted.map(RunId),
        started: record.started.map(|(tick, wall)| (Tick(tick), WallTime(wall))),
        restarts: record.restarts,
        counts_as_restart: record.counts_as_restart,
        attempts: record.attempts,
        breaker: match record.breaker {
            BreakerText::Closed => Breaker::Closed,
            BreakerText::Open { trial_at } => Breaker::Open { trial_at: trial_at.map(Tick) },
            BreakerText::HalfOpen => Breaker::HalfOpen,
        },
        next_attempt: record.next_attempt.map(Tick),
        last_exit: record.last_exit.map(|last| LastExit {
            run: RunId(last.run),
            exit: last.exit.into(),
            at: WallTime(last.at),
            lasted: Duration::from_nanos(last.lasted),
        }),
        history: record
            .history
            .into_iter()
            .filter_map(|(at, from, to, reason)| {
                let (from, to) = (state(&from)?, state(&to)?);
                Some(Transition { at: WallTime(at), from, to, reason: reason.into() })
            })
            .collect(),
        departure: Departure {
            stop: record.stop.map_or_else(Stop::default, |(signal, grace)| Stop {
                signal,
                graceful_timeout: Duration::from_nanos(grace),
            }),
            pid_file: record.pid_file,
        },
        attached: record.attached.map(|hints| hints.into_iter().map(hint).collect()),
        started_as: record
            .run_started_as
            .filter(|(run, _)| Some(*run) == record.run)
            .map(|(_, print)| Fingerprint(print)),
        ready_run: record.ready_run.map(RunId),
        raised: record.raised.into_iter().map(raised).collect(),
    })
}

fn hint_text(hint: &Hint) -> HintText {
    let (process, program) = (hint.process, hint.program);
    (hint.run.0, process.pid, process.started_at, program.device, program.inode)
}

fn hint((run, pid, started_at, device, inode): HintText) -> Hint {
    Hint {
        run: RunId(run),
        process: ProcessKey { pid, started_at },
        program: ProgramId { device, inode },
    }
}

fn raised_text(raised: &Raised) -> RaisedText {
    (raised.limit.clone(), raised.paths.clone(), raised.most)
}

fn raised((limit, paths, most): RaisedText) -> Raised {
    Raised { limit, paths, most }
}

fn removed_record() -> WorkerRecord {
    WorkerRecord {
        desired: Desired::Stopped,
        enabled: None,
        removed: true,
        state: WorkerState::Registered,
        reason: String::new(),
        run: None,
        accounted: None,
        started: None,
        restarts: 0,
        counts_as_restart: false,
        attempts: 0,
        breaker: Breaker::Closed,
        next_attempt: None,
        last_exit: None,
        history: std::collections::VecDeque::new(),
        departure: Departure::default(),
        attached: None,
        started_as: None,
        ready_run: None,
        raised: Vec::new(),
    }
}

/// One that has every field.
fn full_record() -> WorkerRecord {
    let raised = Raised { limit: String::new(), paths: Vec::new(), most: 0 };
    WorkerRecord {
        attached: Some(Vec::new()),
        started_as: Some(Fingerprint(0)),
        run: Some(RunId(0)),
        ready_run: Some(RunId(0)),
        counts_as_restart: true,
        raised: vec![raised],
        ..removed_record()
    }
}

#[cfg(test)]
mod tests;
