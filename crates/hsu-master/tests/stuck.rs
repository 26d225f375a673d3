//! A worker that the kernel holds: nothing ends it, and nothing else waits for it.

use std::time::Duration;

use hsu_testkit::chaos::DeadMount;
use hsu_testkit::{FleetBuilder, Sandbox, Worker, eventually};

const SOON: Duration = Duration::from_secs(20);
/// A kill is reported as in vain after 30 s.
const LATE: Duration = Duration::from_secs(60);

#[test]
fn a_worker_on_a_dead_file_system_is_reported_and_its_place_is_not_used_again() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("dead");
    let mount = DeadMount::new(&sandbox, &folder).unwrap();
    let file = folder.join("file").display().to_string();
    let grace = Duration::from_millis(200);
    let stuck = Worker::new("stuck", "/bin/cat").arguments([file]).grace(grace);
    let other = Worker::new("other", "/bin/sleep").arguments(["1000".to_owned()]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(stuck).worker(other).start().unwrap();
    let pid = fleet.wait_for("stuck", "running", SOON).unwrap().pid().unwrap();
    eventually("the worker waits for the file system", SOON, || {
        if mount.holds(pid) { Ok(()) } else { Err(format!("{:?}", sandbox.process(pid))) }
    })
    .unwrap();

    std::thread::scope(|scope| {
        let stop = scope.spawn(|| fleet.tell(&["stop", "stuck"]));
        fleet.wait_for("stuck", "stopping", SOON).unwrap();
        // Nobody else waits for it.
        fleet.tell(&["restart", "other"]).unwrap();
        let refusal = stop.join().unwrap().unwrap_err().to_string();
        assert!(refusal.contains("the kernel holds it"), "{refusal}");
    });
    let is_reported = |view: &hsu_testkit::WorkerView| view.field("survivors")[0] == pid;
    fleet.wait_until("stuck", "reported as unkillable", LATE, is_reported).unwrap();
    let why = fleet.tell(&["why", "stuck"]).unwrap();
    assert!(why.contains("killed, and still there"), "{why}");

    // What is ordered now does not make a second process.
    let order = fleet.client(&["start", "--timeout", "1s", "stuck"]).unwrap();
    assert!(!order.status.success(), "{order:?}");
    assert_eq!(fleet.wait_for("stuck", "stopping", SOON).unwrap().pid(), Some(pid));

    mount.end().unwrap();
    fleet.wait_until("stuck", "gone", SOON, |view| view.pid() != Some(pid)).unwrap();
    fleet.stop(SOON).unwrap();
}
