//! Statuses as text: what a worker was after an event. What is as usual is left out.

use hsu_model::health::{Condition, HealthStatus};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::status::{BreakerState, Desired, LastExit, ToldStatus, WorkerStatus};
use hsu_model::time::{Now, Tick, WallTime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{LastExitText, breaker_state, nanoseconds, state, told_phase};
use crate::batch::Moment;

/// A worker that was no more.
pub(crate) const GONE: &str = "null";

#[derive(Debug, Serialize, Deserialize)]
struct StatusText {
    at: i64,
    tick: u64,
    state: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(default, skip_serializing_if = "is_false")]
    disabled: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    unwanted: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    ready: bool,
    /// The condition in a word; what each check said is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
    /// The PID, and the kernel's time of its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<(u32, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<(u64, i64)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    restarts: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    attempts: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    breaker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_exit: Option<LastExitText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_attempt: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    survivors: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attached: Vec<(u32, u64)>,
    /// How far it said that it is, and what it was doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<(String, String)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What a worker was, as text.
pub(crate) fn encode_status(moment: &Moment) -> String {
    let Some(status) = &moment.status else {
        return GONE.to_owned();
    };
    let breaker = (status.breaker != BreakerState::Closed).then(|| status.breaker.as_str());
    let text = StatusText {
        at: moment.at.wall.0,
        tick: moment.at.tick.0,
        state: status.state.as_str().to_owned(),
        reason: status.reason.clone(),
        disabled: !status.enabled,
        unwanted: status.desired == Desired::Stopped,
        ready: status.ready,
        health: status.health.as_ref().map(|health| health.condition.as_str().to_owned()),
        run: status.run.map(|run| run.0),
        process: status.process.map(|process| (process.pid, process.started_at)),
        started: status.started_at.map(|(tick, wall)| (tick.0, wall.0)),
        restarts: status.restarts,
        attempts: status.attempts.into(),
        breaker: breaker.map(str::to_owned),
        last_exit: status.last_exit.map(|last| LastExitText {
            run: last.run.0,
            exit: last.exit.into(),
            at: last.at.0,
            lasted: nanoseconds(last.lasted),
        }),
        next_attempt: status.next_attempt.map(|due| due.0),
        survivors: status.survivors.clone(),
        attached: status.attached.iter().map(|one| (one.pid, one.started_at)).collect(),
        told: status.told.as_ref().map(|told| (told.phase.as_str().to_owned(), told.text.clone())),
    };
    serde_json::to_string(&text).unwrap_or_default()
}

fn condition(condition: Condition) -> HealthStatus {
    HealthStatus { condition, checks: Vec::new() }
}

/// What a worker was, from text; none when it is no such text.
pub(crate) fn decode_status(worker: WorkerId, sequence: u64, text: &str) -> Option<Moment> {
    if text == GONE {
        return Some(Moment { sequence, at: Now::default(), worker, status: None });
    }
    let text: StatusText = serde_json::from_str(text).ok()?;
    let breaker = match &text.breaker {
        None => BreakerState::Closed,
        Some(text) => breaker_state(text)?,
    };
    let told = text.told.map(|(phase, text)| Some(ToldStatus { phase: told_phase(&phase)?, text }));
    let status = WorkerStatus {
        told: told.flatten(),
        id: worker.clone(),
        enabled: !text.disabled,
        desired: if text.unwanted { Desired::Stopped } else { Desired::Running },
        state: state(&text.state)?,
        ready: text.ready,
        health: text.health.as_deref().and_then(Condition::from_word).map(condition),
        run: text.run.map(RunId),
        process: text.process.map(|(pid, started_at)| ProcessKey { pid, started_at }),
        started_at: text.started.map(|(tick, wall)| (Tick(tick), WallTime(wall))),
        restarts: text.restarts,
        attempts: u32::try_from(text.attempts).ok()?,
        breaker,
        last_exit: text.last_exit.map(|last| LastExit {
            run: RunId(last.run),
            exit: last.exit.into(),
            at: WallTime(last.at),
            lasted: Duration::from_nanos(last.lasted),
        }),
        next_attempt: text.next_attempt.map(Tick),
        reason: text.reason,
        survivors: text.survivors,
        attached: text
            .attached
            .into_iter()
            .map(|(pid, started_at)| ProcessKey { pid, started_at })
            .collect(),
    };
    let at = Now { tick: Tick(text.tick), wall: WallTime(text.at) };
    Some(Moment { sequence, at, worker, status: Some(status.into()) })
}
