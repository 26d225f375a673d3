//! A keeper that hangs: it is noticed, ended and replaced, and no worker is disturbed.

use std::time::Duration;

use hsu_testkit::{FleetBuilder, Process, Role, Sandbox, Worker, eventually};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(20);
/// A keeper may be silent for 45 s.
const LATE: Duration = Duration::from_secs(120);

#[test]
fn a_keeper_that_hangs_is_replaced_and_workers_are_restarted_again() {
    let sandbox = Sandbox::new().unwrap();
    let sleeper = |id: &str| Worker::new(id, "/bin/sleep").arguments(["1000".to_owned()]);
    let (web, job) = (sleeper("web"), sleeper("job"));
    let mut fleet = FleetBuilder::new(&sandbox).worker(web).worker(job).start().unwrap();
    let kept = fleet.wait_for("web", "running", SOON).unwrap().pid();
    let killed = fleet.wait_for("job", "running", SOON).unwrap().pid().unwrap();
    let hung = fleet.players(Role::Keeper).unwrap();
    for keeper in &hung {
        keeper.signal(Signal::STOP).unwrap();
    }
    sandbox.process(killed).unwrap().unwrap().signal(Signal::KILL).unwrap();
    eventually("another keeper", LATE, || {
        let now = fleet.players(Role::Keeper).map_err(|error| error.to_string())?;
        let is_hung = |keeper: &Process| hung.iter().any(|old| old.is_same(keeper));
        let is_new = !now.is_empty() && !now.iter().any(is_hung);
        if is_new { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .unwrap();
    let is_other = |view: &hsu_testkit::WorkerView| {
        view.state() == "running" && view.pid().is_some_and(|pid| pid != killed)
    };
    fleet.wait_until("job", "another process", SOON, is_other).unwrap();
    assert_eq!(fleet.wait_for("web", "running", SOON).unwrap().pid(), kept);
    assert!(fleet.own_words().contains("the keeper hangs"), "{}", fleet.own_words());
    fleet.stop(SOON).unwrap();
}
