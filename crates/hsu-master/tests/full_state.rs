//! A disk of the state that is full: whoever fills it is stopped all the same.

use std::time::Duration;

use hsu_testkit::{FleetBuilder, Role, Sandbox, Worker, eventually};

const SOON: Duration = Duration::from_secs(20);
const ROOM: u64 = 16 << 20;

#[test]
fn a_worker_is_stopped_while_the_state_cannot_be_written_and_stays_so_once_it_can() {
    let sandbox = Sandbox::new().unwrap();
    let state = sandbox.folder().join("base").join("state");
    sandbox.mount_disk(&state, ROOM).unwrap();
    sandbox.run_shell(&format!("chmod 755 '{}'", state.display())).unwrap();
    let sleeper = |id: &str| Worker::new(id, "/bin/sleep").arguments(["1000".to_owned()]);
    let builder = FleetBuilder::new(&sandbox).worker(sleeper("web")).worker(sleeper("job"));
    let mut fleet = builder.start().unwrap();
    for worker in ["web", "job"] {
        fleet.wait_for(worker, "running", SOON).unwrap();
    }
    let filler = state.join(".filler").display().to_string();
    sandbox.run_shell(&format!("cat /dev/zero > '{filler}' || true")).unwrap();

    let mut refusal = String::new();
    eventually("the state cannot be written", SOON, || {
        let output = fleet.client(&["enable", "web"]).unwrap();
        refusal = String::from_utf8_lossy(&output.stderr).into_owned();
        if refusal.contains("`stop`") { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .unwrap();
    let signalled = fleet.tell(&["signal", "web", "CONT"]).unwrap();
    assert!(signalled.contains("signalled; not written to the disk"), "{signalled}");
    for order in [&["stop", "web"][..], &["stop", "--force", "job"]] {
        let answer = fleet.tell(order).unwrap();
        assert!(answer.contains("not written to the disk"), "{answer}");
        assert!(answer.contains("start the worker again"), "{answer}");
    }
    for worker in ["web", "job"] {
        assert_eq!(fleet.wait_for(worker, "stopped", SOON).unwrap().pid(), None);
    }

    sandbox.run_shell(&format!("rm '{filler}'")).unwrap();
    eventually("the state is written again", SOON, || {
        let master = fleet.ask(&["master", "status"]).map_err(|error| error.to_string())?;
        if master["degraded"].is_null() { Ok(()) } else { Err(master.to_string()) }
    })
    .unwrap();
    // The wish was written by itself: another master leaves them stopped.
    fleet.kill(Role::Master).unwrap();
    for worker in ["web", "job"] {
        fleet.wait_for(worker, "stopped", SOON).unwrap();
    }
    fleet.stop(SOON).unwrap();
}
