//! Ending: exit statuses, groups, orphans, signals.

use std::ffi::CString;
use std::fs;

use hsu_keeper::{SignalScope, ToKeeper};
use hsu_model::exit::Exit;
use hsu_model::id::RunId;

use crate::fixture::{
    Folder, all_pids, eventually, is_alive, kill, path_text, run_of, shell, sleeper, state,
};
use crate::isolation::isolated;

#[test]
fn an_exit_is_told_as_it_was_and_again_until_it_is_acknowledged() {
    isolated("ending::an_exit_is_told_as_it_was_and_again_until_it_is_acknowledged", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let signal = |number| Exit::Signal { number, core: false };
        for (run, line, exit) in [
            (1, "exit 0", Exit::Code(0)),
            (2, "exit 42", Exit::Code(42)),
            (3, "exit 255", Exit::Code(255)),
            (4, "kill -TERM $$", signal(15)),
            (5, "kill -KILL $$", signal(9)),
        ] {
            master.spawn(shell(run, line));
            master.started(run);
            assert_eq!(master.exited(run), exit, "{line}");
            master.inventory();
            assert_eq!(master.exited(run), exit, "it is told again");
            master.say(ToKeeper::Acknowledge { run: RunId(run) });
            master.inventory();
            assert!(master.heard.is_empty(), "it is forgotten: {:?}", master.heard);
        }
    });
}

#[test]
fn signals_reach_the_process_or_its_whole_group() {
    isolated("ending::signals_reach_the_process_or_its_whole_group", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let note = folder.0.join("note");
        let line =
            format!("trap 'echo got > {}' USR1; while :; do sleep 0.01; done", note.display());
        master.spawn(shell(1, &line));
        let pid = master.started(1);
        let to = |signal, scope| ToKeeper::Signal { run: RunId(1), signal, scope };
        // It is deaf until its trap is set.
        eventually("it was heard", || {
            let caught = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let caught = caught.lines().find_map(|line| line.strip_prefix("SigCgt:\t"))?;
            let mask = u64::from_str_radix(caught.trim(), 16).ok()?;
            (mask & 1 << (libc::SIGUSR1 - 1) != 0).then_some(())
        });
        master.say(to(libc::SIGUSR1, SignalScope::Process));
        eventually("the trap ran", || fs::read(&note).ok().filter(|note| note == b"got\n"));
        master.say(to(libc::SIGSTOP, SignalScope::Process));
        eventually("it stands", || (state(pid) == Some('T')).then_some(()));
        master.say(to(libc::SIGKILL, SignalScope::Group));
        assert_eq!(master.exited(1), Exit::Signal { number: 9, core: false });
        // To a run that is over: nothing happens.
        master.say(to(libc::SIGKILL, SignalScope::Group));
        assert_eq!(master.inventory(), []);
    });
}

#[test]
fn the_group_of_a_worker_does_not_outlive_it() {
    isolated("ending::the_group_of_a_worker_does_not_outlive_it", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(shell(1, "sleep 1000 & sleep 1000 & sleep 1000 & exit 3"));
        assert_eq!(master.exited(1), Exit::Code(3));
        eventually("nobody of it is left", || {
            all_pids().into_iter().all(|pid| run_of(pid).is_none()).then_some(())
        });
    });
}

#[test]
fn orphans_are_reaped_and_never_mistaken_for_workers() {
    isolated("ending::orphans_are_reaped_and_never_mistaken_for_workers", || {
        let folder = Folder::new();
        let mut master = folder.master();
        // Each leaves its session, loses its parent, and ends a moment later.
        let line =
            "for i in 1 2 3 4 5; do (setsid sh -c 'sleep 0.05; exit 7' &) ; done; sleep 1000";
        master.spawn(shell(1, line));
        let pid = master.started(1);
        eventually("only the worker and its sleep are left", || {
            let left = all_pids().into_iter().filter(|pid| run_of(*pid) == Some(1));
            (left.count() == 2).then_some(())
        });
        eventually("no zombie is left", || {
            all_pids().into_iter().all(|pid| state(pid) != Some('Z')).then_some(())
        });
        assert_eq!(master.inventory(), [(1, pid)]);
        assert!(master.heard.is_empty(), "{:?}", master.heard);
    });
}

#[test]
fn an_orphan_is_reaped_when_no_descriptor_is_free() {
    isolated("ending::an_orphan_is_reaped_when_no_descriptor_is_free", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let [go, gone] = ["go", "gone"].map(|name| folder.0.join(name));
        let name = CString::new(path_text(&go)).unwrap();
        // SAFETY: the name is a text with its zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let [go_text, gone_text] = [&go, &gone].map(|path| path_text(path));
        let line = format!(
            "read line < {go_text}; (setsid sh -c ': > {gone_text}; exit 7' &); exec sleep 1000"
        );
        master.spawn(shell(1, &line));
        let pid = master.started(1);
        let before = all_pids();
        limit_descriptors(master.keeper, 0);
        fs::write(&go, "go\n").unwrap();
        eventually("the orphan is there", || gone.exists().then_some(()));
        eventually("the orphan is gone", || (all_pids() == before).then_some(()));
        limit_descriptors(master.keeper, 1000);
        assert_eq!(master.inventory(), [(1, pid)]);
    });
}

/// Lowers what a process may open, whatever it has open already.
fn limit_descriptors(pid: u32, most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: 20_000 };
    let pid = libc::pid_t::try_from(pid).unwrap();
    // SAFETY: the structure outlives the call, and no other is asked for.
    let done =
        unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn orphans_that_end_during_a_burst_of_starts_take_no_worker_with_them() {
    let name = "ending::orphans_that_end_during_a_burst_of_starts_take_no_worker_with_them";
    isolated(name, || {
        let folder = Folder::new();
        let mut master = folder.master();
        for round in 0..5 {
            let runs = round * 100 + 1..=round * 100 + 60;
            for run in runs.clone() {
                let line = format!("setsid sh -c 'exit 1' & exit {}", run % 200);
                master.link.queue(ToKeeper::Spawn(Box::new(shell(run, &line))));
            }
            master.link.flush().unwrap();
            for run in runs {
                let code = i32::try_from(run % 200).unwrap();
                assert_eq!(master.exited(run), Exit::Code(code), "run {run}");
                master.say(ToKeeper::Acknowledge { run: RunId(run) });
            }
        }
        eventually("no zombie is left", || {
            all_pids().into_iter().all(|pid| state(pid) != Some('Z')).then_some(())
        });
    });
}

#[test]
fn five_hundred_that_end_at_once_are_all_told() {
    isolated("ending::five_hundred_that_end_at_once_are_all_told", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for run in 1..=500 {
            master.link.queue(ToKeeper::Spawn(Box::new(sleeper(run))));
        }
        master.link.flush().unwrap();
        let pids: Vec<u32> = (1..=500).map(|run| master.started(run)).collect();
        for pid in &pids {
            kill(*pid, libc::SIGTERM);
        }
        for run in 1..=500 {
            assert_eq!(master.exited(run), Exit::Signal { number: 15, core: false });
        }
        assert!(pids.iter().all(|pid| !is_alive(*pid)));
    });
}

#[test]
fn an_idle_keeper_does_nothing_at_all() {
    isolated("ending::an_idle_keeper_does_nothing_at_all", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for run in 1..=20 {
            master.spawn(sleeper(run));
            master.started(run);
        }
        let switches = |keeper: u32| -> u64 {
            let tasks = fs::read_dir(format!("/proc/{keeper}/task")).unwrap().flatten();
            let statuses =
                tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
            let lines: Vec<String> = statuses
                .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
                .collect();
            let counts = lines.iter().filter_map(|line| {
                line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()
            });
            counts.sum()
        };
        master.inventory();
        let keeper = master.keeper;
        // It may still be on its way to sleep.
        let before = eventually("it sleeps", || {
            let before = switches(keeper);
            (state(keeper) == Some('S')).then_some(before)
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(switches(keeper), before, "nobody woke it");
    });
}
