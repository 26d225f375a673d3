//! Families: whatever a worker starts is gone with its run, and nobody else is hurt.
//!
//! Workers here fork, daemonize, make sessions and ignore SIGTERM, with cgroups
//! and without, while masters, keepers and the workers themselves are killed.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::Path;
use std::time::Duration;

use hsu_testkit::binaries::binary;
use hsu_testkit::chaos::Random;
use hsu_testkit::{Fleet, FleetBuilder, Process, Role, Sandbox, Worker, eventually};
use rustix::process::Signal;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(40);
const ROUNDS: u32 = 32;

/// The processes of one family: the worker, a child in its group, one in its own
/// session, a daemon, and a tree of eight.
const FAMILY: usize = 12;
/// A tree that fills a list of processes.
const FOREST: u32 = 3000;

/// What the host offers to those who kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surroundings {
    /// Whatever this host has.
    Host,
    /// The cgroups are hidden.
    NoCgroups,
}

impl Surroundings {
    fn sandbox(self) -> Sandbox {
        let sandbox = Sandbox::new().unwrap();
        if self == Self::NoCgroups {
            sandbox.run_shell("mount -t tmpfs -o ro none /sys/fs/cgroup").unwrap();
            assert!(!has_cgroups(&sandbox), "the cgroups are hidden");
        }
        sandbox
    }
}

fn has_cgroups(sandbox: &Sandbox) -> bool {
    let mut command = sandbox.command(binary("hsu-master").unwrap());
    let output = command.args(["capabilities", "-o", "json"]).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut host = all["host"].as_array().unwrap().iter();
    let kill = host.find(|one| one["name"] == "kill a whole tree of processes").unwrap();
    // The last resort is named by its parts.
    !kill["detail"].as_str().unwrap().starts_with("process group")
}

fn is_role(process: &Process) -> bool {
    Role::ALL.iter().any(|role| role.is_played_by(process))
}

/// The living processes that carry the mark of a worker, with the run of each.
fn relatives(sandbox: &Sandbox, worker: &str) -> Vec<(Process, u64)> {
    let all = sandbox.processes().unwrap().into_iter();
    let living = all.filter(|process| !process.is_zombie() && !is_role(process));
    let marked = |process: Process| {
        let is_its = process.variable("HSU_WORKER_ID").as_deref() == Some(worker);
        let run = process.variable("HSU_RUN_ID").and_then(|text| text.parse().ok());
        run.filter(|_| is_its).map(|run| (process, run))
    };
    living.filter_map(marked).collect()
}

fn nothing_is_left(sandbox: &Sandbox, worker: &str) {
    let left = relatives(sandbox, worker);
    assert!(left.is_empty(), "{} of {worker} are left: {left:?}", left.len());
}

fn no_zombie_stays(sandbox: &Sandbox) {
    eventually("all zombies are reaped", SOON, || {
        let mut all = sandbox.processes().map_err(|error| error.to_string())?;
        all.retain(Process::is_zombie);
        if all.is_empty() { Ok(()) } else { Err(format!("{all:?}")) }
    })
    .unwrap();
}

fn is_back(fleet: &Fleet<'_>) {
    eventually("the master is back", SOON, || fleet.list().map_err(|error| error.to_string()))
        .unwrap();
}

/// Waits until a run of the worker is complete; its first process.
fn grown(fleet: &Fleet<'_>, sandbox: &Sandbox, size: usize) -> Process {
    let view = fleet
        .wait_until("family", "running", SOON, |view| {
            view.state() == "running" && view.pid().is_some()
        })
        .unwrap();
    eventually("the family has come", SOON, || match relatives(sandbox, "family").len() {
        count if count == size => Ok(()),
        count => Err(format!("{count} of {size}")),
    })
    .unwrap();
    sandbox.process(view.pid().unwrap()).unwrap().unwrap()
}

/// Waits for the next run, which must not find anything of an earlier one.
fn next_run_is_alone(fleet: &Fleet<'_>, sandbox: &Sandbox, before: &Process) {
    let view = fleet
        .wait_until("family", "running again", SOON, |view| {
            view.state() == "running" && view.pid().is_some_and(|pid| pid != before.pid)
        })
        .unwrap();
    let run = view.field("run").as_u64().unwrap();
    let old: Vec<_> =
        relatives(sandbox, "family").into_iter().filter(|(_, of)| *of != run).collect();
    assert!(old.is_empty(), "beside run {run} live {old:?}");
}

/// One round: the family grows, and ends in one of five ways.
fn one_round(fleet: &Fleet<'_>, sandbox: &Sandbox, round: u32, random: &mut Random) {
    let first = grown(fleet, sandbox, FAMILY);
    let pause = random.up_to(Duration::from_millis(60));
    match round % 5 {
        0 => {
            fleet.tell(&["stop", "family"]).unwrap();
            nothing_is_left(sandbox, "family");
        }
        1 => {
            first.signal(Signal::KILL).unwrap();
            return next_run_is_alone(fleet, sandbox, &first);
        }
        2 => {
            fleet.kill(Role::Master).unwrap();
            first.signal(Signal::KILL).unwrap();
            return next_run_is_alone(fleet, sandbox, &first);
        }
        3 => {
            fleet.kill(Role::Keeper).unwrap();
            first.signal(Signal::KILL).unwrap();
            return next_run_is_alone(fleet, sandbox, &first);
        }
        _ => {
            std::thread::scope(|scope| {
                // Its answer is lost with the master.
                scope.spawn(|| drop(fleet.client(&["stop", "family"])));
                std::thread::sleep(pause);
                fleet.kill(Role::Master).unwrap();
            });
            is_back(fleet);
            fleet.tell(&["stop", "family"]).unwrap();
            nothing_is_left(sandbox, "family");
        }
    }
    fleet.tell(&["start", "family"]).unwrap();
}

fn families_end_with_their_runs(surroundings: Surroundings) {
    let sandbox = surroundings.sandbox();
    let dummy = binary("hsu-dummy").unwrap();
    let family = Worker::new("family", dummy)
        .arguments(["--fork-family", "--ignore-term", "--fork-bomb", "8"])
        .grace(Duration::from_millis(30));
    let other = Worker::new("other", "/bin/sleep").arguments(["1000"]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(family).worker(other).start().unwrap();
    let before = fleet.wait_for("other", "running", SOON).unwrap();
    let mut random = Random::new(71);
    for round in 0..ROUNDS {
        one_round(&fleet, &sandbox, round, &mut random);
    }
    fleet.tell(&["stop", "family"]).unwrap();
    nothing_is_left(&sandbox, "family");
    let after = fleet.wait_for("other", "running", SOON).unwrap();
    assert_eq!((before.pid(), before.restarts()), (after.pid(), after.restarts()));
    no_zombie_stays(&sandbox);
    fleet.stop(SOON).unwrap();
}

#[test]
fn a_family_ends_with_its_run_whoever_is_killed() {
    families_end_with_their_runs(Surroundings::Host);
}

#[test]
fn a_family_ends_with_its_run_where_there_are_no_cgroups() {
    families_end_with_their_runs(Surroundings::NoCgroups);
}

/// A tree of thousands, each in a session of its own: stopped while it grows, when
/// it is complete, and by the next master after the first was killed over it.
fn a_forest_is_felled(surroundings: Surroundings) {
    let sandbox = surroundings.sandbox();
    let dummy = binary("hsu-dummy").unwrap();
    let forest = Worker::new("family", dummy)
        .arguments(["--fork-bomb", &FOREST.to_string(), "--ignore-term"])
        .grace(Duration::from_millis(50));
    let other = Worker::new("other", "/bin/sleep").arguments(["1000"]);
    let mut fleet = FleetBuilder::new(&sandbox).worker(forest).worker(other).start().unwrap();
    let before = fleet.wait_for("other", "running", SOON).unwrap();
    let size = usize::try_from(FOREST).unwrap() + 1;
    grown(&fleet, &sandbox, size);
    fleet.tell(&["stop", "family"]).unwrap();
    nothing_is_left(&sandbox, "family");
    fleet.tell(&["start", "family"]).unwrap();
    eventually("it grows", SOON, || match relatives(&sandbox, "family").len() {
        count if count > 100 => Ok(()),
        count => Err(format!("{count}")),
    })
    .unwrap();
    std::thread::scope(|scope| {
        // Its answer is lost with the master.
        scope.spawn(|| drop(fleet.client(&["stop", "family"])));
        fleet.kill(Role::Master).unwrap();
    });
    is_back(&fleet);
    fleet.tell(&["stop", "family"]).unwrap();
    nothing_is_left(&sandbox, "family");
    no_zombie_stays(&sandbox);
    let after = fleet.wait_for("other", "running", SOON).unwrap();
    assert_eq!((before.pid(), before.restarts()), (after.pid(), after.restarts()));
    fleet.stop(SOON).unwrap();
}

#[test]
fn three_thousand_processes_are_gone_after_the_stop() {
    a_forest_is_felled(Surroundings::Host);
}

#[test]
fn three_thousand_processes_are_gone_where_there_are_no_cgroups() {
    a_forest_is_felled(Surroundings::NoCgroups);
}

/// Takes a lock that its whole family holds, and says so; exits 98 if it is taken. That
/// `flock` was killed says nothing about the lock.
const LOCKER: &str = "exec 9>lock; flock -n -E 98 9; case $? in 0) ;; \
    98) echo \"$HSU_RUN_ID taken\" >> ledger; exit 98;; *) exit 97;; esac; \
    echo \"$HSU_RUN_ID started\" >> ledger; \
    setsid sleep 1000 & sleep 1000 & exec sleep 1000";

/// Who is killed in a round; without a master or keeper, another master is started.
/// Returns how many were hit.
fn kill_somebody(fleet: &mut Fleet<'_>, sandbox: &Sandbox, random: &mut Random) -> u32 {
    let victim = random.below(6);
    let roles: &[Role] = match victim {
        0 => &[Role::Master],
        1 => &[Role::Keeper],
        2 => &[],
        3 => &[Role::Master],
        4 => &[Role::Keeper],
        _ => &[Role::Master, Role::Keeper],
    };
    let players: Vec<Process> =
        roles.iter().flat_map(|role| fleet.players(*role).unwrap()).collect();
    let workers = if victim < 2 { Vec::new() } else { first_processes(sandbox) };
    // Another may have taken one of them along already.
    let hits = players.iter().chain(&workers).filter(|p| p.signal(Signal::KILL).is_ok()).count();
    eventually("whoever was killed is dead", SOON, || {
        let left: Vec<_> = players.iter().filter(|player| player.is_alive()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .unwrap();
    // Two rounds in quick succession kill both as well.
    if roles.len() == 2 && !comes_back(fleet) || masters_and_keepers(fleet).is_empty() {
        fleet.launch().unwrap();
    }
    u32::try_from(hits).unwrap()
}

/// Whether one of the two roles has brought back the other before it was killed; else
/// both are gone, and somebody has to start a master.
fn comes_back(fleet: &Fleet<'_>) -> bool {
    let outcome = eventually("the roles are played again, or both are gone", SOON, || {
        if fleet.list().is_ok() {
            return Ok(true);
        }
        let players = masters_and_keepers(fleet);
        if players.is_empty() { Ok(false) } else { Err(format!("{players:?}")) }
    });
    outcome.unwrap()
}

fn masters_and_keepers(fleet: &Fleet<'_>) -> Vec<Process> {
    [Role::Master, Role::Keeper].iter().flat_map(|role| fleet.players(*role).unwrap()).collect()
}

/// The first process of each run of the locker: the one whose parent is none of its.
fn first_processes(sandbox: &Sandbox) -> Vec<Process> {
    let all = relatives(sandbox, "locker");
    let is_first =
        |process: &Process| !all.iter().any(|(p, _)| p.outer_pid == process.outer_parent);
    all.iter().map(|(process, _)| process).filter(|process| is_first(process)).cloned().collect()
}

/// Fails with everything that may tell why a run met another one.
#[track_caller]
fn was_alone(fleet: &Fleet<'_>, sandbox: &Sandbox, ledger: &Path) {
    let runs = std::fs::read_to_string(ledger).unwrap_or_default();
    assert!(
        !runs.contains("taken"),
        "{runs}\n{:#?}\n{}\n{}",
        relatives(sandbox, "locker"),
        fleet.tell(&["events"]).unwrap_or_default(),
        fleet.own_words()
    );
}

#[test]
fn no_two_instances_of_a_worker_ever_live_at_once_whoever_is_killed() {
    let sandbox = Sandbox::new().unwrap();
    let locker = Worker::new("locker", "/bin/sh").arguments(["-c", LOCKER]);
    let folder = sandbox.folder().join("locker");
    std::fs::create_dir(&folder).unwrap();
    let locker = locker.execution("working_directory", folder.display().to_string());
    let mut fleet = FleetBuilder::new(&sandbox).worker(locker).start().unwrap();
    let mut random = Random::new(81);
    let mut kills = 0;
    while kills < 2 * ROUNDS {
        std::thread::sleep(random.up_to(Duration::from_millis(120)));
        was_alone(&fleet, &sandbox, &folder.join("ledger"));
        kills += kill_somebody(&mut fleet, &sandbox, &mut random);
    }
    if !comes_back(&fleet) {
        fleet.launch().unwrap();
    }
    fleet.wait_until("locker", "running", SOON, |view| view.pid().is_some()).unwrap();
    fleet.tell(&["stop", "locker"]).unwrap();
    nothing_is_left(&sandbox, "locker");
    let ledger = std::fs::read_to_string(folder.join("ledger")).unwrap();
    let runs: Vec<u64> = ledger
        .lines()
        .map(|line| line.strip_suffix(" started").unwrap_or_else(|| panic!("{ledger}")))
        .map(|run| run.parse().unwrap())
        .collect();
    assert!(runs.is_sorted_by(|a, b| a < b), "each run starts once, in its order: {runs:?}");
    assert!(runs.len() > 10, "{runs:?}");
    fleet.stop(SOON).unwrap();
}
