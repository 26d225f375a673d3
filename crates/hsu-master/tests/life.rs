//! The life of workers under a real master: start, crash, stop, explain.

use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Role, Sandbox, Worker, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

fn sleeper(id: &str) -> Worker {
    Worker::new(id, "/bin/sleep").arguments(["1000".to_owned()])
}

fn shell(id: &str, script: &str) -> Worker {
    Worker::new(id, "/bin/sh").arguments(["-c".to_owned(), script.to_owned()])
}

#[test]
fn a_killed_worker_is_started_again_and_its_exit_is_known() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(sleeper("web")).start().unwrap();
    let first = fleet.wait_for("web", "running", SOON).unwrap().pid().unwrap();
    let process = sandbox.process(first).unwrap().unwrap();
    process.signal(rustix::process::Signal::KILL).unwrap();
    let view = fleet
        .wait_until("web", "another process", SOON, |view| {
            view.state() == "running" && view.pid() != Some(first)
        })
        .unwrap();
    assert_eq!(view.restarts(), 1);
    assert_eq!(view.field("last_exit")["signal"], json!(9));
    let why = fleet.tell(&["why", "web"]).unwrap();
    assert!(why.contains("SIGKILL"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_program_that_goes_into_the_background_is_told_what_became_of_it() {
    let sandbox = Sandbox::new().unwrap();
    let daemon = shell("daemon", "setsid sleep 1000 & sleep 0.2; exit 0").restart("never");
    let mut fleet = FleetBuilder::new(&sandbox).worker(daemon).start().unwrap();
    fleet.wait_for("daemon", "stopped", SOON).unwrap();
    eventually("what it left behind is told", SOON, || {
        let why = fleet.tell(&["why", "daemon"]).map_err(|error| error.to_string())?;
        let is_told = why.contains("left 1 of its processes behind")
            && why.contains("needs its foreground option");
        if is_told { Ok(()) } else { Err(why) }
    })
    .unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_missing_program_fails_its_worker_and_no_other() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(sleeper("good"))
        .worker(Worker::new("bad", "/nowhere/at/all"))
        .start()
        .unwrap();
    fleet.wait_for("good", "running", SOON).unwrap();
    fleet.wait_for("bad", "failed", SOON).unwrap();
    let why = fleet.tell(&["why", "bad"]).unwrap();
    assert!(why.contains("/nowhere/at/all"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_that_always_fails_trips_its_breaker_and_a_reset_starts_it() {
    let sandbox = Sandbox::new().unwrap();
    let flag = sandbox.folder().join("good-now");
    let script = format!("test -e '{}' && exec sleep 1000; exit 7", flag.display());
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(shell("flaky", &script).retries(3, Duration::from_millis(1)))
        .start()
        .unwrap();
    let view = fleet.wait_for("flaky", "tripped", SOON).unwrap();
    assert_eq!(view.field("breaker"), &json!("open"));
    let why = fleet.tell(&["why", "flaky"]).unwrap();
    assert!(why.contains("exit code 7"), "{why}");
    std::fs::write(&flag, "").unwrap();
    fleet.tell(&["reset", "flaky"]).unwrap();
    fleet.tell(&["start", "flaky"]).unwrap();
    let view = fleet.wait_for("flaky", "running", SOON).unwrap();
    assert_eq!(view.field("breaker"), &json!("closed"));
    fleet.stop(SOON).unwrap();
}

#[test]
fn the_log_of_the_master_names_workers_that_fail() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(Worker::new("missing", "/nowhere/at/all"))
        .worker(shell("flaky", "exit 7").retries(2, Duration::from_millis(1)))
        .worker(sleeper("good"))
        .start()
        .unwrap();
    fleet.wait_for("missing", "failed", SOON).unwrap();
    fleet.wait_for("flaky", "tripped", SOON).unwrap();
    fleet.wait_for("good", "running", SOON).unwrap();
    fleet.stop(SOON).unwrap();
    let log = fleet.own_words();
    let lines_with = |parts: &[&str]| {
        log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    };
    assert_eq!(lines_with(&["failed to start", "worker=missing", "/nowhere/at/all"]), 1, "{log}");
    assert_eq!(lines_with(&["tripped", "worker=flaky"]), 1, "{log}");
    assert_eq!(lines_with(&["backs off", "worker=flaky", " s"]), 2, "{log}");
    assert_eq!(lines_with(&["worker=good"]), 0, "{log}");
    assert!(!log.contains("Signal(") && !log.contains("Some("), "{log}");
}

#[test]
fn a_shutdown_that_is_waited_for_comes_back_when_the_process_has_ended() {
    let sandbox = Sandbox::new().unwrap();
    let fleet = FleetBuilder::new(&sandbox).worker(sleeper("web")).start().unwrap();
    fleet.wait_for("web", "running", SOON).unwrap();
    let said = fleet.tell(&["master", "shutdown", "--wait", "--timeout", "60s"]).unwrap();
    assert!(said.starts_with("the master at ") && said.ends_with(" has ended\n"), "{said}");
    let alive = fleet.players(Role::Master).unwrap();
    assert!(alive.iter().all(hsu_testkit::Process::is_zombie), "{alive:?}");
}

#[test]
fn exit_code_zero_is_no_failure() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(shell("batch", "exit 0").restart("on-failure"))
        .worker(sleeper("other"))
        .start()
        .unwrap();
    let view = fleet.wait_for("batch", "stopped", SOON).unwrap();
    assert_eq!(view.restarts(), 0);
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_that_ignores_term_is_killed_after_its_grace() {
    let sandbox = Sandbox::new().unwrap();
    let dummy = hsu_testkit::binaries::binary("hsu-dummy").unwrap();
    let stubborn = Worker::new("stubborn", dummy)
        .arguments(["--ignore-term".to_owned()])
        .grace(Duration::from_millis(300));
    let mut fleet = FleetBuilder::new(&sandbox).worker(stubborn).start().unwrap();
    fleet.wait_for("stubborn", "running", SOON).unwrap();
    fleet.tell(&["stop", "stubborn"]).unwrap();
    let view = fleet.wait_for("stubborn", "stopped", SOON).unwrap();
    assert_eq!(view.field("last_exit")["signal"], json!(9));
    let why = fleet.tell(&["why", "stubborn"]).unwrap();
    assert!(why.contains("asked to end with SIGTERM at "), "{why}");
    assert!(why.contains("its grace of 0.3 s ran out"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_stopped_process_still_ends_when_it_is_told_to() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(sleeper("frozen")).start().unwrap();
    fleet.wait_for("frozen", "running", SOON).unwrap();
    fleet.tell(&["signal", "frozen", "STOP"]).unwrap();
    fleet.tell(&["stop", "frozen"]).unwrap();
    let view = fleet.wait_for("frozen", "stopped", SOON).unwrap();
    assert_eq!(view.field("last_exit")["signal"], json!(15));
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_whole_family_is_gone_after_the_stop() {
    let sandbox = Sandbox::new().unwrap();
    let dummy = hsu_testkit::binaries::binary("hsu-dummy").unwrap();
    let family = Worker::new("family", dummy).arguments(["--fork-family".to_owned()]);
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(family).worker(sleeper("other")).start().unwrap();
    fleet.wait_for("family", "running", SOON).unwrap();
    let relatives = || {
        let all = sandbox.processes().unwrap();
        let is_ours = |process: &hsu_testkit::Process| {
            process.variable("HSU_WORKER_ID").as_deref() == Some("family")
        };
        all.into_iter().filter(|process| is_ours(process) && !process.is_zombie()).count()
    };
    eventually("the family has come", SOON, || match relatives() {
        0..4 => Err(format!("{} of them", relatives())),
        _ => Ok(()),
    })
    .unwrap();
    fleet.tell(&["stop", "family"]).unwrap();
    assert_eq!(relatives(), 0);
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_second_master_on_the_same_folders_is_refused() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox).worker(sleeper("web")).start().unwrap();
    let before = fleet.wait_for("web", "running", SOON).unwrap();
    let second = sandbox
        .command(hsu_testkit::binaries::binary("hsu-master").unwrap())
        .arg("--config")
        .arg(fleet.config())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    let after = fleet.wait_for("web", "running", SOON).unwrap();
    assert_eq!(before.pid(), after.pid());
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_second_master_that_shares_only_sockets_or_only_the_state_is_refused_and_disturbs_nobody() {
    let sandbox = Sandbox::new().unwrap();
    let at = |name: &str| sandbox.folder().join(name);
    let yaml = "workers: [{id: web, type: managed, unit: {managed: {control: {execution: \
                {executable_path: /bin/sleep, args: ['1000']}}}}}]";
    let fleet = FleetBuilder::new(&sandbox)
        .yaml(yaml, at("run/hsu-master"))
        .variable("XDG_RUNTIME_DIR", at("run").display().to_string())
        .variable("XDG_STATE_HOME", at("state").display().to_string())
        .start()
        .unwrap();
    let before = fleet.wait_for("web", "running", SOON).unwrap();
    let refused = |fleet: &Fleet<'_>, run: &str, state: &str| {
        // One that has handed over may still be on its way out.
        let masters = fleet.players(Role::Master).unwrap();
        let second = sandbox
            .command(hsu_testkit::binaries::binary("hsu-master").unwrap())
            .arg("--config")
            .arg(fleet.config())
            .envs([("XDG_RUNTIME_DIR", at(run)), ("XDG_STATE_HOME", at(state))])
            .output()
            .unwrap();
        assert_eq!(second.status.code(), Some(3), "{second:?}");
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        let is_named = masters
            .iter()
            .any(|it| said.contains(&format!("another master (PID {}) owns ", it.pid)));
        assert!(is_named, "{said}; {masters:?}");
        assert!(said.contains("(hint: "), "{said}");
        said
    };
    assert!(refused(&fleet, "run", "other-state").contains("service_context"));
    refused(&fleet, "other-run", "state");
    let after = fleet.wait_for("web", "running", SOON).unwrap();
    assert_eq!((before.pid(), before.restarts()), (after.pid(), after.restarts()));
    assert!(!fleet.own_words().contains("the keeper was lost"), "{}", fleet.own_words());
    // Another start of the master holds both again, and so does a successor.
    fleet.kill(Role::Master).unwrap();
    eventually("the master is back", SOON, || fleet.list().map_err(|error| error.to_string()))
        .unwrap();
    fleet.tell(&["master", "upgrade"]).unwrap();
    refused(&fleet, "run", "other-state");
    // Whoever cleans up too much: the state keeps the second one out.
    std::fs::remove_dir_all(at("run")).unwrap();
    refused(&fleet, "run", "state");
    let after = sandbox.process(before.pid().unwrap()).unwrap();
    assert!(after.is_some_and(|process| process.is_alive()));
    // Its sockets are gone, so a signal ends it.
    for player in fleet.players(Role::Master).unwrap() {
        player.signal(rustix::process::Signal::TERM).unwrap();
    }
    sandbox.empty_within(SOON).unwrap();
}

#[test]
fn a_worker_that_the_operator_stopped_stays_stopped_in_the_next_life_of_the_master() {
    let sandbox = Sandbox::new().unwrap();
    let mut fleet = FleetBuilder::new(&sandbox)
        .worker(sleeper("kept").restart("unless-stopped"))
        .worker(sleeper("other"))
        .start()
        .unwrap();
    fleet.wait_for("kept", "running", SOON).unwrap();
    fleet.tell(&["stop", "kept"]).unwrap();
    fleet.kill(Role::Master).unwrap();
    eventually("the master is back", SOON, || fleet.list().map_err(|error| error.to_string()))
        .unwrap();
    let view = fleet.wait_for("kept", "stopped", SOON).unwrap();
    assert_eq!(view.pid(), None);
    fleet.stop(SOON).unwrap();
}
