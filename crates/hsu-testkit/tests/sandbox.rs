//! What a sandbox promises: nothing outlives it, and it sees everything inside.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use hsu_testkit::{Process, Sandbox, TestError, binaries, eventually};
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(30);

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let dummy = binaries::binary("hsu-dummy").unwrap();
    let mut command = sandbox.command(dummy);
    command.args(arguments).stdout(Stdio::null()).spawn().unwrap()
}

fn wait_for_processes(sandbox: &Sandbox, count: usize) -> Vec<Process> {
    wait_for_settled(sandbox, count, |_| true)
}

fn wait_for_settled(
    sandbox: &Sandbox,
    count: usize,
    is_whole: impl Fn(&[Process]) -> bool,
) -> Vec<Process> {
    eventually("all processes are there", LIMIT, || {
        let all = sandbox.processes().map_err(|error| error.to_string())?;
        let settled = all.iter().filter(|p| p.name() == "hsu-dummy" && !p.is_zombie()).count();
        let is_settled = all.len() == count && settled == count && is_whole(&all);
        is_settled.then_some(all).ok_or_else(|| format!("{settled} of {count}"))
    })
    .unwrap()
}

/// Those whose parent is none of them.
fn heads(all: &[Process]) -> usize {
    let is_inside = |process: &&Process| all.iter().any(|p| p.outer_pid == process.outer_parent);
    all.iter().filter(|process| !is_inside(process)).count()
}

#[test]
fn a_family_is_seen_whole_and_dies_with_the_sandbox() {
    let sandbox = Sandbox::new().unwrap();
    let mut door = start(&sandbox, &["--fork-family", "--ignore-term"]);
    // The worker, the child in its group, the child in its session, the daemon.
    // Whoever made the daemon is one more until it ends, and counted when it has no child yet.
    let all = wait_for_settled(&sandbox, 4, |all| heads(all) == 2);
    assert!(all.iter().all(Process::is_alive));
    drop(sandbox);
    assert!(!all.iter().any(Process::is_alive));
    door.wait().unwrap();
}

#[test]
fn a_daemon_is_seen_after_its_parents_are_gone() {
    let sandbox = Sandbox::new().unwrap();
    let mut door = start(&sandbox, &["--daemonize"]);
    assert_eq!(door.wait().unwrap().code(), Some(0));
    let all = wait_for_processes(&sandbox, 1);
    assert!(matches!(sandbox.empty_within(Duration::ZERO), Err(TestError::Overdue { .. })));
    all[0].signal(Signal::KILL).unwrap();
    sandbox.empty_within(LIMIT).unwrap();
}

#[test]
fn a_bomb_has_the_size_it_was_given() {
    let sandbox = Sandbox::new().unwrap();
    let mut door = start(&sandbox, &["--fork-bomb", "50"]);
    wait_for_processes(&sandbox, 51);
    drop(sandbox);
    door.wait().unwrap();
}

#[test]
fn the_exit_status_comes_through_the_door() {
    let sandbox = Sandbox::new().unwrap();
    let mut door = start(&sandbox, &["--run-duration", "1ms", "--exit-code", "42"]);
    assert_eq!(door.wait().unwrap().code(), Some(42));
    sandbox.empty_within(LIMIT).unwrap();
}

#[test]
fn pids_inside_come_back_soon_and_the_host_keeps_its_own() {
    let sandbox = Sandbox::new().unwrap();
    match sandbox.limit_pids(400) {
        // Before Linux 6.14 the limit belongs to the whole host, and is left alone.
        Err(TestError::NoNamespace { .. }) => return,
        result => result.unwrap(),
    }
    sandbox.run_shell("i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done").unwrap();
    let mut door = start(&sandbox, &[]);
    let all = wait_for_processes(&sandbox, 1);
    assert!(all[0].pid < 400, "{all:?}");
    drop(sandbox);
    door.wait().unwrap();
}

#[test]
fn a_disk_inside_can_be_full() {
    let sandbox = Sandbox::new().unwrap();
    let disk = sandbox.folder().join("disk");
    sandbox.mount_disk(&disk, 65_536).unwrap();
    let file = disk.join("file");
    let line = format!("head -c 1000000 /dev/zero > {}", file.display());
    sandbox.run_shell(&line).unwrap_err();
    assert_eq!(fs::metadata(sandbox.seen_inside(&file)).unwrap().len(), 65_536);
    assert!(!file.exists(), "the mount is private to the sandbox");
}
