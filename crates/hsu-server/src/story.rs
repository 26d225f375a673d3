//! Stories: what several events mean together.

use std::time::Duration;

use hsu_api::{EventView, ExitView, WorkerView};
use hsu_model::exit::signal_name;
use hsu_model::time::WallTime;

/// SIGKILL: the end of a run that did not do what it was asked.
const KILL: i32 = 9;
/// What is told of limits at most.
const LIMIT_STORY: usize = 4;

/// How a run that was told to end was asked, how long it was waited for, and that it was killed.
/// Nothing when the latest exit was not a kill of ours.
pub(crate) fn of_a_kill(
    events: &[EventView],
    exit: Option<&ExitView>,
    grace: Duration,
) -> Option<String> {
    let exit = exit.filter(|exit| exit.signal == Some(KILL))?;
    let latest = |kind: &str| {
        let of_the_run = |event: &&EventView| {
            let run = event.fields.get("run").and_then(serde_json::Value::as_u64);
            event.kind == kind && run == exit.run
        };
        events.iter().rev().find(of_the_run)
    };
    let killed = latest("killed")?;
    let end = format!("it was killed with its whole tree (SIGKILL) at {}", killed.at);
    let Some(asked) = latest("signalled") else {
        return Some(end);
    };
    let number = asked.fields.get("signal").and_then(serde_json::Value::as_i64).unwrap_or(0);
    let name = i32::try_from(number).ok().and_then(signal_name);
    let name = name.map_or_else(|| format!("signal {number}"), str::to_owned);
    let seconds = grace.as_secs_f64();
    let grace = if between(&asked.at, &killed.at) >= grace {
        format!("its grace of {seconds} s ran out")
    } else {
        format!("its grace of {seconds} s was cut short by {}", killed.actor)
    };
    Some(format!("asked to end with {name} at {}; {grace}; {end}", asked.at))
}

/// What the latest ended run had left behind, and what to do when that was the point of it.
pub(crate) fn of_leftovers(events: &[EventView], worker: &WorkerView) -> Option<String> {
    let exit = worker.last_exit.as_ref()?;
    let run = exit.run?;
    let is_its_own = |event: &&EventView| {
        event.kind == "left_behind"
            && event.fields.get("run").and_then(serde_json::Value::as_u64) == Some(run)
    };
    // One that was killed or failed had no such plan.
    let is_well = exit.code == Some(0);
    let Some(left) = events.iter().rev().find(is_its_own) else {
        // What had not left its process group yet was killed with it, uncounted.
        let is_brief = exit.lasted_seconds.is_some_and(|seconds| seconds < 1.0);
        let is_missed = matches!(worker.state.as_str(), "backing-off" | "tripped");
        return (is_well && is_brief && is_missed)
            .then(|| format!("it ended well at once; {DAEMON}"));
    };
    let count = left.fields.get("count").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let told = format!(
        "its main process ended and left {count} of its processes behind, which were ended with it"
    );
    Some(if is_well { format!("{told}; {DAEMON}") } else { told })
}

/// What a program needs that leaves its work to another process.
const DAEMON: &str = "a program that goes into the background needs its foreground option, \
                      `MAINPID=` (`control.notify`) or `type: unmanaged`";

/// Why a worker that this master has not started stays away: an order outlives a master.
pub(crate) fn of_an_earlier_stop(events: &[EventView], worker: &WorkerView) -> Option<String> {
    if worker.state != "registered" || worker.desired != "stopped" {
        return None;
    }
    let stops = |event: &&EventView| {
        let verb = event.fields.get("verb").and_then(serde_json::Value::as_str);
        let stops = |verb: &str| verb.starts_with("stop") || verb.starts_with("disable");
        event.kind == "commanded" && verb.is_some_and(stops)
    };
    Some(match events.iter().rev().find(stops) {
        Some(event) => {
            format!("{} {} at {}, and that holds", event.actor, event.text, event.at)
        }
        None => "it is wanted stopped by an order that the journal does not hold".to_owned(),
    })
}

/// What a run and the one before it did with their limits, and what was done about it.
pub(crate) fn of_limits(events: &[EventView], run: Option<u64>) -> Vec<String> {
    let kinds = ["limit_exceeded", "limit_action", "limit_eased", "oom_killed", "limit_failed"];
    let is_recent = |event: &&EventView| {
        let of = event.fields.get("run").and_then(serde_json::Value::as_u64);
        kinds.contains(&event.kind.as_str())
            && of.is_none_or(|of| run.is_none_or(|run| of + 1 >= run))
    };
    let told: Vec<_> = events.iter().filter(is_recent).collect();
    let first = told.len().saturating_sub(LIMIT_STORY);
    told.iter().skip(first).map(|event| format!("at {}: {}", event.at, event.text)).collect()
}

/// The time between two moments of events, to the millisecond.
fn between(from: &str, to: &str) -> Duration {
    let read = |text| hsu_api::parse_time(text, WallTime(0)).unwrap_or(WallTime(0));
    let nanoseconds = read(to).0.saturating_sub(read(from).0);
    // Each is cut to the millisecond, so a span may seem one shorter than it was.
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)) + Duration::from_millis(1)
}

#[cfg(test)]
mod tests {
    use hsu_model::event::{Actor, Event, EventKind};
    use hsu_model::exit::Exit;
    use hsu_model::id::RunId;

    use super::*;

    fn event(milliseconds: i64, actor: Actor, kind: EventKind) -> EventView {
        let at = WallTime(1_700_000_000_000_000_000 + milliseconds * 1_000_000);
        EventView::from(&Event { sequence: 1, at, worker: None, actor, kind })
    }

    fn story(killed_after: i64, killer: Actor, signal: i32) -> Option<String> {
        let run = RunId(3);
        let events = [
            event(0, Actor::Operator { uid: 0 }, EventKind::Signalled { run, signal: 15 }),
            event(killed_after, killer, EventKind::Killed { run }),
        ];
        let mut exit = ExitView::from(Exit::Signal { number: signal, core: false });
        exit.run = Some(3);
        of_a_kill(&events, Some(&exit), Duration::from_secs(1))
    }

    #[test]
    fn a_kill_after_the_grace_and_one_before_it_are_told_apart() {
        let over = story(1000, Actor::Master, 9).unwrap();
        let expected = "asked to end with SIGTERM at 2023-11-14T22:13:20.000Z; its grace of 1 s ran \
            out; it was killed with its whole tree (SIGKILL) at 2023-11-14T22:13:21.000Z";
        assert_eq!(over, expected);
        let forced = story(3, Actor::Operator { uid: 7 }, 9).unwrap();
        assert!(forced.contains("grace of 1 s was cut short by operator:7"), "{forced}");
        assert_eq!(story(1000, Actor::Master, 15), None);
    }

    #[test]
    fn a_program_that_went_into_the_background_is_told_what_it_needs() {
        let told = |state: &str, code: i32, lasted: f64, left: Option<u32>| {
            let worker: WorkerView = serde_json::from_value(serde_json::json!({
                "id": "web", "state": state, "ready": false, "enabled": true,
                "desired": "running", "pid": null, "run": null, "uptime_seconds": null,
                "restarts": 0, "attempts": 0, "breaker": "closed",
                "last_exit": {"run": 3, "code": code, "signal": null, "core": false,
                    "unknown": null, "lasted_seconds": lasted, "text": ""},
                "next_attempt_seconds": null, "reason": "", "cpu_seconds": null,
                "memory_bytes": null
            }))
            .unwrap();
            let left = left.map(|count| EventKind::LeftBehind { run: RunId(3), count });
            let events: Vec<_> =
                left.map(|kind| event(0, Actor::Master, kind)).into_iter().collect();
            of_leftovers(&events, &worker).unwrap_or_default()
        };
        let counted = told("stopped", 0, 9.0, Some(2));
        assert!(counted.contains("left 2 of its processes behind"), "{counted}");
        assert!(counted.contains("needs its foreground option"), "{counted}");
        let failed = told("tripped", 1, 0.1, Some(2));
        assert!(failed.ends_with("which were ended with it"), "{failed}");
        assert!(told("tripped", 0, 0.1, None).starts_with("it ended well at once; a program"));
        for unsuspected in [("stopped", 0, 0.1), ("tripped", 0, 5.0), ("tripped", 1, 0.1)] {
            let (state, code, lasted) = unsuspected;
            assert_eq!(told(state, code, lasted, None), "", "{unsuspected:?}");
        }
    }

    #[test]
    fn a_stop_that_has_outlived_its_master_is_told_with_who_gave_it() {
        let mut worker: WorkerView = serde_json::from_value(serde_json::json!({
            "id": "web", "state": "registered", "ready": false, "enabled": true,
            "desired": "stopped", "pid": null, "run": null, "uptime_seconds": null,
            "restarts": 0, "attempts": 0, "last_exit": null, "breaker": "closed",
            "next_attempt_seconds": null, "reason": "", "cpu_seconds": null,
            "memory_bytes": null
        }))
        .unwrap();
        let order = EventKind::Commanded { verb: "stop".to_owned() };
        let events = [event(0, Actor::Operator { uid: 7 }, order)];
        let told = of_an_earlier_stop(&events, &worker).unwrap();
        let expected = "operator:7 asked to stop at 2023-11-14T22:13:20.000Z, and that holds";
        assert_eq!(told, expected);
        worker.desired = "running".to_owned();
        assert_eq!(of_an_earlier_stop(&events, &worker), None);
    }
}
