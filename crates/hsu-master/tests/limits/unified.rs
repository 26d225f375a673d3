//! A version 2 tree with every controller: each limit is in force there, none is watched.
//!
//! `cargo xtask limits-v2` runs these, and all the others, on a kernel that has one.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const ROOT: &str = "/sys/fs/cgroup";

/// The group of the worker, as its process names it.
fn group(sandbox: &Sandbox) -> PathBuf {
    let process = eventually("the worker has a process", SOON, || {
        relatives(sandbox).into_iter().next().ok_or_else(|| "none".to_owned())
    })
    .unwrap();
    let text = fs::read_to_string(format!("/proc/{}/cgroup", process.outer_pid)).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    Path::new(ROOT).join(path)
}

fn content(group: &Path, file: &str) -> String {
    fs::read_to_string(group.join(file)).unwrap().trim().to_owned()
}

/// The number after a word in a file of a group.
fn number(group: &Path, file: &str, word: &str) -> u64 {
    let text = content(group, file);
    let words: Vec<&str> = text.split_whitespace().collect();
    let place = words.iter().position(|one| *one == word).map(|place| place + 1);
    place.and_then(|place| words.get(place)?.parse().ok()).unwrap_or(0)
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn every_limit_that_version_2_knows_is_in_force_and_none_is_refused() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({
        "memory": {"max_rss": "200MiB", "max_swap": "16MiB"},
        "cpu": {"max_percent": 150, "weight": 50},
        "io": {"max_read_bps": "10MiB", "max_write_bps": "5MiB", "max_read_ops": 500, "max_write_ops": 400},
        "process": {"max_processes": 40},
    });
    let mut fleet = start(&sandbox, "v2", dummy(&[], limits));
    fleet.wait_for("w", "running", SOON).unwrap();
    for (key, file) in [
        ("memory.max_rss", "memory.max"),
        ("memory.max_swap", "memory.swap.max"),
        ("cpu.max_percent", "cpu.max"),
        ("io.max_read_bps", "io.max"),
        ("io.max_write_bps", "io.max"),
        ("io.max_read_ops", "io.max"),
        ("io.max_write_ops", "io.max"),
        ("process.max_processes", "pids.max"),
    ] {
        let limit = limit(&fleet, key);
        let mechanism = limit["mechanism"].as_str().unwrap();
        assert_eq!(limit["enforced"], true, "{limit}");
        assert!(mechanism.starts_with(&format!("{file} (cgroup v2)")), "{limit}");
    }
    let group = group(&sandbox);
    assert_eq!(content(&group, "memory.max"), (200 * MIB).to_string());
    assert_eq!(content(&group, "memory.high"), "max");
    assert_eq!(content(&group, "memory.swap.max"), (16 * MIB).to_string());
    assert_eq!(content(&group, "cpu.max"), "150000 100000");
    assert_eq!(content(&group, "cpu.weight"), "50");
    assert_eq!(content(&group, "pids.max"), "40");
    let disks = content(&group, "io.max");
    let all = "rbps=10485760 wbps=5242880 riops=500 wiops=400";
    assert!(disks.lines().count() > 0 && disks.lines().all(|line| line.ends_with(all)), "{disks}");
    assert_eq!(events(&fleet, "limit_failed"), Vec::<Value>::new());
    let host = fleet.ask(&["capabilities"]).unwrap()["host"].as_array().unwrap().clone();
    for name in ["memory", "CPUs", "disk", "processes"] {
        let wanted = format!("limit the {name} of a worker");
        let one = host.iter().find(|one| one["name"] == wanted.as_str()).unwrap();
        assert!(one["available"] == true && one["detail"].to_string().contains("v2"), "{one}");
    }
    fleet.stop(SOON).unwrap();
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn a_leaking_worker_is_killed_at_its_limit_and_takes_no_more_swap_than_it_may() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({"memory": {"max_rss": "48MiB", "max_swap": "8MiB"}});
    let mut fleet = start(&sandbox, "v2", dummy(&["--memory-growth-rate", "30"], limits));
    let killed = event(&fleet, "oom_killed", |_| true);
    assert_eq!(killed["most"], "48.0 MiB", "{killed}");
    fleet.wait_until("w", "restarted", SOON, |view| view.restarts() > 0).unwrap();
    let why = fleet.tell(&["why", "w"]).unwrap();
    assert!(why.contains("for want of memory within its limit of 48.0 MiB"), "{why}");
    fleet.stop(SOON).unwrap();
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn a_spinning_worker_is_held_back_by_the_kernel_itself() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({"cpu": {"max_percent": 20}});
    let mut fleet = start(&sandbox, "v2", dummy(&["--cpu-percent", "100"], limits));
    let group = group(&sandbox);
    eventually("it is held back in most periods", SOON, || {
        let (all, held) =
            (number(&group, "cpu.stat", "nr_periods"), number(&group, "cpu.stat", "nr_throttled"));
        if held > 10 && held * 2 > all { Ok(()) } else { Err(format!("{held} of {all}")) }
    })
    .unwrap();
    event(&fleet, "limit_exceeded", |event| event["severity"] == "critical");
    fleet.stop(SOON).unwrap();
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn a_forking_worker_is_refused_more_processes_and_goes_as_a_whole() {
    let sandbox = Sandbox::new().unwrap();
    let limits = json!({"process": {"max_processes": 12}});
    let mut fleet = start(&sandbox, "v2", dummy(&["--fork-rate", "100"], limits));
    let group = group(&sandbox);
    eventually("the kernel refuses a fork", SOON, || match number(&group, "pids.events", "max") {
        0 => Err(content(&group, "pids.current")),
        _ => Ok(()),
    })
    .unwrap();
    assert!(relatives(&sandbox).len() <= 12);
    let host = fleet.tell(&["capabilities"]).unwrap();
    assert!(host.contains("cgroup.kill"), "{host}");
    fleet.tell(&["stop", "w"]).unwrap();
    assert_eq!(relatives(&sandbox).len(), 0);
    fleet.stop(SOON).unwrap();
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn a_writing_worker_gets_no_more_of_the_disk_than_its_limit() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.folder().join("written").display().to_string();
    let limits = json!({"io": {"max_write_bps": "1MiB"}});
    let worker = dummy(&["--disk-rate", "20", "--disk-file", &file], limits);
    let mut fleet = start(&sandbox, "v2", worker);
    let group = group(&sandbox);
    let written = || {
        let text = content(&group, "io.stat");
        let words = text.split_whitespace().filter_map(|word| word.strip_prefix("wbytes="));
        words.filter_map(|number| number.parse::<u64>().ok()).sum::<u64>()
    };
    let begin = std::time::Instant::now();
    let before = written();
    let after = eventually("it has written something", SOON, || match written() {
        now if now >= before + 4 * MIB => Ok(now),
        now => Err(now.to_string()),
    })
    .unwrap();
    // It would write 20 in a second. The kernel lets a burst of half a second pass.
    let seconds = begin.elapsed().as_secs() + 2;
    assert!(after - before <= seconds * MIB, "{} bytes in {seconds} s", after - before);
    event(&fleet, "limit_exceeded", |event| event["limit"] == "io.max_write_bps");
    fleet.stop(SOON).unwrap();
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn a_policy_slows_a_worker_down_by_the_files_of_its_group() {
    for (limit, arguments, file, loose, tight) in [
        (
            json!({"memory": {"max_rss": "40MiB", "policy": "throttle"}}),
            &["--memory-mb", "60"][..],
            "memory.high",
            "max",
            (40 * MIB).to_string(),
        ),
        (
            json!({"cpu": {"max_percent": 25, "policy": "throttle"}}),
            &["--cpu-percent", "100"],
            "cpu.max",
            "max 100000",
            "25000 100000".to_owned(),
        ),
    ] {
        let sandbox = Sandbox::new().unwrap();
        let mut fleet = start(&sandbox, "v2", dummy(arguments, limit));
        let group = group(&sandbox);
        eventually("it is slowed down", SOON, || match content(&group, file) {
            now if now == tight => Ok(()),
            now => Err(now),
        })
        .unwrap();
        let slowed = used(&fleet)["slowed_by"].clone();
        assert!(slowed.is_null() || slowed == format!("{file} (cgroup v2)"), "{slowed}");
        assert_ne!(loose, tight);
        fleet.stop(SOON).unwrap();
    }
}

/// A group as a service manager makes one: its controllers may be passed on.
struct Delegated(PathBuf);

impl Delegated {
    fn new(sandbox: &Sandbox) -> Self {
        let folder = Path::new(ROOT).join(sandbox.folder().file_name().unwrap());
        for controller in ["cpu", "io", "memory", "pids"] {
            fs::write(Path::new(ROOT).join("cgroup.subtree_control"), format!("+{controller}"))
                .unwrap();
        }
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        drop(fs::remove_dir(self.0.join("hsu-roles")));
        drop(fs::remove_dir(&self.0));
    }
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn in_a_group_of_its_own_the_master_makes_room_and_passes_the_controllers_on() {
    let sandbox = Sandbox::new().unwrap();
    let service = Delegated::new(&sandbox);
    let limits = json!({"memory": {"max_rss": "48MiB", "max_swap": 0}});
    let mut fleet = FleetBuilder::new(&sandbox)
        .master("cgroups", "v2")
        .group(&service.0)
        .worker(dummy(&["--memory-growth-rate", "30"], limits))
        .start()
        .unwrap();
    event(&fleet, "oom_killed", |_| true);
    let group = group(&sandbox);
    assert!(group.starts_with(&service.0), "{group:?}");
    for role in Role::ALL {
        for player in fleet.players(role).unwrap() {
            let text = fs::read_to_string(format!("/proc/{}/cgroup", player.outer_pid)).unwrap();
            assert!(text.trim_end().ends_with("/hsu-roles"), "{role:?}: {text}");
        }
    }
    // The next master finds itself among the roles, and goes on.
    fleet.kill(Role::Master).unwrap();
    eventually("the master is back", SOON, || fleet.list().map_err(|e| e.to_string())).unwrap();
    assert!(is_enforced(&fleet, "memory.max_rss"));
    fleet.stop(SOON).unwrap();
    let left: Vec<_> = fs::read_dir(&service.0).unwrap().flatten().collect();
    let folders = left.iter().map(fs::DirEntry::path).filter(|path| path.is_dir());
    assert_eq!(folders.filter(|path| !path.ends_with("hsu-roles")).count(), 0, "{left:?}");
}

#[test]
#[ignore = "needs every controller of cgroup v2: cargo xtask limits-v2"]
fn beside_a_stranger_in_its_group_the_master_says_why_limits_are_only_watched() {
    let sandbox = Sandbox::new().unwrap();
    let service = Delegated::new(&sandbox);
    let mut stranger = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    fs::write(service.0.join("cgroup.procs"), stranger.id().to_string()).unwrap();
    let limits = json!({"memory": {"max_rss": "48MiB"}});
    let mut fleet = FleetBuilder::new(&sandbox)
        .master("cgroups", "v2")
        .group(&service.0)
        .worker(dummy(&[], limits))
        .start()
        .unwrap();
    fleet.wait_for("w", "running", SOON).unwrap();
    let limit = limit(&fleet, "memory.max_rss");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(limit["enforced"], false, "{limit}");
    assert!(limit["mechanism"].to_string().contains("Delegate=yes"), "{limit}");
    fleet.stop(SOON).unwrap();
}
