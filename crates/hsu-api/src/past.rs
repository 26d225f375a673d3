//! The past on the wire: the fleet as it was, what changed, and the journal as a file.
//!
//! The journal holds events, and after each change what a worker was. [`Past`] plays both:
//! at the end of a round of the master the statuses are its own words; between two of them
//! the events of the moment are folded in, and the worker is not `exact`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::EventView;
use crate::worker::{ExitView, WorkerView};

/// A moment of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentView {
    /// The number of its latest event.
    pub sequence: u64,
    /// When.
    pub at: String,
}

/// What a worker was from one event on: a record of `GET /v1/journal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The number of the event.
    pub sequence: u64,
    /// When.
    pub at: String,
    /// Its name.
    pub id: String,
    /// What it was; null when it was no more.
    pub status: Option<WorkerView>,
}

/// One line of `GET /v1/journal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalLine {
    /// The first line: what the file is.
    Journal(JournalHead),
    /// Something that happened.
    Event(EventView),
    /// What a worker was from then on.
    Status(Box<StatusView>),
}

/// What an exported journal is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// The version of the form, 1.
    pub form: u32,
    /// The version of the master that wrote it.
    pub version: String,
    /// Where it begins; none when it is empty.
    pub first: Option<u64>,
    /// Where it ends.
    pub last: Option<u64>,
}

/// The form of an exported journal.
pub const JOURNAL_FORM: u32 = 1;

/// `GET /v1/workers?at=…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastList {
    /// The moment.
    pub moment: MomentView,
    /// The workers as they were, by id.
    pub workers: Vec<WorkerView>,
    /// Workers of which some facts are not known, because the moment lies between two events of
    /// one change, or because the version that ran then wrote none.
    pub inexact: Vec<String>,
}

/// `GET /v1/workers/{id}/history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryView {
    /// The worker.
    pub worker: String,
    /// Where the journal begins.
    pub begins: Option<MomentView>,
    /// What happened, oldest first.
    pub events: Vec<CausedView>,
}

/// An event and what led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CausedView {
    /// The number of the event that led to it, as far as the journal shows one.
    pub cause: Option<u64>,
    /// The event.
    #[serde(flatten)]
    pub event: EventView,
}

/// `GET /v1/diff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiffView {
    /// The earlier moment.
    pub from: MomentView,
    /// The later one.
    pub to: MomentView,
    /// The workers that changed, by id.
    pub workers: Vec<WorkerDiff>,
    /// What happened to the master itself meanwhile.
    pub master: Vec<EventView>,
}

/// What changed for one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerDiff {
    /// Its name.
    pub id: String,
    /// What is different at the end.
    pub changes: Vec<FieldDiff>,
    /// What happened meanwhile, oldest first, the latest [`WorkerDiff::MOST`].
    pub events: Vec<CausedView>,
    /// Earlier events that are left out.
    pub omitted: usize,
}

impl WorkerDiff {
    /// Events of one worker that a difference holds.
    pub const MOST: usize = 50;
}

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldDiff {
    /// Its name, as in a worker.
    pub field: String,
    /// What it was; null when there was no worker.
    pub before: Value,
    /// What it is.
    pub after: Value,
}

/// What changes by itself, and is no difference.
const CLOCKS: [&str; 5] =
    ["uptime_seconds", "next_attempt_seconds", "cpu_seconds", "memory_bytes", "id"];

/// What is different between two moments of a worker.
#[must_use]
pub fn differences(before: Option<&WorkerView>, after: Option<&WorkerView>) -> Vec<FieldDiff> {
    let fields = |view: Option<&WorkerView>| match view.map(serde_json::to_value) {
        Some(Ok(Value::Object(fields))) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (fields(before), fields(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |fields: &serde_json::Map<String, Value>, name: &str| {
        fields.get(name).cloned().unwrap_or(Value::Null)
    };
    names
        .into_iter()
        .filter(|name| !CLOCKS.contains(&name.as_str()))
        .map(|name| FieldDiff {
            field: name.clone(),
            before: of(&before, name),
            after: of(&after, name),
        })
        .filter(|diff| diff.before != diff.after)
        .collect()
}

/// The fleet at a moment, played from the journal.
#[derive(Clone, Debug, Default)]
pub struct Past {
    workers: BTreeMap<String, (WorkerView, bool)>,
}

impl Past {
    /// A worker was this, in the master's own words.
    pub fn set(&mut self, id: &str, status: Option<WorkerView>) {
        match status {
            Some(view) => drop(self.workers.insert(id.to_owned(), (view, true))),
            None => drop(self.workers.remove(id)),
        }
    }

    /// Something happened after which no status was written yet.
    pub fn fold(&mut self, event: &EventView) {
        let Some(id) = &event.worker else { return };
        if event.kind == "removed" {
            self.workers.remove(id);
            return;
        }
        let Some((view, is_exact)) = self.workers.get_mut(id) else { return };
        *is_exact = false;
        let text = |name: &str| event.fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| event.fields.get(name).and_then(Value::as_u64);
        match event.kind.as_str() {
            "state_changed" => {
                view.state = text("to").unwrap_or_default();
                view.reason = text("reason").unwrap_or_default();
                view.ready = view.state == "running";
            }
            "spawned" | "adopted" => {
                view.run = number("run");
                view.pid = number("pid").and_then(|pid| u32::try_from(pid).ok());
                view.uptime_seconds = Some(0.0);
            }
            "exited" => {
                let exit = event.fields.get("exit").cloned().unwrap_or_default();
                let exit = serde_json::from_value::<ExitView>(exit).ok();
                view.last_exit = exit.map(|exit| ExitView {
                    run: number("run"),
                    at: Some(event.at.clone()),
                    lasted_seconds: event.fields.get("lasted_seconds").and_then(Value::as_f64),
                    ..exit
                });
                (view.pid, view.uptime_seconds) = (None, None);
            }
            "breaker" => view.breaker = text("to").unwrap_or_default(),
            "restart_scheduled" => {
                let attempt = number("attempt").and_then(|attempt| u32::try_from(attempt).ok());
                view.attempts = attempt.unwrap_or(view.attempts);
            }
            _ => {}
        }
    }

    /// The workers, and those that are not exact.
    #[must_use]
    pub fn into_workers(self) -> (Vec<WorkerView>, Vec<String>) {
        let inexact = self.workers.iter().filter(|(_, (_, is_exact))| !is_exact);
        let inexact = inexact.map(|(id, _)| id.clone()).collect();
        (self.workers.into_values().map(|(view, _)| view).collect(), inexact)
    }

    /// One worker.
    #[must_use]
    pub fn worker(&self, id: &str) -> Option<&WorkerView> {
        self.workers.get(id).map(|(view, _)| view)
    }
}

/// Finds for each event the one that led to it.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    /// Of each worker the latest event of each kind.
    latest: BTreeMap<(String, String), u64>,
    /// The latest event about the master itself that moves workers, and whether it begins.
    master: Option<(u64, bool)>,
}

/// The kinds of events that may have led to an event, by its kind.
fn causes_of(event: &EventView) -> &'static [&'static str] {
    let to = event.fields.get("to").and_then(Value::as_str).unwrap_or_default();
    match (event.kind.as_str(), to) {
        ("state_changed", "running") => &["spawned", "adopted"],
        ("state_changed", "starting") => {
            &["commanded", "restart_scheduled", "exited", "breaker", "master"]
        }
        ("state_changed", "stopping") => {
            &["commanded", "adopted", "master", "health_changed", "limit_action"]
        }
        ("state_changed", "backing-off") => &["restart_scheduled", "spawn_failed"],
        ("state_changed", "tripped" | "failed") => &["restart_refused", "spawn_failed", "exited"],
        ("state_changed", _) => {
            &["exited", "commanded", "spawn_failed", "restart_refused", "master"]
        }
        ("spawned" | "spawn_failed", _) => &["state_changed"],
        ("signalled", _) => &["commanded", "state_changed"],
        ("killed", _) => &["signalled", "commanded", "limit_action"],
        ("survived" | "left_behind", _) => &["killed", "exited"],
        ("exited", _) => &["killed", "signalled", "oom_killed"],
        ("restart_scheduled" | "restart_refused", _) => &["exited", "spawn_failed"],
        ("breaker", _) => &["commanded", "exited", "spawned"],
        ("health_changed", _) => &["check_changed"],
        ("limit_action" | "limit_eased", _) => &["limit_exceeded"],
        ("adopted", _) => &["master"],
        ("removed", _) => &["commanded", "exited", "master"],
        _ => &[],
    }
}

/// Events about one run, which lead to nothing in the next one.
const OF_A_RUN: [&str; 8] = [
    "signalled",
    "killed",
    "exited",
    "oom_killed",
    "check_changed",
    "health_changed",
    "limit_exceeded",
    "limit_action",
];

impl Causes {
    /// The number of the event that led to this one; to be asked of each event in order.
    pub fn of(&mut self, event: &EventView) -> Option<u64> {
        let Some(worker) = &event.worker else {
            match event.kind.as_str() {
                "master_started" => self.master = Some((event.sequence, true)),
                "master_stopping" | "role_lost" => self.master = Some((event.sequence, false)),
                _ => {}
            }
            return None;
        };
        let found = causes_of(event).iter().filter_map(|kind| match *kind {
            // What it decides by its own rules later on does not follow from its beginning.
            "master" => self
                .master
                .filter(|(_, begins)| !begins || event.kind == "adopted" || event.actor != "master")
                .map(|(sequence, _)| sequence),
            kind => self.latest.get(&(worker.clone(), kind.to_owned())).copied(),
        });
        let cause = found.max();
        let to = event.fields.get("to").and_then(Value::as_str);
        let over: &[&str] = match event.kind.as_str() {
            // What befell an earlier run does not lead to what becomes of this one.
            "spawned" => &OF_A_RUN,
            "limit_eased" => &["limit_exceeded", "limit_action"],
            _ => &[],
        };
        for kind in over {
            self.latest.remove(&(worker.clone(), (*kind).to_owned()));
        }
        let key = (worker.clone(), event.kind.clone());
        if event.kind == "health_changed" && to != Some("unhealthy") {
            // Nobody is ended for that.
            self.latest.remove(&key);
        } else {
            self.latest.insert(key, event.sequence);
        }
        cause
    }
}

#[cfg(test)]
mod tests {
    use hsu_model::time::WallTime;
    use serde_json::json;

    use super::*;

    fn event(sequence: u64, kind: &str, fields: &Value) -> EventView {
        let mut value = json!({"sequence": sequence, "at": "2026-01-01T00:00:00.000Z",
            "worker": "web", "actor": "master", "kind": kind, "text": ""});
        for (name, field) in fields.as_object().unwrap() {
            value[name] = field.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_chain_of_causes_leads_from_a_start_back_to_the_order() {
        let mut causes = Causes::default();
        let events = [
            event(1, "commanded", &json!({"verb": "restart"})),
            event(2, "state_changed", &json!({"from": "running", "to": "stopping"})),
            event(3, "signalled", &json!({"run": 1, "signal": 15})),
            event(4, "exited", &json!({"run": 1})),
            event(5, "state_changed", &json!({"from": "stopping", "to": "starting"})),
            event(6, "spawned", &json!({"run": 2, "pid": 7})),
            event(7, "state_changed", &json!({"from": "starting", "to": "running"})),
            event(8, "exited", &json!({"run": 2})),
            event(9, "restart_scheduled", &json!({"attempt": 1})),
        ];
        let found: Vec<_> = events.iter().map(|event| causes.of(event)).collect();
        let expected = [None, Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), None, Some(8)];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_end_for_health_or_a_limit_leads_back_to_what_was_seen() {
        let mut causes = Causes::default();
        let events = [
            event(1, "check_changed", &json!({"run": 1, "to": "passing"})),
            event(2, "health_changed", &json!({"run": 1, "to": "healthy"})),
            event(3, "check_changed", &json!({"run": 1, "to": "failing"})),
            event(4, "health_changed", &json!({"run": 1, "to": "unhealthy"})),
            event(5, "state_changed", &json!({"from": "running", "to": "stopping"})),
            event(6, "spawned", &json!({"run": 2, "pid": 7})),
            event(7, "health_changed", &json!({"run": 2, "to": "healthy"})),
            event(8, "limit_exceeded", &json!({"run": 2})),
            event(9, "limit_action", &json!({"run": 2})),
            event(10, "state_changed", &json!({"from": "running", "to": "stopping"})),
            event(11, "spawned", &json!({"run": 3, "pid": 8})),
            event(12, "state_changed", &json!({"from": "running", "to": "stopping"})),
        ];
        let found: Vec<_> = events.iter().map(|event| causes.of(event)).collect();
        let of = |number: usize| found.get(number - 1).copied().flatten();
        assert_eq!([2, 4, 5].map(of), [Some(1), Some(3), Some(4)]);
        assert_eq!([9, 10, 12].map(of), [Some(8), Some(9), None]);
    }

    #[test]
    fn a_master_that_begins_leads_to_what_it_takes_up_and_to_nothing_that_it_decides_later() {
        let mut causes = Causes::default();
        let of_master = |sequence, kind: &str| {
            let fields = json!({"worker": null});
            event(sequence, kind, &fields)
        };
        let events = [
            event(1, "restart_refused", &json!({})),
            of_master(2, "master_started"),
            event(3, "adopted", &json!({"run": 1})),
            event(4, "state_changed", &json!({"to": "searching", "actor": "configuration"})),
            event(5, "state_changed", &json!({"to": "stopping"})),
            of_master(6, "master_stopping"),
            event(7, "state_changed", &json!({"to": "stopping"})),
        ];
        let found: Vec<_> = events.iter().map(|event| causes.of(event)).collect();
        assert_eq!(found, [None, None, Some(2), Some(2), Some(3), None, Some(6)]);
    }

    #[test]
    fn only_what_differs_is_a_difference_and_clocks_are_none() {
        let view: WorkerView = serde_json::from_value(json!({
            "id": "web", "state": "running", "ready": true, "enabled": true, "desired": "running",
            "pid": 7, "run": 1, "uptime_seconds": 1.0, "restarts": 0, "attempts": 0,
            "last_exit": null, "breaker": "closed", "next_attempt_seconds": null, "reason": "",
            "cpu_seconds": null, "memory_bytes": null
        }))
        .unwrap();
        let later = WorkerView { uptime_seconds: Some(9.0), restarts: 2, ..view.clone() };
        let found = differences(Some(&view), Some(&later));
        let expected =
            FieldDiff { field: "restarts".to_owned(), before: json!(0), after: json!(2) };
        assert_eq!(found, [expected]);
        assert_eq!(differences(Some(&view), Some(&view)), []);
        assert!(differences(None, Some(&view)).iter().all(|diff| diff.before.is_null()));
    }

    #[test]
    fn between_two_statuses_the_events_of_the_moment_are_folded_in_and_said_not_to_be_exact() {
        let mut past = Past::default();
        let view: WorkerView = serde_json::from_value(json!({
            "id": "web", "state": "running", "ready": true, "enabled": true, "desired": "running",
            "pid": 7, "run": 1, "uptime_seconds": 1.0, "restarts": 0, "attempts": 0,
            "last_exit": null, "breaker": "closed", "next_attempt_seconds": null, "reason": "",
            "cpu_seconds": null, "memory_bytes": null
        }))
        .unwrap();
        past.set("web", Some(view));
        past.fold(&event(2, "state_changed", &json!({"to": "stopping", "reason": "asked"})));
        let (workers, inexact) = past.into_workers();
        assert_eq!((workers[0].state.as_str(), workers[0].ready), ("stopping", false));
        assert_eq!(inexact, ["web"]);
    }

    #[test]
    fn a_worker_at_an_earlier_time_has_run_for_less_and_rests_for_longer() {
        let mut view: WorkerView = serde_json::from_value(json!({
            "id": "web", "state": "running", "ready": true, "enabled": true, "desired": "running",
            "pid": 7, "run": 1, "uptime_seconds": 6.0, "restarts": 0, "attempts": 0,
            "last_exit": null, "breaker": "closed", "next_attempt_seconds": 1.0, "reason": "",
            "cpu_seconds": null, "memory_bytes": null
        }))
        .unwrap();
        let (written, asked) = (WallTime(9_000_000_000), WallTime(5_000_000_000));
        view.pass(crate::seconds_between(written, asked));
        assert_eq!((view.uptime_seconds, view.next_attempt_seconds), (Some(2.0), Some(5.0)));
        view.pass(-60.0);
        assert_eq!(view.uptime_seconds, Some(0.0), "it had not begun");
    }
}
