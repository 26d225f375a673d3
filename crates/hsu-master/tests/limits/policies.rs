//! What is done about a worker that exceeds a limit which nobody holds.

use super::*;

#[test]
fn a_leaking_worker_is_restarted_and_the_cause_is_told() {
    with_each(|sandbox, mode| {
        let limits = json!({"memory": {"limit_mb": 40, "policy": "restart"}});
        let mut fleet = start(sandbox, mode, dummy(&["--memory-growth-rate", "30"], limits));
        fleet.wait_until("w", "restarted", SOON, |view| view.restarts() > 0).unwrap();
        let exceeded = event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
        assert_eq!((&exceeded["limit"], &exceeded["run"]), (&"memory.max_rss".into(), &1.into()));
        let exits = events(&fleet, "exited");
        // It was asked to end, and did.
        assert_eq!(exits[0]["exit"]["code"], 0, "{exits:?}");
        let why = fleet.tell(&["why", "w"]).unwrap();
        assert!(why.contains("restart of run"), "{why}");
        assert!(why.contains("exceeds memory.max_rss"), "{why}");
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn violations_open_the_breaker_as_other_failures_do() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({"memory": {"limit_mb": 40, "policy": "restart"}});
    let block = json!({"max_retries": 1, "retry_delay": "0s", "backoff_rate": 1.0});
    let restarts = json!({
        "resource_violations": block,
        "severity_multipliers": {"critical": 2},
        "startup_grace_period": "0s",
        "sustained_violation_time": "0s",
    });
    let worker = dummy(&["--memory-mb", "60"], limits).set("context_aware_restart", restarts);
    let mut fleet = start(&sandbox, "none", worker);
    let view = fleet.wait_for("w", "tripped", SOON).unwrap();
    // One retry, doubled by the severity.
    assert_eq!(view.restarts(), 2);
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_is_ended_for_good_by_the_policies_that_say_so() {
    let cases = [
        ("memory", "graceful_shutdown", json!({"max_rss": "40MB"}), &["--memory-mb", "60"][..]),
        ("process", "immediate_kill", json!({"max_child_processes": 3}), &["--fork-rate", "50"]),
        ("process", "immediate_kill", json!({"max_threads": 1}), &["--cpu-percent", "1"]),
        ("cpu", "graceful_shutdown", json!({"max_time": "300ms"}), &["--cpu-percent", "100"]),
        ("cpu", "immediate_kill", json!({"max_cores": 0.2}), &["--cpu-percent", "90"]),
        (
            "process",
            "graceful_shutdown",
            json!({"max_file_descriptors": 50}),
            &["--open-files", "90"],
        ),
    ];
    for (section, policy, mut limit, arguments) in cases {
        let sandbox = Sandbox::new().unwrap();
        limit["policy"] = policy.into();
        let mut limits = json!({});
        limits[section] = limit;
        let mut fleet = start(&sandbox, "auto", dummy(arguments, limits.clone()));
        let view = fleet.wait_for("w", "stopped", SOON).unwrap();
        assert_eq!(view.restarts(), 0, "{limits}");
        let exit = &events(&fleet, "exited")[0]["exit"];
        match policy {
            "immediate_kill" => assert_eq!(exit["signal"], 9, "{limits}"),
            _ => assert_eq!(exit["code"], 0, "{limits}"),
        }
        assert_eq!(relatives(&sandbox).len(), 0, "{limits}");
        fleet.stop(SOON).unwrap();
    }
}

#[test]
fn a_disk_writing_worker_is_slowed_down_by_whatever_there_is() {
    with_each(|sandbox, mode| {
        let file = sandbox.folder().join("written").display().to_string();
        let limits = json!({"io": {"max_write_bps": "2MB", "policy": "throttle"}});
        let worker = dummy(&["--disk-rate", "40", "--disk-file", &file], limits);
        let mut fleet = start(sandbox, mode, worker);
        event(&fleet, "limit_action", |event| event["action"] == "throttle");
        eventually("it is slowed down", SOON, || match used(&fleet)["slowed_by"].as_str() {
            Some(_) => Ok(()),
            None => Err(used(&fleet).to_string()),
        })
        .unwrap();
        assert_eq!(events(&fleet, "limit_failed"), Vec::<Value>::new());
        assert_eq!(fleet.wait_for("w", "running", SOON).unwrap().restarts(), 0);
        fleet.tell(&["stop", "w"]).unwrap();
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn a_spinning_worker_is_slowed_down_to_its_limit() {
    with_each(|sandbox, mode| {
        let limits = json!({"cpu": {"max_percent": 25, "policy": "throttle"}});
        let mut fleet = start(sandbox, mode, dummy(&["--cpu-percent", "100"], limits));
        eventually("it is slowed down", SOON, || {
            let used = used(&fleet);
            let share = used["cpu_thousandths"].as_u64().unwrap_or(u64::MAX);
            let is_slow = used["slowed_by"].is_string() && share < 500;
            if is_slow { Ok(()) } else { Err(used.to_string()) }
        })
        .unwrap();
        fleet.tell(&["stop", "w"]).unwrap();
        assert_eq!(relatives(sandbox).len(), 0);
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn a_leaking_worker_is_slowed_down_and_ended_in_the_end() {
    with_each(|sandbox, mode| {
        let steps = json!([
            {"policy": "log"},
            {"policy": "throttle", "after": "300ms"},
            {"policy": "immediate_kill", "after": "2s"},
        ]);
        let limits =
            json!({"memory": {"max_rss": "40MB", "policy": "escalate", "escalation": steps}});
        let mut fleet = start(sandbox, mode, dummy(&["--memory-mb", "60"], limits));
        fleet.wait_for("w", "stopped", SOON).unwrap();
        let actions: Vec<_> = events(&fleet, "limit_action")
            .iter()
            .map(|event| event["action"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(actions, ["log", "throttle", "immediate_kill"]);
        let words = fleet.own_words();
        assert!(words.contains("exceeds memory.max_rss: log"), "{words}");
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn a_raised_limit_is_in_force_after_the_restart_and_an_operator_lowers_it_again() {
    with_each(|sandbox, mode| {
        let limits = json!({"memory": {
            "max_rss": "40MiB", "policy": "restart_adjusted", "adjustment": {"factor": 2, "max": 3},
        }});
        let mut fleet = start(sandbox, mode, dummy(&["--memory-mb", "60"], limits));
        let most = || limit(&fleet, "memory.max_rss")["most"].as_u64().unwrap();
        eventually("the limit is raised", SOON, || match most() {
            most if most == 80 * MIB => Ok(()),
            most => Err(most.to_string()),
        })
        .unwrap();
        assert_eq!(fleet.wait_for("w", "running", SOON).unwrap().restarts(), 1);
        fleet.tell(&["restart", "w"]).unwrap();
        event(&fleet, "limit_action", |event| event["run"] == 3);
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn a_raised_limit_outlives_the_master() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({"memory": {
        "max_rss": "40MiB", "policy": "restart_adjusted", "adjustment": {"factor": 2, "max": 3},
    }});
    let mut fleet = start(&sandbox, "none", dummy(&["--memory-mb", "60"], limits));
    let raised = |fleet: &Fleet<'_>| {
        eventually("the limit is raised", SOON, || {
            let described = fleet.ask(&["describe", "w"]).map_err(|error| error.to_string())?;
            let most = described["limits"][0]["most"].as_u64();
            if most == Some(80 * MIB) { Ok(()) } else { Err(described.to_string()) }
        })
        .unwrap();
    };
    raised(&fleet);
    fleet.kill(Role::Master).unwrap();
    eventually("the master is back", SOON, || fleet.list().map_err(|e| e.to_string())).unwrap();
    raised(&fleet);
    // Another master, begun by an operator, goes on with it too.
    fleet.stop(SOON).unwrap();
    fleet.launch().unwrap();
    raised(&fleet);
    fleet.wait_until("w", "running again", SOON, |view| view.state() == "running").unwrap();
    assert_eq!(events(&fleet, "limit_action").len(), 1, "once was enough");
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_worker_gives_way_while_it_exceeds_its_limit() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({
        "nice": 3,
        "cpu": {"max_percent": 30, "policy": "throttle", "throttle_by": "nice"},
    });
    let worker = dummy(&["--cpu-percent", "90"], limits);
    let mut fleet = start(&sandbox, "none", worker);
    let nice = || {
        let process = relatives(&sandbox).remove(0);
        let text = std::fs::read_to_string(format!("/proc/{}/stat", process.outer_pid)).unwrap();
        let rest = text.rsplit_once(") ").unwrap().1;
        rest.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
    };
    let is = |wanted: i32| {
        eventually("the nice value is as it should be", SOON, || match nice() {
            now if now == wanted => Ok(()),
            now => Err(now.to_string()),
        })
        .unwrap();
    };
    is(19);
    eventually("it is told", SOON, || match used(&fleet)["slowed_by"].clone() {
        by if by == "nice 19" => Ok(()),
        by => Err(by.to_string()),
    })
    .unwrap();
    // The next master gives it back, and then sees for itself.
    fleet.kill(Role::Master).unwrap();
    eventually("the master is back", SOON, || fleet.list().map_err(|e| e.to_string())).unwrap();
    event(&fleet, "limit_action", |_| events(&fleet, "limit_action").len() > 1);
    is(19);
    fleet.stop(SOON).unwrap();
}

#[test]
fn nothing_restarts_a_worker_before_the_violation_has_lasted() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({"memory": {
        "max_rss": "40MB", "policy": "restart", "sustained_violation_time": "1h",
    }});
    let mut fleet = start(&sandbox, "none", dummy(&["--memory-mb", "60"], limits));
    event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
    let before = used(&fleet)["at"].clone();
    eventually("another look was made", SOON, || match used(&fleet)["at"].clone() {
        at if at != before => Ok(()),
        at => Err(at.to_string()),
    })
    .unwrap();
    assert_eq!(events(&fleet, "limit_action"), Vec::<Value>::new());
    assert_eq!(fleet.wait_for("w", "running", SOON).unwrap().restarts(), 0);
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_folder_that_takes_more_than_its_budget_is_noticed() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.folder().join("kept");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("file").display().to_string();
    let mut limits = json!({"storage": {"policy": "graceful_shutdown", "directories": {}}});
    limits["storage"]["directories"][folder.display().to_string()] = "1MB".into();
    let worker = dummy(&["--disk-rate", "3", "--disk-file", &file], limits);
    let mut fleet = start(&sandbox, "auto", worker);
    fleet.wait_for("w", "stopped", SOON).unwrap();
    let exceeded = event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
    assert_eq!(exceeded["limit"], "storage.directories");
    fleet.stop(SOON).unwrap();
}

/// A worker whose policy is to stop it ends by the kernel's doing, before any look.
fn is_stopped_at_its_end(key: &str, limits: &Value, worker: impl Fn() -> Worker) {
    with_each(|sandbox, mode| {
        let mut limits = limits.clone();
        limits["monitoring"] = json!({"check_interval": "10m"});
        let mut fleet = start(sandbox, mode, worker().set("limits", limits));
        if is_enforced(&fleet, key) {
            fleet.wait_until("w", "stopped", SOON, |view| view.state() == "stopped").unwrap();
            assert_eq!(events(&fleet, "spawned").len(), 1, "{mode}");
            event(&fleet, "limit_exceeded", |event| event["limit"] == key);
            event(&fleet, "limit_action", |event| event["action"] == "graceful_shutdown");
            let why = fleet.tell(&["why", "w"]).unwrap();
            assert!(why.contains(key), "{why}");
        }
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn a_worker_that_ends_of_a_refused_fork_before_any_look_is_treated_as_its_policy_says() {
    let shell = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; exit 1";
    let policy = "graceful_shutdown";
    let process = json!({"max_processes": 3, "enforce": "kernel", "policy": policy});
    let worker = || Worker::new("w", "/bin/sh").arguments(["-c", shell]);
    is_stopped_at_its_end("process.max_processes", &json!({"process": process}), worker);
}

#[test]
fn a_worker_whose_cpu_time_is_over_before_any_look_is_treated_as_its_policy_says() {
    let cpu = json!({"max_time": "1s", "enforce": "kernel", "policy": "graceful_shutdown"});
    let program = binary("hsu-dummy").unwrap();
    let worker = || Worker::new("w", &program).arguments(["--cpu-percent", "100"]);
    is_stopped_at_its_end("cpu.max_time", &json!({"cpu": cpu}), worker);
}
