//! Losing: the keeper or the pump is killed, and nobody else notices.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::time::{Duration, Instant};

use hsu_keeper::{Capture, FromKeeper, SpawnRequest, ToKeeper};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::RunId;

use crate::fixture::{
    Folder, Master, all_pids, eventually, is_alive, kill, path_text, run_of, shell, sleeper, worker,
};
use crate::isolation::{isolated, reap_nobody};

/// Whether the kernel tells the exit status of a process to others than its parent.
fn tells_others() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn the_next_keeper_adopts_what_the_killed_one_held() {
    isolated("losing::the_next_keeper_adopts_what_the_killed_one_held", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for run in 1..=5 {
            master.spawn(sleeper(run));
        }
        let pids: Vec<(u64, u32)> = (1..=5).map(|run| (run, master.started(run))).collect();
        master.spawn(shell(6, "exit 6"));
        assert_eq!(master.exited(6), Exit::Code(6));
        master.kill_keeper();
        let mut master = folder.master();
        assert_eq!(master.inventory(), pids);
        assert_eq!(master.exited(6), Exit::Code(6), "an exit that nobody has acknowledged");
        // An older kernel tells it by the zombie alone, which may be gone before we look.
        let unknown = Exit::Unknown(UnknownExit::KeeperLost);
        let is_known = |exit, known| exit == known || !tells_others() && exit == unknown;
        kill(pids[0].1, libc::SIGTERM);
        assert!(is_known(master.exited(1), Exit::Signal { number: 15, core: false }));
        let to_group = hsu_keeper::SignalScope::Group;
        master.say(ToKeeper::Signal { run: RunId(2), signal: libc::SIGKILL, scope: to_group });
        assert!(is_known(master.exited(2), Exit::Signal { number: 9, core: false }));
        // And the one after it, with both kinds of children.
        master.spawn(sleeper(7));
        let seventh = master.started(7);
        master.kill_keeper();
        let mut master = folder.master();
        assert_eq!(master.inventory(), [pids[2], pids[3], pids[4], (7, seventh)]);
    });
}

#[test]
fn the_end_of_an_adopted_one_is_known_also_where_its_new_parent_does_not_reap_it() {
    let name =
        "losing::the_end_of_an_adopted_one_is_known_also_where_its_new_parent_does_not_reap_it";
    isolated(name, || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(shell(1, "trap 'exit 7' USR1; while :; do sleep 0.01; done"));
        master.spawn(sleeper(2));
        let pids = [1, 2].map(|run| master.started(run));
        master.kill_keeper();
        let mut master = folder.master();
        assert_eq!(master.inventory(), [(1, pids[0]), (2, pids[1])]);
        reap_nobody();
        kill(pids[0], libc::SIGUSR1);
        assert_eq!(master.exited(1), Exit::Code(7));
        kill(pids[1], libc::SIGTERM);
        assert_eq!(master.exited(2), Exit::Signal { number: 15, core: false });
    });
}

#[test]
fn an_exit_while_there_is_no_keeper_is_unknown_and_never_invented() {
    isolated("losing::an_exit_while_there_is_no_keeper_is_unknown_and_never_invented", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(shell(1, "sleep 1000; exit 0"));
        let pid = master.started(1);
        master.kill_keeper();
        kill(pid, libc::SIGKILL);
        eventually("it is gone", || (!all_pids().contains(&pid)).then_some(()));
        let mut master = folder.master();
        assert_eq!(master.inventory(), []);
        assert_eq!(master.exited(1), Exit::Unknown(UnknownExit::KeeperLost));
    });
}

#[test]
fn a_reused_pid_is_not_adopted() {
    isolated("losing::a_reused_pid_is_not_adopted", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(sleeper(1));
        let pid = master.started(1);
        master.kill_keeper();
        // The kernel counts start times in hundredths of a second.
        std::thread::sleep(Duration::from_millis(20));
        kill(pid, libc::SIGKILL);
        eventually("it is gone", || (!all_pids().contains(&pid)).then_some(()));
        let stranger = (0..1000).find_map(|_| {
            // Only the newest namespace has this file of its own; others need luck.
            fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
            let child = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
            if child.id() == pid {
                return Some(child.id());
            }
            kill(child.id(), libc::SIGKILL);
            None
        });
        let Some(stranger) = stranger else {
            return println!("not tried: this kernel does not let us choose a PID");
        };
        let mut master = folder.master();
        assert_eq!(master.inventory(), []);
        assert_eq!(master.exited(1), Exit::Unknown(UnknownExit::KeeperLost));
        assert!(is_alive(stranger), "nobody touched it");
    });
}

/// Every process that runs as a worker, by its run.
fn running() -> BTreeMap<u64, u32> {
    let workers = all_pids().into_iter().filter(|pid| is_alive(*pid));
    workers.filter_map(|pid| Some((run_of(pid)?, pid))).collect()
}

/// Starts many, kills the keeper after `delay`, and compares what runs with what the next one holds.
fn kill_during_starts(folder: &Folder, master: &mut Master, first: u64, delay: Duration) -> usize {
    for run in first..first + 40 {
        master.link.queue(ToKeeper::Spawn(Box::new(sleeper(run))));
    }
    let begin = Instant::now();
    master.link.flush().unwrap();
    // Shorter than a sleep can be.
    while begin.elapsed() < delay {
        std::hint::spin_loop();
    }
    kill(master.keeper, libc::SIGKILL);
    *master = folder.master();
    let held: BTreeMap<u64, u32> = master.inventory().into_iter().collect();
    let check = |running: &BTreeMap<u64, u32>| {
        let unrecorded = running.iter().find(|(run, pid)| held.get(run) != Some(pid));
        assert_eq!(unrecorded, None, "it runs and is not held");
    };
    // One that was held up would come late.
    let until = Instant::now() + Duration::from_millis(20);
    while Instant::now() < until {
        check(&running());
    }
    eventually("all that are held run", || (running() == held).then_some(()));
    for pid in held.values() {
        kill(*pid, libc::SIGKILL);
    }
    for run in held.keys() {
        master.exited(*run);
        master.say(ToKeeper::Acknowledge { run: RunId(*run) });
    }
    master.heard.clear();
    held.len()
}

fn kill_often_during_starts(rounds: u64) {
    let folder = Folder::new();
    let mut master = folder.master();
    let mut totals = BTreeMap::new();
    for round in 0..rounds {
        // Spread over the time that the starts take.
        let delay = Duration::from_micros(round * 7919 % 12_000);
        let started = kill_during_starts(&folder, &mut master, round * 100 + 1, delay);
        *totals.entry(started).or_insert(0) += 1;
    }
    println!("started before the kill, and how often: {totals:?}");
}

#[test]
fn a_keeper_killed_in_the_middle_of_starts_leaves_no_worker_unrecorded() {
    let name = "losing::a_keeper_killed_in_the_middle_of_starts_leaves_no_worker_unrecorded";
    isolated(name, || kill_often_during_starts(30));
}

#[test]
#[ignore = "the same, 1,000 times"]
fn a_keeper_killed_often_in_the_middle_of_starts_leaves_no_worker_unrecorded() {
    let name = "losing::a_keeper_killed_often_in_the_middle_of_starts_leaves_no_worker_unrecorded";
    isolated(name, || kill_often_during_starts(1000));
}

/// Writes numbers until its standard output breaks; ends with 0 at four thousand.
fn counter(run: u64) -> SpawnRequest {
    let line = "i=0; while [ $i -lt 4000 ]; do echo $i || exit 1; i=$((i+1)); \
                [ $((i % 50)) = 0 ] && sleep 0.02; done; exit 0";
    SpawnRequest { capture: Capture { stdout: true, stderr: true }, ..shell(run, line) }
}

fn wait_for_all_numbers(folder: &Folder) {
    let wanted: String = (0..4000).map(|number| format!("{number}\n")).collect();
    eventually("every line is in the spool, once", || {
        (folder.spooled("w", "stdout") == wanted.as_bytes()).then_some(())
    });
}

fn pump() -> Option<u32> {
    all_pids().into_iter().filter(|pid| is_alive(*pid)).find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"hsu-pump\0"))
    })
}

#[test]
fn pumps_that_are_killed_lose_no_line_and_break_no_pipe() {
    isolated("losing::pumps_that_are_killed_lose_no_line_and_break_no_pipe", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(counter(1));
        master.started(1);
        for _ in 0..5 {
            let pid = eventually("there is a pump", pump);
            kill(pid, libc::SIGKILL);
            master.expect("news of the loss", |message| match message {
                FromKeeper::PumpLost => Ok(()),
                other => Err(other),
            });
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(master.exited(1), Exit::Code(0), "no write failed");
        wait_for_all_numbers(&folder);
    });
}

#[test]
fn keepers_and_pumps_that_are_killed_in_turn_lose_no_line_and_break_no_pipe() {
    let name = "losing::keepers_and_pumps_that_are_killed_in_turn_lose_no_line_and_break_no_pipe";
    isolated(name, || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(counter(1));
        master.started(1);
        for _ in 0..3 {
            let before = eventually("there is a pump", pump);
            master.kill_keeper();
            master = folder.master();
            master.inventory();
            assert_eq!(pump(), Some(before), "the pump stays");
            std::thread::sleep(Duration::from_millis(50));
            kill(before, libc::SIGKILL);
            eventually("another pump", || pump().filter(|pid| *pid != before));
            std::thread::sleep(Duration::from_millis(50));
        }
        let exit = master.exited(1);
        assert!(exit == Exit::Code(0) || !tells_others(), "no write failed: {exit}");
        wait_for_all_numbers(&folder);
    });
}

#[test]
fn a_pump_that_was_alone_for_long_is_taken_back() {
    isolated("losing::a_pump_that_was_alone_for_long_is_taken_back", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let capture = Capture { stdout: true, stderr: false };
        let line = "while [ ! -e \"$0\" ]; do sleep 0.01; done; echo late";
        let gate = folder.0.join("gate");
        let mut waiting = SpawnRequest { capture, ..shell(1, line) };
        waiting.program.args.push(CString::new(path_text(&gate)).unwrap());
        master.spawn(waiting);
        master.started(1);
        let before = eventually("there is a pump", pump);
        master.kill_keeper();
        // By then it asks for a keeper less often.
        std::thread::sleep(Duration::from_millis(1200));
        let mut master = folder.master();
        master.spawn(SpawnRequest { capture, worker: worker("second"), ..shell(2, "echo 2") });
        master.exited(2);
        fs::write(gate, "").unwrap();
        master.exited(1);
        eventually("both lines are in their spools", || {
            let second = folder.spooled("second", "stdout") == b"2\n";
            (second && folder.spooled("w", "stdout") == b"late\n").then_some(())
        });
        assert_eq!(pump(), Some(before), "no other was needed");
        assert!(!master.heard.iter().any(|said| matches!(said, FromKeeper::PumpLost)));
    });
}
