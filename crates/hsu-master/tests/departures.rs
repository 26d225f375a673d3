//! Workers that left the configuration: what runs of them ends in its own way.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Role, Sandbox, Worker, eventually};
use serde_json::Value;

const TOO_MANY: &str = "leaves out or disables 2 of the 2 workers that run";
const SOON: Duration = Duration::from_secs(20);

fn sleeper(id: &str) -> Worker {
    Worker::new(id, "/bin/sleep").arguments(["1000".to_owned()])
}

/// Leaves these workers in the file.
fn keep_only(fleet: &Fleet<'_>, kept: &[&str]) {
    let text = fs::read_to_string(fleet.config()).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let workers = file["workers"].as_array_mut().unwrap();
    workers.retain(|worker| kept.contains(&worker["id"].as_str().unwrap()));
    fs::write(fleet.config(), file.to_string()).unwrap();
}

#[test]
fn a_file_that_would_stop_everything_is_refused_until_that_is_confirmed() {
    let sandbox = Sandbox::new().unwrap();
    let builder = FleetBuilder::new(&sandbox);
    let mut fleet = builder.worker(sleeper("one")).worker(sleeper("two")).start().unwrap();
    let pids = ["one", "two"].map(|id| fleet.wait_for(id, "running", SOON).unwrap().pid());
    let good = fs::read_to_string(fleet.config()).unwrap();
    keep_only(&fleet, &[]);
    let refused = fleet.tell(&["master", "upgrade"]).unwrap_err().to_string();
    assert!(refused.contains(TOO_MANY), "{refused}");
    assert!(refused.contains("--confirm-mass-stop"), "{refused}");
    let after = ["one", "two"].map(|id| fleet.wait_for(id, "running", SOON).unwrap().pid());
    assert_eq!(after, pids);

    // Nor may they be disabled.
    let mut file: Value = serde_json::from_str(&good).unwrap();
    for worker in file["workers"].as_array_mut().unwrap() {
        worker["enabled"] = Value::Bool(false);
    }
    fs::write(fleet.config(), file.to_string()).unwrap();
    let refused = fleet.tell(&["master", "upgrade"]).unwrap_err().to_string();
    assert!(refused.contains(TOO_MANY), "{refused}");
    keep_only(&fleet, &[]);

    // Nor does a crash make it so.
    assert_eq!(fleet.kill(Role::Master).unwrap(), 1);
    eventually("the master says why it does not start", SOON, || {
        let words = fleet.own_words();
        let count = words.matches(TOO_MANY).count();
        if count > 2 { Ok(()) } else { Err(words) }
    })
    .unwrap();
    for pid in pids.into_iter().flatten() {
        assert!(sandbox.process(pid).unwrap().is_some());
    }
    fs::write(fleet.config(), &good).unwrap();
    let back = || fleet.list().map(drop).map_err(|error| error.to_string());
    eventually("the master is back", SOON, back).unwrap();
    let after = ["one", "two"].map(|id| fleet.wait_for(id, "running", SOON).unwrap().pid());
    assert_eq!(after, pids);

    keep_only(&fleet, &[]);
    fleet.tell(&["master", "upgrade", "--confirm-mass-stop"]).unwrap();
    eventually("both are gone", SOON, || {
        let workers = fleet.list().map_err(|error| error.to_string())?;
        if workers.is_empty() { Ok(()) } else { Err(format!("{workers:?}")) }
    })
    .unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_file_that_cannot_be_run_changes_nothing_and_the_client_says_what_is_wrong() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(sleeper("web")).start().unwrap();
    let kept = fleet.wait_for("web", "running", SOON).unwrap().pid();
    let good = fs::read_to_string(fleet.config()).unwrap();
    fs::write(fleet.config(), good.replace("executable_path", "executable_paht")).unwrap();
    let refused = fleet.tell(&["master", "upgrade"]).unwrap_err().to_string();
    assert!(refused.contains("executable_paht") && refused.contains("did you mean"), "{refused}");
    assert_eq!(fleet.wait_for("web", "running", SOON).unwrap().pid(), kept);
    fs::write(fleet.config(), good).unwrap();
    let refused = fleet.tell(&["master", "upgrade", "--executable", "/nope"]).unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("/nope could not be started: No such file"), "{refused}");
    fleet.tell(&["master", "upgrade"]).unwrap();
    assert_eq!(fleet.wait_for("web", "running", SOON).unwrap().pid(), kept);
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_that_left_the_file_gets_its_grace_at_an_upgrade_and_nothing_of_it_stays() {
    let sandbox = Sandbox::new().unwrap();
    let done = sandbox.folder().join("saved");
    let script = format!(
        "trap 'sleep 0.3; echo saved > {}; exit 0' USR1; while :; do sleep 0.1; done",
        done.display()
    );
    let old = Worker::new("old", "/bin/sh")
        .arguments(["-c".to_owned(), script])
        .set("stop_signal", "SIGUSR1")
        .grace(Duration::from_secs(15));
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(old).worker(sleeper("other")).start().unwrap();
    fleet.wait_for("old", "running", SOON).unwrap();
    let kept = fleet.wait_for("other", "running", SOON).unwrap().pid();
    let pid_file = fleet.base().join("old.pid");
    eventually("it has a PID file", SOON, || {
        pid_file.exists().then_some(()).ok_or_else(|| "there is none".to_owned())
    })
    .unwrap();

    keep_only(&fleet, &["other"]);
    let keeper = fleet.ask(&["master", "status"]).unwrap()["keeper_pid"].clone();
    fleet.tell(&["master", "upgrade"]).unwrap();
    assert_eq!(fleet.ask(&["master", "status"]).unwrap()["keeper_pid"], keeper);

    eventually("it is gone", SOON, || {
        let workers = fleet.list().map_err(|error| error.to_string())?;
        let is_gone = workers.iter().all(|view| view.id() != "old");
        is_gone.then_some(()).ok_or_else(|| format!("{workers:?}"))
    })
    .unwrap();
    assert_eq!(fs::read_to_string(&done).unwrap(), "saved\n");
    assert!(!pid_file.exists());
    let events = fleet.tell(&["events", "--worker", "old"]).unwrap();
    assert!(events.contains("the configuration does not name it any more"), "{events}");
    assert!(events.contains("exit code 0"), "{events}");
    assert_eq!(fleet.wait_for("other", "running", SOON).unwrap().pid(), kept);
    fleet.stop(SOON).unwrap();
}
