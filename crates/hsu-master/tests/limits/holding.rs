//! What the kernel holds, from before the program starts.

use super::*;

#[test]
fn a_leaking_worker_is_killed_by_the_kernel_at_its_limit_and_told_so() {
    with_each(|sandbox, mode| {
        let limits = json!({"memory": {"max_rss": "48MB"}});
        let worker = dummy(&["--memory-growth-rate", "30"], limits);
        let mut fleet = start(sandbox, mode, worker);
        if is_enforced(&fleet, "memory.max_rss") {
            let killed = event(&fleet, "oom_killed", |_| true);
            assert!(killed["most"].as_str().unwrap().starts_with("45.7 MiB"), "{killed}");
            fleet.wait_until("w", "restarted", SOON, |view| view.restarts() > 0).unwrap();
            let why = fleet.tell(&["why", "w"]).unwrap();
            assert!(why.contains("for want of memory within its limit of 45.7 MiB"), "{why}");
        } else {
            // Nobody holds it: it is seen, and without a policy that is all.
            event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
            assert_eq!(events(&fleet, "oom_killed"), Vec::<Value>::new());
        }
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn a_kill_by_the_kernel_is_followed_by_what_the_policy_says() {
    for (policy, state, restarts) in
        [("restart", "running", 1), ("graceful_shutdown", "stopped", 0)]
    {
        let sandbox = Sandbox::new().unwrap();
        let limits = json!({"memory": {"max_rss": "48MB", "policy": policy, "enforce": "kernel"}});
        // No look sees it at the limit before the kernel does.
        let seldom = json!({"check_interval": "1h"});
        let mut limits = limits;
        limits["monitoring"] = seldom;
        let worker = dummy(&["--memory-growth-rate", "30"], json!({}))
            .set("limits", limits)
            .retries(0, Duration::from_secs(1000));
        // What follows an exit would wait long, what follows a violation does not.
        let mut fleet = start(&sandbox, "auto", worker);
        if is_enforced(&fleet, "memory.max_rss") {
            event(&fleet, "oom_killed", |_| true);
            let fits = |view: &hsu_testkit::WorkerView| {
                view.state() == state && view.restarts() >= restarts
            };
            fleet.wait_until("w", state, SOON, fits).unwrap();
            // Later runs come and go meanwhile: the journal keeps the first.
            let is_first = |event: &Value| event["action"] == policy && event["run"] == 1;
            event(&fleet, "limit_action", is_first);
        }
        fleet.stop(SOON).unwrap();
    }
}

#[test]
fn a_spinning_worker_gets_no_more_than_its_share_of_a_cpu() {
    with_each(|sandbox, mode| {
        let limits = json!({"cpu": {"max_percent": 20}});
        let mut fleet = start(sandbox, mode, dummy(&["--cpu-percent", "100"], limits));
        if is_enforced(&fleet, "cpu.max_percent") {
            // A look covers two periods of the kernel: what it says may be one off.
            event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
            let share = used(&fleet)["cpu_thousandths"].as_u64().unwrap();
            assert!(share < 500, "{share} thousandths of a CPU");
            assert_eq!(fleet.wait_for("w", "running", SOON).unwrap().restarts(), 0);
        } else {
            let seen = event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
            assert_eq!(seen["most"], "20.0 %");
        }
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn a_forking_worker_gets_no_more_processes_than_its_limit() {
    with_each(|sandbox, mode| {
        let limits = json!({"process": {"max_processes": 12}});
        let mut fleet = start(sandbox, mode, dummy(&["--fork-rate", "100"], limits));
        event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
        let count = relatives(sandbox).len();
        if is_enforced(&fleet, "process.max_processes") {
            assert!(count <= 12, "{count} processes");
        } else {
            assert!(count > 12, "{count} processes");
        }
        fleet.tell(&["stop", "w"]).unwrap();
        assert_eq!(relatives(sandbox).len(), 0);
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn limits_of_a_process_hold_from_before_its_start_with_and_without_cgroups() {
    with_each(|sandbox, mode| {
        let limits = json!({
            "memory": {"max_virtual": "3GB", "max_heap": "2GB"},
            "cpu": {"max_time": "90s"},
            "process": {"max_file_descriptors": 64},
        });
        let worker = dummy(&["--print-identity", "--open-files", "1000"], limits)
            .execution("rlimits", json!({"nofile": 50, "core": 0}));
        let logs = json!({"enabled": true, "capture_stdout": true});
        let mut fleet = FleetBuilder::new(sandbox)
            .master("cgroups", mode)
            .section("log_collection", json!({"enabled": true}))
            .worker(worker.set("log_collection", logs))
            .start()
            .unwrap();
        fleet.wait_for("w", "running", SOON).unwrap();
        let keys = ["memory.max_virtual", "memory.max_heap", "cpu.max_time"];
        assert!(keys.iter().all(|key| is_enforced(&fleet, key)));
        let process = &relatives(sandbox)[0];
        let set = std::fs::read_to_string(format!("/proc/{}/limits", process.outer_pid)).unwrap();
        let row = |name: &str| {
            let line = set.lines().find(|line| line.starts_with(name)).unwrap();
            let numbers = line.strip_prefix(name).unwrap().split_whitespace();
            numbers.take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("Max address space"), ["3000000000", "3000000000"]);
        assert_eq!(row("Max data size"), ["2000000000", "2000000000"]);
        assert_eq!(row("Max cpu time"), ["90", "95"]);
        // Of two limits the lower one holds.
        assert_eq!(row("Max open files"), ["50", "50"]);
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn the_next_master_goes_on_with_the_limits_of_what_runs() {
    with_each(|sandbox, mode| {
        let limits = json!({"memory": {"max_rss": "64MB", "policy": "restart"}});
        let worker = dummy(&["--memory-growth-rate", "8"], limits);
        let mut fleet = start(sandbox, mode, worker);
        let first = fleet.wait_for("w", "running", SOON).unwrap().pid();
        fleet.kill(Role::Master).unwrap();
        eventually("the master is back", SOON, || fleet.list().map_err(|e| e.to_string())).unwrap();
        assert_eq!(fleet.wait_for("w", "running", SOON).unwrap().pid(), first);
        event(&fleet, "limit_action", |event| event["action"] == "restart");
        fleet
            .wait_until("w", "another run", SOON, |view| {
                view.state() == "running" && view.pid() != first
            })
            .unwrap();
        fleet.stop(SOON).unwrap();
    });
}

#[test]
fn nothing_is_left_of_the_groups_of_a_master_that_ended() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({"memory": {"max_rss": "1GB"}, "cpu": {"max_cores": 1}, "process": {"max_processes": 50}});
    let mut fleet = start(&sandbox, "auto", dummy(&[], limits));
    fleet.wait_for("w", "running", SOON).unwrap();
    let process = relatives(&sandbox).remove(0);
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", process.outer_pid)).unwrap();
    let ours: Vec<&str> = groups.lines().filter(|line| line.ends_with("/w")).collect();
    if is_enforced(&fleet, "memory.max_rss") {
        assert!(!ours.is_empty(), "{groups}");
    }
    process.signal(Signal::CONT).unwrap();
    fleet.stop(SOON).unwrap();
    for line in ours {
        let name = line.rsplit('/').nth(1).unwrap();
        let left = find(std::path::Path::new("/sys/fs/cgroup"), name, 3);
        assert_eq!(left, Vec::<std::path::PathBuf>::new());
    }
}

/// The folders of this name, no deeper than this.
fn find(folder: &std::path::Path, name: &str, depth: u32) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut found = Vec::new();
    for path in folders {
        if path.file_name().is_some_and(|last| last == name) {
            found.push(path);
        } else if depth > 0 {
            found.extend(find(&path, name, depth - 1));
        }
    }
    found
}
