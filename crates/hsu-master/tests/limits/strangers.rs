//! Limits of processes that somebody else started: held where that is allowed and can be
//! done, watched where not, and nothing of it stays when they are let go.

use std::fs;

use super::*;

/// A daemon that nobody of ours started, with a PID file.
fn stranger(sandbox: &Sandbox, arguments: &[&str]) -> Process {
    let file = sandbox.folder().join("pid");
    let line = "setsid \"$0\" \"$@\" > /dev/null 2>&1 & echo $!";
    let mut shell = sandbox.command("/bin/sh");
    shell.args(["-c", line]).arg(binary("hsu-dummy").unwrap()).arg("--pid-file").arg(&file);
    let output = shell.args(arguments).output().unwrap();
    let pid: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    eventually("the stranger has written its PID", SOON, || {
        let found = sandbox.process(pid).map_err(|error| error.to_string())?;
        let written = fs::read_to_string(&file).unwrap_or_default();
        found.filter(|_| written.trim() == pid.to_string()).ok_or(written)
    })
    .unwrap()
}

fn watching<'s>(sandbox: &'s Sandbox, mode: &str, control: Value, limits: Value) -> Fleet<'s> {
    let mut limits = limits;
    limits["monitoring"]["check_interval"] = "200ms".into();
    let file = sandbox.folder().join("pid");
    let discovery = json!({"method": "pid-file", "pid_file": file, "check_interval": "500ms"});
    let unit = json!({"unmanaged": {
        "discovery": discovery, "control": control, "limits": limits,
    }});
    let worker = json!({"id": "w", "type": "unmanaged", "unit": unit});
    let builder = FleetBuilder::new(sandbox).master("cgroups", mode);
    builder.section("workers", json!([worker])).start().unwrap()
}

fn looked_at(fleet: &Fleet<'_>) {
    fleet.wait_for("w", "running", SOON).unwrap();
    eventually("it was looked at", SOON, || match used(fleet)["at"].is_string() {
        true => Ok(()),
        false => Err(fleet.own_words()),
    })
    .unwrap();
}

/// Where a process is in each tree.
fn places(process: &Process) -> String {
    fs::read_to_string(format!("/proc/{}/cgroup", process.outer_pid)).unwrap()
}

#[test]
fn one_that_may_be_limited_is_held_and_goes_back_where_it_was() {
    with_each(|sandbox, mode| {
        let process = stranger(sandbox, &["--fork-rate", "20"]);
        let before = places(&process);
        let limits = json!({"process": {"max_processes": 12}});
        let mut fleet = watching(sandbox, mode, json!({"can_limit": true}), limits);
        event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
        let counted = |file: &str| {
            let groups = scarce::groups(&process).into_iter().map(|group| group.join(file));
            groups.filter_map(|file| fs::read_to_string(file).ok()).collect::<String>()
        };
        if is_enforced(&fleet, "process.max_processes") {
            assert_eq!(counted("pids.max"), "12\n");
            eventually("the kernel refuses it a fork", SOON, || match counted("pids.events") {
                text if text.starts_with("max ") && text != "max 0\n" => Ok(()),
                text => Err(text),
            })
            .unwrap();
        } else {
            // Without a group it stays where it is; a tree without controllers slows it down.
            assert_eq!(counted("pids.max"), "");
            assert!(mode != "none" || places(&process) == before);
        }
        fleet.tell(&["disable", "w"]).unwrap();
        eventually("it is where it was", SOON, || match places(&process) {
            now if now == before => Ok(()),
            now => Err(now),
        })
        .unwrap();
        assert!(process.is_alive());
        sandbox.run_shell(&format!("kill -KILL -{}", process.pid)).unwrap();
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn one_that_may_not_be_limited_is_watched_and_left_where_it_is() {
    let sandbox = Sandbox::new().unwrap();
    let process = stranger(&sandbox, &["--memory-mb", "60"]);
    let before = places(&process);
    let limits = json!({
        "memory": {"max_rss": "40MB", "policy": "throttle", "enforce": "kernel"},
        "process": {"max_file_descriptors": 9},
    });
    let mut fleet = watching(&sandbox, "auto", json!({}), limits);
    event(&fleet, "limit_failed", |event| event["reason"].to_string().contains("can_limit"));
    let memory = limit(&fleet, "memory.max_rss");
    assert_eq!(memory["enforced"], false, "{memory}");
    let files = limit(&fleet, "process.max_file_descriptors");
    assert!(files["mechanism"].to_string().contains("before its start only"), "{files}");
    assert_eq!(places(&process), before);
    process.signal(Signal::KILL).unwrap();
    fleet.stop(SOON).unwrap();
}

#[test]
fn one_that_exceeds_its_limit_is_ended_where_that_is_allowed() {
    for (can_terminate, state) in [(true, "stopped"), (false, "running")] {
        let sandbox = Sandbox::new().unwrap();
        let process = stranger(&sandbox, &["--memory-mb", "60"]);
        let limits = json!({"memory": {"max_rss": "40MB", "policy": "graceful_shutdown"}});
        let control = json!({"can_terminate": can_terminate});
        let mut fleet = watching(&sandbox, "none", control, limits);
        event(&fleet, "limit_action", |event| event["action"] == "graceful_shutdown");
        fleet.wait_for("w", state, SOON).unwrap();
        assert_eq!(process.is_alive(), !can_terminate);
        if !can_terminate {
            let why = fleet.tell(&["events", "--worker", "w"]).unwrap();
            assert!(why.contains("can_terminate"), "{why}");
            process.signal(Signal::KILL).unwrap();
        }
        fleet.stop(SOON).unwrap();
    }
}

#[test]
fn the_next_master_goes_on_with_the_groups_of_a_stranger() {
    with_each(|sandbox, mode| {
        let process = stranger(sandbox, &[]);
        let before = places(&process);
        let limits = json!({"memory": {"max_rss": "300MB"}});
        let mut fleet = watching(sandbox, mode, json!({"can_limit": true}), limits);
        looked_at(&fleet);
        let held = places(&process);
        let enforced = is_enforced(&fleet, "memory.max_rss");
        fleet.kill(Role::Master).unwrap();
        eventually("the master is back", SOON, || fleet.list().map_err(|e| e.to_string())).unwrap();
        looked_at(&fleet);
        assert_eq!(is_enforced(&fleet, "memory.max_rss"), enforced);
        assert_eq!(places(&process), held);
        fleet.tell(&["disable", "w"]).unwrap();
        eventually("it is where it was", SOON, || match places(&process) {
            now if now == before => Ok(()),
            now => Err(now),
        })
        .unwrap();
        process.signal(Signal::KILL).unwrap();
        fleet.stop(SOON).unwrap();
    });
}
