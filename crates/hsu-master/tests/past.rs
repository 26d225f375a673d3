//! The past under a real master: what it told at a moment is what it tells of that moment later.
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Role, Sandbox, Worker, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

fn shell(id: &str, script: &str) -> Worker {
    Worker::new(id, "/bin/sh").arguments(["-c".to_owned(), script.to_owned()])
}

/// What does not depend on when it is asked for.
fn facts(list: &Value) -> Vec<Value> {
    let workers = list["workers"].as_array().cloned().unwrap_or_default();
    let mut facts = workers;
    for worker in &mut facts {
        for clock in ["uptime_seconds", "next_attempt_seconds", "cpu_seconds", "memory_bytes"] {
            worker[clock] = Value::Null;
        }
    }
    facts
}

fn last_event(fleet: &Fleet<'_>) -> u64 {
    let events = fleet.ask(&["events", "--limit", "1"]).unwrap();
    events["events"][0]["sequence"].as_u64().unwrap_or(0)
}

/// The number of the latest event, and the fleet that belongs to it.
fn moment(fleet: &Fleet<'_>) -> (u64, Vec<Value>) {
    eventually("a moment in which nothing happens", SOON, || {
        let before = last_event(fleet);
        let told = facts(&fleet.ask(&["list"]).map_err(|error| error.to_string())?);
        // The journal is written a moment after the change.
        let at = before.to_string();
        let past = fleet.ask(&["list", "--at", &at]).map_err(|error| error.to_string())?;
        let past = facts(&past);
        if before == last_event(fleet) && past == told {
            return Ok((before, told));
        }
        Err(format!("at {at} it was {past:?}, and is {told:?}"))
    })
    .unwrap()
}

fn past(fleet: &Fleet<'_>, sequence: u64) -> Vec<Value> {
    facts(&fleet.ask(&["list", "--at", &sequence.to_string()]).unwrap())
}

#[test]
fn the_fleet_as_it_was_is_told_and_replayed_as_the_master_told_it_then() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(Worker::new("steady", "/bin/sleep").arguments(["1000".to_owned()]))
        .worker(shell("flaky", "exit 7").retries(2, Duration::from_millis(1)))
        .worker(Worker::new("other", "/bin/sleep").arguments(["1000".to_owned()]))
        .start()
        .unwrap();
    fleet.wait_for("steady", "running", SOON).unwrap();
    fleet.wait_for("other", "running", SOON).unwrap();
    fleet.wait_for("flaky", "tripped", SOON).unwrap();
    let mut moments = vec![moment(&fleet)];
    for order in [&["stop", "other"][..], &["restart", "steady"], &["disable", "other"]] {
        fleet.tell(order).unwrap();
        moments.push(moment(&fleet));
    }
    fleet.kill(Role::Master).unwrap();
    eventually("another master", SOON, || {
        let master = fleet.client(&["events", "--limit", "50", "-o", "json"]);
        let text = String::from_utf8_lossy(&master.map_err(|error| error.to_string())?.stdout)
            .into_owned();
        if text.matches("master_started").count() >= 2 { Ok(()) } else { Err(text) }
    })
    .unwrap();
    fleet.tell(&["start", "flaky", "--timeout", "0"]).unwrap();
    fleet.wait_for("flaky", "tripped", SOON).unwrap();
    moments.push(moment(&fleet));
    fleet.tell(&["remove", "flaky"]).unwrap();
    moments.push(moment(&fleet));

    let file = sandbox.folder().join("journal.ndjson");
    let name = file.to_str().unwrap();
    fleet.tell(&["events", "--export", name]).unwrap();
    for (sequence, told) in &moments {
        assert_eq!(&past(&fleet, *sequence), told, "event {sequence}");
        let until = sequence.to_string();
        let replayed = fleet.ask(&["replay", name, "--until", &until]).unwrap();
        assert_eq!(&facts(&replayed), told, "replayed until {sequence}");
        assert_eq!(replayed["inexact"], json!([]), "{replayed}");
    }
    let (first, last) = (moments[0].0.to_string(), moments[3].0.to_string());
    let diff = fleet.ask(&["diff", "--from", &first, "--to", &last]).unwrap();
    let other = diff["workers"].as_array().unwrap().iter().find(|one| one["id"] == "other");
    let other = other.unwrap();
    let enabled = json!({"field": "enabled", "before": true, "after": false});
    assert!(other["changes"].as_array().unwrap().contains(&enabled), "{other}");
    let history = fleet.tell(&["history", "other"]).unwrap();
    assert!(history.contains("operator:") && history.contains("because of #"), "{history}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_moment_that_the_journal_does_not_hold_is_refused_with_where_it_begins() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(Worker::new("web", "/bin/sleep").arguments(["1000".to_owned()]))
        .start()
        .unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    for (at, code, words) in [
        ("2020-01-01T00:00:00Z", 3, "the journal begins with event 1 at 20"),
        ("999999", 3, "has not happened"),
        ("2200-01-01T00:00:00Z", 3, "in the future"),
        ("soon", 2, "neither a number, a time nor a span"),
    ] {
        let refused = fleet.client(&["list", "--at", at]).unwrap();
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(text.contains(words), "{at}: {text}");
        assert_eq!(refused.status.code(), Some(code), "{at}");
    }
    for (question, words) in [
        (&["events", "--worker", "nope"][..], "no worker is named"),
        (&["events", "-f", "--worker", "nope"], "no worker is named"),
        (&["list", "nope"], "no worker is named"),
        (&["list", "nope", "--at", "1"], "no worker was named"),
    ] {
        let refused = fleet.client(&[question, &["-o", "json"]].concat()).unwrap();
        assert_eq!(refused.status.code(), Some(3), "{question:?}");
        // For a program too: what failed is a document.
        let problem: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(words), "{question:?}: {problem}");
    }
    let unwritten = fleet.client(&["events", "--export", "/nope/journal"]).unwrap();
    let text = String::from_utf8_lossy(&unwritten.stderr).into_owned();
    assert!(text.contains("cannot write /nope/journal: "), "{text}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn failures_that_are_forgotten_later_are_not_forgotten_in_the_past() {
    let sandbox = Sandbox::new().unwrap();
    let flag = sandbox.folder().join("flag");
    let script = format!("[ -e {0} ] || {{ : > {0}; exit 1; }}; sleep 1000", flag.display());
    let restart = json!({"max_retries": 3, "retry_delay": "1ms"});
    let restart = json!({"default": restart, "reset_after": "2s"});
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(shell("web", &script).set("context_aware_restart", restart))
        .start()
        .unwrap();
    fleet
        .wait_until("web", "restarted", SOON, |web| web.state() == "running" && web.restarts() == 1)
        .unwrap();
    let at = last_event(&fleet).to_string();
    let told = &fleet.ask(&["list", "--at", &at]).unwrap()["workers"][0];
    assert_eq!(told["attempts"], 1, "{told}");
    fleet.wait_until("web", "forgiven", SOON, |web| web.field("attempts") == 0).unwrap();
    // From the next event on the past knows it; the one before says what it said.
    fleet.tell(&["signal", "web", "CONT"]).unwrap();
    let later = moment(&fleet).1.remove(0);
    assert_eq!(later["attempts"], 0, "{later}");
    let again = &fleet.ask(&["list", "--at", &at]).unwrap()["workers"][0];
    assert_eq!(again, told);

    let file = sandbox.folder().join("journal.ndjson");
    let name = file.to_str().unwrap();
    fleet.tell(&["events", "--export", name]).unwrap();
    let replayed = &fleet.ask(&["replay", name, "--until", &at]).unwrap()["workers"][0];
    assert_eq!(replayed["attempts"], 1, "{replayed}");
    assert_eq!(replayed["uptime_seconds"], told["uptime_seconds"], "{replayed}");
    fleet.stop(SOON).unwrap();
}
