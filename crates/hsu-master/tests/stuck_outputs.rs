//! Outputs that take nothing: they are named, with the reason, until they take lines again.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Sandbox, Worker, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// A worker that writes its number all the time into one file.
fn writer(path: &Path, format: &str, on_full: &str) -> Worker {
    let script = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done";
    Worker::new("web", "/bin/sh").arguments(["-c".to_owned(), script.to_owned()]).set(
        "log_collection",
        json!({
            "enabled": true,
            "on_full": on_full,
            "outputs": {"separate": {"stdout": [{"type": "file", "path": path, "format": format}]}},
        }),
    )
}

fn start<'a>(sandbox: &'a Sandbox, worker: Worker) -> Fleet<'a> {
    let logs = json!({"enabled": true, "global_aggregation": {"enabled": false}});
    FleetBuilder::new(sandbox).section("log_collection", logs).worker(worker).start().unwrap()
}

fn stuck(fleet: &Fleet<'_>) -> Vec<Value> {
    let master = fleet.ask(&["master", "status"]).unwrap();
    master["stuck_outputs"].as_array().cloned().unwrap_or_default()
}

fn wait_for_stuck(fleet: &Fleet<'_>, count: usize) -> Vec<Value> {
    eventually("the outputs that take nothing", SOON, || {
        let found = stuck(fleet);
        if found.len() == count { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .unwrap();
    stuck(fleet)
}

#[test]
fn a_plain_file_that_takes_nothing_is_named_until_it_does() {
    let sandbox = Sandbox::new().unwrap();
    let path = sandbox.folder().join("web.log");
    fs::create_dir(&path).unwrap();
    let mut fleet = start(&sandbox, writer(&path, "plain", "block"));
    let found = wait_for_stuck(&fleet, 1);
    assert_eq!((&found[0]["worker"], &found[0]["output"]), (&json!("web"), &json!("stdout")));
    let status = fleet.tell(&["master", "status"]).unwrap();
    assert!(status.contains("web stdout takes nothing: its log file is no plain file"), "{status}");
    let why = fleet.tell(&["why", "web"]).unwrap();
    assert!(why.contains("its stdout takes nothing at present"), "{why}");
    assert!(fleet.own_words().contains("an output takes nothing"), "{}", fleet.own_words());

    fs::remove_dir(&path).unwrap();
    wait_for_stuck(&fleet, 0);
    let events = fleet.tell(&["events", "--worker", "web"]).unwrap();
    assert!(events.contains("stdout takes lines again"), "{events}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("line 1\nline 2\n"), "nothing is lost: {text}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn what_is_dropped_is_told_with_its_exact_count() {
    let sandbox = Sandbox::new().unwrap();
    let path = sandbox.folder().join("web.log");
    fs::create_dir(&path).unwrap();
    let mut fleet = start(&sandbox, writer(&path, "plain", "drop"));
    wait_for_stuck(&fleet, 1);
    fs::remove_dir(&path).unwrap();
    wait_for_stuck(&fleet, 0);
    let events = fleet.ask(&["events", "--worker", "web"]).unwrap();
    let all = events.get("events").unwrap_or(&events).as_array().unwrap().clone();
    let told: Vec<_> = all.iter().filter(|event| event["kind"] == "output_dropped").collect();
    let text = fs::read_to_string(&path).unwrap();
    let marker = format!("[hsu-master] dropped {} bytes", told[0]["bytes"]);
    assert!(text.contains(&marker), "{marker}: {text}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_formatted_file_that_takes_nothing_is_named_until_it_does() {
    let sandbox = Sandbox::new().unwrap();
    let blocked = sandbox.folder().join("logs");
    fs::write(&blocked, "a file where a folder should be").unwrap();
    let path = blocked.join("web.log");
    let mut fleet = start(&sandbox, writer(&path, "enhanced_plain", "block"));
    let found = wait_for_stuck(&fleet, 1);
    assert_eq!(found[0]["output"], json!(path));
    assert_eq!(found[0]["worker"], Value::Null);
    fs::remove_file(&blocked).unwrap();
    wait_for_stuck(&fleet, 0);
    let events = fleet.tell(&["events"]).unwrap();
    assert!(events.contains("takes lines again"), "{events}");
    fleet.stop(SOON).unwrap();
}
