//! Following: a run goes on as another process than the one that was started.

use std::fs;
use std::os::fd::{FromRawFd as _, OwnedFd};

use hsu_keeper::{Descriptor, FromKeeper, SignalScope, ToKeeper};
use hsu_model::exit::Exit;
use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;

use crate::fixture::{Folder, Master, eventually, is_alive, kill, path_text, shell, sleeper};
use crate::isolation::isolated;

const TERMINATED: Exit = Exit::Signal { number: libc::SIGTERM, core: false };

/// A hold on a process, and which one it is.
fn hold(pid: u32) -> (ProcessKey, Option<Descriptor>) {
    // SAFETY: no memory is passed.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: the call returned this descriptor to us alone.
    let handle = unsafe { OwnedFd::from_raw_fd(i32::try_from(raw).unwrap()) };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let mut fields = stat.get(stat.rfind(')').unwrap() + 2..).unwrap().split(' ');
    let started_at = fields.nth(19).unwrap().parse().unwrap();
    (ProcessKey { pid, started_at }, Some(Descriptor::new(handle)))
}

/// Asks the keeper to hold a process for a run; whether it does.
fn follow(master: &mut Master, run: u64, pid: u32) -> bool {
    let (process, handle) = hold(pid);
    master.say(ToKeeper::Follow { run: RunId(run), process, handle });
    master.expect("an answer", |message| match message {
        FromKeeper::Followed { run: found, process: of, is_held }
            if found.0 == run && of == process =>
        {
            Ok(is_held)
        }
        other => Err(other),
    })
}

/// A worker that leaves a process in the background, and then does this; both PIDs.
fn daemon(folder: &Folder, master: &mut Master, then: &str) -> (u32, u32) {
    let file = folder.0.join("second");
    // In a session of its own first: the group of whoever ends is killed.
    let line = format!(
        "setsid sleep 1000 & while ! grep -q sleep /proc/$!/comm; do :; done; \
         echo $! > {}; {then}",
        path_text(&file)
    );
    master.spawn(shell(1, &line));
    let first = master.started(1);
    let second = eventually("the second is there", || {
        fs::read_to_string(&file).ok()?.strip_suffix('\n')?.parse().ok()
    });
    (first, second)
}

#[test]
fn a_run_goes_on_as_the_process_that_is_named_and_ends_with_it() {
    isolated("following::a_run_goes_on_as_the_process_that_is_named_and_ends_with_it", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let (first, second) = daemon(&folder, &mut master, "exec sleep 1000");
        assert!(follow(&mut master, 1, second));
        assert_eq!(master.inventory(), [(1, second)]);
        kill(first, libc::SIGKILL);
        eventually("the first is reaped", || (!is_alive(first)).then_some(()));
        assert_eq!(master.inventory(), [(1, second)], "its end is nothing");
        let signal = libc::SIGTERM;
        master.say(ToKeeper::Signal { run: RunId(1), signal, scope: SignalScope::Group });
        assert_eq!(master.exited(1), TERMINATED);
    });
}

#[test]
fn a_process_whose_first_one_has_ended_already_is_held_and_survives_the_keeper() {
    isolated(
        "following::a_process_whose_first_one_has_ended_already_is_held_and_survives_the_keeper",
        || {
            let folder = Folder::new();
            let mut master = folder.master();
            let (_, second) = daemon(&folder, &mut master, "exit 0");
            assert_eq!(master.exited(1), Exit::Code(0));
            assert!(follow(&mut master, 1, second));
            assert_eq!(master.inventory(), [(1, second)]);
            master.kill_keeper();
            hsu_keeper::start(&folder.plan(), &hsu_keeper::Program::default()).unwrap();
            let mut master = folder.connect(hsu_keeper::Program::default());
            assert_eq!(master.inventory(), [(1, second)]);
            assert!(is_alive(second));
            kill(second, libc::SIGTERM);
            let exit = master.exited(1);
            assert!(matches!(exit, TERMINATED | Exit::Unknown(_)), "{exit:?}");
        },
    );
}

#[test]
fn the_end_of_one_whose_parent_lives_is_seen() {
    isolated("following::the_end_of_one_whose_parent_lives_is_seen", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let (first, second) = daemon(&folder, &mut master, "wait; exec sleep 1000");
        assert!(follow(&mut master, 1, second));
        kill(second, libc::SIGTERM);
        // Its own parent reaps it: only a new kernel tells the status to others.
        let exit = master.exited(1);
        assert!(matches!(exit, TERMINATED | Exit::Unknown(_)), "{exit:?}");
        assert!(is_alive(first), "what else there is, the master ends");
    });
}

#[test]
fn nobody_is_held_for_a_run_that_is_over_or_of_another_worker() {
    isolated("following::nobody_is_held_for_a_run_that_is_over_or_of_another_worker", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let (_, second) = daemon(&folder, &mut master, "exit 0");
        assert_eq!(master.exited(1), Exit::Code(0));
        master.say(ToKeeper::Acknowledge { run: RunId(1) });
        assert!(!follow(&mut master, 1, second));
        assert!(!follow(&mut master, 9, second));
        master.spawn(sleeper(2));
        let other = master.started(2);
        master.spawn(sleeper(3));
        master.started(3);
        assert!(!follow(&mut master, 3, other), "it is the process of another run");
        let (process, _) = hold(second);
        let message = ToKeeper::Follow { run: RunId(3), process, handle: None };
        master.say(message);
        let is_held = master.expect("an answer", |message| match message {
            FromKeeper::Followed { is_held, .. } => Ok(is_held),
            other => Err(other),
        });
        assert!(!is_held, "without a hold nobody is believed");
    });
}
