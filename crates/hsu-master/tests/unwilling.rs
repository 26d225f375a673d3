//! Unwilling workers: frozen ones end in their time, and one that the kernel does not
//! let go of is named, while everything else goes on.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::time::Duration;

use hsu_testkit::{Fleet, FleetBuilder, Process, Sandbox, Worker, binaries::binary, eventually};
use rustix::process::Signal;
use serde_json::json;

const SOON: Duration = Duration::from_secs(40);
/// Longer than the test waits: whoever needs it is not ended by SIGTERM.
const LONG: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_millis(30);
const ROUNDS: u32 = 8;

/// Those that end when they are asked to, and those that have to be killed.
fn ids(kind: &str) -> Vec<String> {
    (0..2).map(|number| format!("{kind}-{number}")).collect()
}

fn stop_frozen(fleet: &Fleet<'_>, sandbox: &Sandbox, id: &str, signal: i32) {
    let view = fleet.wait_until(id, "running", SOON, |view| view.pid().is_some()).unwrap();
    let process = sandbox.process(view.pid().unwrap()).unwrap().unwrap();
    eventually("its program runs", SOON, || {
        let now = sandbox.process(process.pid).map_err(|error| error.to_string())?;
        let is_set_up = now.is_some_and(|now| ["sleep", "hsu-dummy"].contains(&now.name()));
        if is_set_up && catches_term(&process) == id.starts_with("deaf") {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .unwrap();
    process.signal(Signal::STOP).unwrap();
    fleet.tell(&["stop", id]).unwrap();
    assert!(!process.is_alive());
    let view = fleet.wait_for(id, "stopped", SOON).unwrap();
    assert_eq!(view.field("last_exit")["signal"], json!(signal), "{view:?}");
    fleet.tell(&["start", id]).unwrap();
}

/// Whether a process has a handler for SIGTERM.
fn catches_term(process: &Process) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.outer_pid));
    let status = status.unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << 14) != 0
}

#[test]
fn a_frozen_worker_ends_by_term_and_a_deaf_one_by_kill_after_its_grace() {
    let sandbox = Sandbox::new().unwrap();
    let dummy = binary("hsu-dummy").unwrap();
    let mut builder = FleetBuilder::new(&sandbox);
    for id in ids("frozen") {
        builder = builder.worker(Worker::new(&id, "/bin/sleep").arguments(["1000"]).grace(LONG));
    }
    for id in ids("deaf") {
        let deaf = Worker::new(&id, &dummy).arguments(["--ignore-term"]);
        builder = builder.worker(deaf.grace(SHORT));
    }
    let mut fleet = builder.start().unwrap();
    for _ in 0..ROUNDS {
        ids("frozen").iter().for_each(|id| stop_frozen(&fleet, &sandbox, id, 15));
        ids("deaf").iter().for_each(|id| stop_frozen(&fleet, &sandbox, id, 9));
    }
    for id in ids("frozen") {
        fleet.tell(&["signal", &id, "STOP"]).unwrap();
    }
    fleet.stop(SOON).unwrap();
}

/// A process as it is named in each namespace, the test's own first.
struct Nested {
    outer: u32,
    inside: u32,
}

/// The only child of a process, when it is the first one of a namespace of its own.
fn first_of_namespace(parent: &Process) -> Option<Nested> {
    let outer = parent.outer_pid;
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
    let child = children.split_whitespace().next()?;
    let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let names: Vec<u32> = line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    let [.., inside, 1] = names.as_slice() else {
        return None;
    };
    Some(Nested { outer: child.parse().ok()?, inside: *inside })
}

/// The first process of a PID namespace cannot end before everybody in it is reaped,
/// SIGKILL or not. Here someone in it is the child of a stopped process outside.
#[test]
fn what_the_kernel_does_not_let_go_is_named_and_holds_up_nobody() {
    let sandbox = Sandbox::new().unwrap();
    let held = Worker::new("held", "/usr/bin/unshare")
        .arguments(["--pid", "--fork", "/bin/sleep", "1000"])
        .grace(SHORT);
    let other = Worker::new("other", "/bin/sleep").arguments(["1000"]);
    let calm = Worker::new("calm", "/bin/sleep").arguments(["1000"]);
    let mut fleet =
        FleetBuilder::new(&sandbox).worker(held).worker(other).worker(calm).start().unwrap();
    let root = fleet.wait_for("held", "running", SOON).unwrap().pid().unwrap();
    let calm = fleet.wait_for("calm", "running", SOON).unwrap().pid();
    let root = sandbox.process(root).unwrap().unwrap();
    let first = eventually("the namespace is there", SOON, || {
        first_of_namespace(&root).ok_or_else(|| format!("{root:?}"))
    })
    .unwrap();
    let target = first.inside.to_string();
    let jail = format!("nsenter --target {target} --pid sleep 1001 > /dev/null 2>&1 &");
    sandbox.run_shell(&jail).unwrap();
    let jailer = eventually("someone is in it", SOON, || {
        let all = sandbox.processes().map_err(|error| error.to_string())?;
        let jailer = all.into_iter().find(|p| p.name() == "nsenter" && first_of_child(p));
        jailer.ok_or_else(|| "nobody".to_owned())
    })
    .unwrap();
    jailer.signal(Signal::STOP).unwrap();

    let answer = fleet.client(&["stop", "held"]).unwrap();
    let view = fleet.wait_for("held", "stopped", SOON).unwrap();
    assert_eq!(view.field("survivors"), &json!([first.inside]), "{answer:?}");
    assert!(fs::metadata(format!("/proc/{}", first.outer)).is_ok(), "it is really held");
    let why = fleet.tell(&["why", "held"]).unwrap();
    assert!(why.contains(&target), "{why}");
    for _ in 0..3 {
        fleet.tell(&["restart", "other"]).unwrap();
    }
    assert_eq!(fleet.wait_for("calm", "running", SOON).unwrap().pid(), calm);

    jailer.signal(Signal::CONT).unwrap();
    eventually("it is let go", SOON, || match fs::metadata(format!("/proc/{}", first.outer)) {
        Ok(_) => Err("still there".to_owned()),
        Err(_) => Ok(()),
    })
    .unwrap();
    fleet.stop(SOON).unwrap();
}

/// Whether its child is in a namespace below, by any name but the first.
fn first_of_child(parent: &Process) -> bool {
    let outer = parent.outer_pid;
    let path = format!("/proc/{outer}/task/{outer}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let status = |child: &str| fs::read_to_string(format!("/proc/{child}/status"));
    let child = children.split_whitespace().next().and_then(|child| status(child).ok());
    let line = child.and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("NSpid:").map(str::to_owned))
    });
    line.is_some_and(|line| line.split_whitespace().count() > 2)
}
