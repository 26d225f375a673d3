//! Speaking: who is heard, who is not, and how everything ends.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use hsu_keeper::{FromKeeper, GoodbyeMode, Link, Program, Role, ToKeeper};
use hsu_model::id::RunId;

use crate::fixture::{Folder, PATIENCE, eventually, is_alive, kill, sleeper};
use crate::isolation::isolated;

fn hello(role: Role, version: u32) -> ToKeeper {
    ToKeeper::Hello { role, version, relaunch: Program::default() }
}

#[test]
fn a_second_keeper_of_a_runtime_folder_ends_by_itself() {
    isolated("speaking::a_second_keeper_of_a_runtime_folder_ends_by_itself", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let second = hsu_keeper::start(&folder.plan(), &Program::default()).unwrap();
        eventually("the second is gone", || (!is_alive(second)).then_some(()));
        master.inventory();
        assert_eq!(folder.connect(Program::default()).keeper, master.keeper);
    });
}

#[test]
fn signals_but_sigkill_do_not_end_the_keeper() {
    isolated("speaking::signals_but_sigkill_do_not_end_the_keeper", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGUSR1] {
            kill(master.keeper, signal);
        }
        master.spawn(sleeper(1));
        master.started(1);
    });
}

#[test]
fn another_version_of_the_protocol_is_told_ours_and_refused() {
    isolated("speaking::another_version_of_the_protocol_is_told_ours_and_refused", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let link = Link::connect(&folder.plan().runtime, hello(Role::Master, 999)).unwrap();
        let mut other = crate::fixture::Master { link, heard: Vec::new(), keeper: 0 };
        let version = other.expect("a welcome", |message| match message {
            FromKeeper::Welcome { version, .. } => Ok(version),
            other => Err(other),
        });
        assert_eq!(version, hsu_keeper::VERSION);
        eventually("the link is closed", || {
            (!other.hear(std::time::Duration::from_millis(10))).then_some(())
        });
        master.inventory();
    });
}

#[test]
fn garbage_closes_its_connection_and_no_other() {
    isolated("speaking::garbage_closes_its_connection_and_no_other", || {
        let folder = Folder::new();
        let mut master = folder.master();
        for garbage in [&[][..], &[1], &[7, 7], &[0, 250], &[0, 2, 0, 0], &[0xff; 5000]] {
            let mut stranger = folder.connect_as(Role::Master, &Program::default());
            let copy = stranger.link.as_fd().try_clone_to_owned().unwrap();
            let mut socket = std::fs::File::from(copy);
            // An empty datagram reads like the end of a connection.
            let _ = socket.write(garbage);
            if garbage.is_empty() {
                continue;
            }
            eventually("the link is closed", || (!stranger.hear(PATIENCE)).then_some(()));
        }
        // Newer masters have replaced the first one; its link is closed in order.
        assert!(!master.hear(PATIENCE));
        folder.connect(Program::default()).inventory();
    });
}

#[test]
fn idlers_at_the_door_do_not_keep_a_master_out() {
    isolated("speaking::idlers_at_the_door_do_not_keep_a_master_out", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let path = folder.plan().runtime.join("keeper.sock");
        let idlers: Vec<_> = (0..40).filter_map(|_| idle(&path)).collect();
        assert!(idlers.len() > 16);
        folder.connect(Program::default()).inventory();
        assert!(!master.hear(PATIENCE), "the newer master has replaced it");
    });
}

/// Connects and says nothing.
fn idle(path: &std::path::Path) -> Option<std::os::fd::OwnedFd> {
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
    // SAFETY: no memory is passed.
    let raw = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the call returned this descriptor to us alone.
    let socket = (raw >= 0).then(|| unsafe { OwnedFd::from_raw_fd(raw) })?;
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).ok()?;
    for (place, byte) in address.sun_path.iter_mut().zip(path.to_str()?.bytes()) {
        *place = byte.cast_signed();
    }
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).ok()?;
    // SAFETY: the address outlives the call, and its length is given.
    let done = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) };
    (done == 0).then_some(socket)
}

#[test]
fn a_goodbye_that_keeps_leaves_workers_and_keeper_alone() {
    isolated("speaking::a_goodbye_that_keeps_leaves_workers_and_keeper_alone", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(sleeper(1));
        let pid = master.started(1);
        master.say(ToKeeper::Goodbye { mode: GoodbyeMode::Keep });
        let keeper = master.keeper;
        drop(master);
        let mut next = folder.connect(Program::default());
        assert_eq!((next.keeper, next.inventory()), (keeper, vec![(1, pid)]));
    });
}

#[test]
fn a_goodbye_that_stops_ends_keeper_and_pump_once_nothing_is_left() {
    isolated("speaking::a_goodbye_that_stops_ends_keeper_and_pump_once_nothing_is_left", || {
        let folder = Folder::new();
        let mut master = folder.master();
        let mut chatty = crate::fixture::shell(1, "echo before; sleep 0.2; echo after");
        chatty.capture.stdout = true;
        master.spawn(chatty);
        master.started(1);
        master.say(ToKeeper::Goodbye { mode: GoodbyeMode::Stop });
        master.exited(1);
        assert!(is_alive(master.keeper), "its exit is not acknowledged yet");
        master.say(ToKeeper::Acknowledge { run: RunId(1) });
        eventually("only the test is left", || (crate::fixture::all_pids() == [1]).then_some(()));
        assert_eq!(folder.spooled("w", "stdout"), b"before\nafter\n");
    });
}

#[test]
fn a_master_that_comes_while_the_keeper_ends_is_served() {
    isolated("speaking::a_master_that_comes_while_the_keeper_ends_is_served", || {
        let folder = Folder::new();
        let mut master = folder.master();
        master.spawn(sleeper(1));
        let pid = master.started(1);
        master.say(ToKeeper::Goodbye { mode: GoodbyeMode::Stop });
        drop(master);
        let mut next = folder.connect(Program::default());
        assert_eq!(next.inventory(), [(1, pid)]);
        kill(pid, libc::SIGKILL);
        next.exited(1);
        next.say(ToKeeper::Acknowledge { run: RunId(1) });
        // Empty now, but the goodbye was another's.
        assert_eq!(next.inventory(), []);
    });
}
