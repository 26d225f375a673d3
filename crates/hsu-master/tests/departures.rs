//! Workers that left the configuration: what runs of them ends in its own way.

use std::fs;
use std::time::Duration;

use hsu_testkit::{FleetBuilder, Sandbox, Worker, eventually};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

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
    let other = Worker::new("other", "/bin/sleep").arguments(["1000".to_owned()]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(old).worker(other).start().unwrap();
    fleet.wait_for("old", "running", SOON).unwrap();
    let kept = fleet.wait_for("other", "running", SOON).unwrap().pid();
    let pid_file = fleet.base().join("old.pid");
    eventually("it has a PID file", SOON, || {
        pid_file.exists().then_some(()).ok_or_else(|| "there is none".to_owned())
    })
    .unwrap();

    let mut file: Value =
        serde_json::from_str(&fs::read_to_string(fleet.config()).unwrap()).unwrap();
    let workers = file["workers"].as_array_mut().unwrap();
    workers.retain(|worker| worker["id"] != "old");
    fs::write(fleet.config(), file.to_string()).unwrap();
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
