//! Processes that somebody else started: found, watched, and ended where that is allowed.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::time::Duration;

use hsu_testkit::binaries::binary;
use hsu_testkit::ports::free_port;
use hsu_testkit::{Fleet, FleetBuilder, Process, Role, Sandbox, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// A daemon that nobody of ours started.
fn stranger(sandbox: &Sandbox, arguments: &[&str]) -> Process {
    let line = "setsid \"$0\" \"$@\" > /dev/null 2>&1 & echo $!";
    let mut shell = sandbox.command("/bin/sh");
    let output = shell
        .args(["-c", line])
        .arg(binary("hsu-dummy").unwrap())
        .args(arguments)
        .output()
        .unwrap();
    let pid: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    eventually("the stranger has come", SOON, || {
        let found = sandbox.process(pid).map_err(|error| error.to_string())?;
        found.filter(|process| process.name() == "hsu-dummy").ok_or_else(|| pid.to_string())
    })
    .unwrap()
}

/// A fleet with one worker that somebody else starts.
fn watching<'a>(sandbox: &'a Sandbox, discovery: &Value, control: &Value) -> Fleet<'a> {
    let mut discovery = discovery.clone();
    discovery["check_interval"] = json!("500ms");
    let unit = json!({ "unmanaged": { "discovery": discovery, "control": control } });
    let worker = json!({ "id": "web", "type": "unmanaged", "unit": unit });
    FleetBuilder::new(sandbox).section("workers", json!([worker])).start().unwrap()
}

fn attached(fleet: &Fleet<'_>, stranger: &Process) {
    let view = fleet.wait_until("web", "attached", SOON, |view| view.state() == "running").unwrap();
    assert_eq!(view.pid(), Some(stranger.pid));
    assert_eq!(view.field("attached"), &json!([stranger.pid]));
}

/// The master ends, and its keeper and pump with it.
fn leave(fleet: &Fleet<'_>) {
    for master in fleet.players(Role::Master).unwrap() {
        master.signal(Signal::TERM).unwrap();
    }
    eventually("the fleet has left", SOON, || {
        let left = Role::ALL.into_iter().flat_map(|role| fleet.players(role).unwrap());
        let left = left.count();
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .unwrap();
}

fn nobody() -> Value {
    json!({})
}

#[test]
fn a_process_is_found_by_its_pid_file_its_name_or_its_port_and_its_end_is_noticed() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.folder().join("web.pid");
    let port = free_port().unwrap();
    let searches = [
        json!({ "method": "pid-file", "pid_file": file }),
        json!({ "method": "process-name", "process_name": "hsu-dummy", "process_args": ["--writer", "web"] }),
        json!({ "strategy": "port_based", "port": port }),
    ];
    for search in searches {
        let arguments = ["--pid-file", file.to_str().unwrap(), "--tcp-port", &port.to_string()];
        let is_by_name = search["method"] == "process-name";
        let arguments = if is_by_name { &["--writer", "web"][..] } else { &arguments[..] };
        let first = stranger(&sandbox, arguments);
        let mut fleet = watching(&sandbox, &search, &nobody());
        attached(&fleet, &first);
        first.signal(Signal::KILL).unwrap();
        let lost =
            fleet.wait_until("web", "searching", SOON, |view| view.state() == "searching").unwrap();
        assert_eq!(lost.field("last_exit")["signal"], 9, "{search}");
        let second = stranger(&sandbox, arguments);
        attached(&fleet, &second);
        // It is somebody else's: the end of the master does not end it.
        leave(&fleet);
        second.signal(Signal::KILL).unwrap();
        fleet.stop(SOON).unwrap();
    }
}

#[test]
fn a_process_that_one_worker_lets_go_of_is_taken_by_another_one_that_it_fits() {
    let sandbox = Sandbox::new().unwrap();
    let process = stranger(&sandbox, &["--writer", "web"]);
    let worker = |id: &str| {
        json!({ "id": id, "type": "unmanaged", "unit": { "unmanaged": { "discovery": {
            "method": "process-name", "process_name": "hsu-dummy", "check_interval": "500ms",
        } } } })
    };
    let workers = json!([worker("one"), worker("other")]);
    let mut fleet = FleetBuilder::new(&sandbox).section("workers", workers).start().unwrap();
    let has = |view: &hsu_testkit::WorkerView| view.pid() == Some(process.pid);
    let (mut first, mut second) = ("one", "other");
    eventually("one of them has it, and the other one knows", SOON, || {
        let list = fleet.list().map_err(|error| error.to_string())?;
        let taken = list.iter().find(|view| has(view)).ok_or("nobody has it")?;
        let waits =
            list.iter().any(|view| view.field("reason").to_string().contains("attached to"));
        (first, second) = if taken.id() == "one" { ("one", "other") } else { ("other", "one") };
        if waits { Ok(()) } else { Err("the other one does not know".to_owned()) }
    })
    .unwrap();
    fleet.tell(&["disable", first]).unwrap();
    fleet.wait_until(second, "attached", SOON, has).unwrap();
    leave(&fleet);
    process.signal(Signal::KILL).unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn of_several_processes_each_is_shown_and_how_they_are_looked_for() {
    let sandbox = Sandbox::new().unwrap();
    let all = [(); 2].map(|()| stranger(&sandbox, &["--writer", "web"]));
    let search = json!({
        "method": "process-name", "process_name": "hsu-dummy", "process_args": ["web"],
        "matches": "many",
    });
    let mut fleet = watching(&sandbox, &search, &json!({ "allowed_signals": ["HUP"] }));
    let both = |view: &hsu_testkit::WorkerView| {
        view.field("attached").as_array().is_some_and(|all| all.len() == 2)
    };
    let view = fleet.wait_until("web", "attached twice", SOON, both).unwrap();
    assert_eq!(view.restarts(), 0);
    let list = fleet.tell(&["list"]).unwrap();
    assert!(list.contains(&format!("{}+1", view.pid().unwrap())), "{list}");
    let described = fleet.tell(&["describe", "web"]).unwrap();
    let pids = view.field("attached").as_array().unwrap();
    for says in [
        &format!("{}, {}", pids[0], pids[1]),
        "process-name hsu-dummy with web",
        "500ms",
        "signals alone",
        "SIGHUP",
    ] {
        assert!(described.contains(says), "{says}: {described}");
    }
    assert!(!described.contains("Restart policy"), "{described}");
    leave(&fleet);
    all.iter().for_each(|process| process.signal(Signal::KILL).unwrap());
    fleet.stop(SOON).unwrap();
}

#[test]
fn only_what_is_allowed_is_done_to_a_process_of_somebody_else() {
    let sandbox = Sandbox::new().unwrap();
    let search = json!({
        "method": "process-name", "process_name": "hsu-dummy", "process_args": ["web"]
    });
    let log = sandbox.folder().join("signals");
    let arguments = [
        "--writer",
        "web",
        "--ignore-term",
        "--signal-log",
        log.to_str().unwrap(),
        "--fork-bomb",
        "5",
    ];
    let process = stranger(&sandbox, &arguments);
    let mut fleet = watching(&sandbox, &search, &nobody());
    attached(&fleet, &process);
    for words in [&["stop", "web"][..], &["stop", "--force", "web"], &["signal", "web", "USR1"]] {
        let output = fleet.client(words).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("control."), "{words:?}: {said}");
    }
    assert!(process.is_alive());
    assert_eq!(std::fs::read_to_string(&log).unwrap_or_default(), "");
    leave(&fleet);

    let control = json!({
        "can_terminate": true, "allowed_signals": ["USR1"], "graceful_timeout": "300ms"
    });
    fleet = watching(&sandbox, &search, &control);
    attached(&fleet, &process);
    fleet.tell(&["signal", "web", "USR1"]).unwrap();
    eventually("the signal is noted", SOON, || {
        let noted = std::fs::read_to_string(&log).unwrap_or_default();
        if noted.contains("10") { Ok(()) } else { Err(noted) }
    })
    .unwrap();
    fleet.tell(&["stop", "web"]).unwrap();
    let view = fleet.wait_until("web", "stopped", SOON, |view| view.state() == "stopped").unwrap();
    assert_eq!(view.field("last_exit")["signal"], 9, "it ignores the signal to end");
    // Its whole family is gone too.
    fleet.stop(SOON).unwrap();
}

#[test]
fn the_next_master_verifies_what_it_is_told_and_knows_the_same_run() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.folder().join("web.pid");
    let process = stranger(&sandbox, &["--pid-file", file.to_str().unwrap()]);
    let search = json!({ "method": "pid-file", "pid_file": file });
    let mut fleet = watching(&sandbox, &search, &nobody());
    attached(&fleet, &process);
    fleet.kill(Role::Master).unwrap();
    attached(&fleet, &process);
    let view = fleet.wait_until("web", "attached", SOON, |view| view.state() == "running").unwrap();
    assert_eq!((view.field("run"), view.restarts()), (&json!(1), 0));
    // Now it ends while no master lives.
    leave(&fleet);
    process.signal(Signal::KILL).unwrap();
    fleet.launch().unwrap();
    let view = fleet
        .wait_until("web", "lost", SOON, |view| {
            view.state() == "searching" && view.field("last_exit").is_object()
        })
        .unwrap();
    let unknown = view.field("last_exit")["unknown"].as_str().unwrap();
    assert_eq!(unknown, "it ended while no master watched it");
    fleet.stop(SOON).unwrap();
}

#[test]
fn several_that_fit_are_listed_and_none_is_taken() {
    let sandbox = Sandbox::new().unwrap();
    let strangers = ["a", "b"].map(|name| stranger(&sandbox, &["--writer", name]));
    let search = json!({ "method": "process-name", "process_name": "hsu-dummy" });
    let mut fleet = watching(&sandbox, &search, &nobody());
    let view = fleet
        .wait_until("web", "refused", SOON, |view| {
            view.field("reason").to_string().contains("none is taken")
        })
        .unwrap();
    let reason = view.field("reason").as_str().unwrap();
    for stranger in &strangers {
        assert!(reason.contains(&format!("PID {} hsu-dummy", stranger.pid)), "{reason}");
    }
    let why = fleet.tell(&["why", "web"]).unwrap();
    assert!(why.contains("2 processes fit"), "{why}");
    strangers[0].signal(Signal::KILL).unwrap();
    attached(&fleet, &strangers[1]);
    leave(&fleet);
    strangers[1].signal(Signal::KILL).unwrap();
    fleet.stop(SOON).unwrap();
}
