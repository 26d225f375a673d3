//! Tests of the hold on a process.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};

use hsu_model::exit::{Exit, UnknownExit};

use super::*;

/// Processes that are asked and reaped at once; without a second question 1 in 700 is missed.
const RACES: u32 = 300;

/// A shell that waits for a line, with our hold on it.
fn start(script: &str) -> (Child, ProcessHandle) {
    let mut command = Command::new("sh");
    let child = command.args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let handle = ProcessHandle::open(identify(child.id()).unwrap()).unwrap();
    (child, handle)
}

/// Lets the shell go on and reaps it.
fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// Kernels before 6.15 do not tell.
fn is_told_or_unknown(told: Option<Exit>, wanted: Exit) -> bool {
    told == Some(wanted) || told == Some(Exit::Unknown(UnknownExit::NotOurChild))
}

#[test]
fn a_handle_tells_the_exit_of_a_process_that_somebody_else_reaped() {
    for (script, wanted) in [
        ("read x; exit 42", Exit::Code(42)),
        ("read x; kill -KILL $$", Exit::Signal { number: 9, core: false }),
    ] {
        let (child, handle) = start(script);
        assert!(!handle.has_exited());
        assert_eq!(handle.exit_status(), None);
        end(child);
        assert!(handle.has_exited());
        assert!(is_told_or_unknown(handle.exit_status(), wanted), "{script}");
        assert!(handle.signal(libc::SIGTERM).is_err(), "{script}");
    }
}

#[test]
fn a_handle_tells_the_exit_of_a_process_that_is_reaped_while_it_is_asked() {
    let (child, handle) = start("read x");
    end(child);
    let is_told_later = handle.exit_status() != Some(Exit::Unknown(UnknownExit::NotOurChild));
    for _ in 0..RACES {
        let (child, handle) = start("read x; exit 42");
        let reaper = std::thread::spawn(|| end(child));
        let told = loop {
            if let Some(exit) = handle.exit_status() {
                break exit;
            }
        };
        reaper.join().unwrap();
        assert!(told == Exit::Code(42) || !is_told_later, "{told:?}");
    }
}

#[test]
fn a_handle_tells_the_exit_of_a_process_that_nobody_has_reaped() {
    for (script, wanted) in [
        ("read x; exit 42", Exit::Code(42)),
        ("read x; kill -KILL $$", Exit::Signal { number: 9, core: false }),
    ] {
        let (mut child, handle) = start(script);
        drop(child.stdin.take());
        while !handle.has_exited() {
            std::thread::yield_now();
        }
        assert_eq!(handle.exit_status(), Some(wanted), "{script}");
        child.wait().unwrap();
    }
}

#[test]
fn a_pid_that_is_another_process_by_now_is_not_opened() {
    let mut key = identify(std::process::id()).unwrap();
    assert!(ProcessHandle::open(key).is_ok());
    key.started_at += 1;
    assert_eq!(ProcessHandle::open(key).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_process_that_is_gone_is_neither_identified_nor_opened() {
    let (child, _hold) = start("read x");
    let key = identify(child.id()).unwrap();
    end(child);
    assert_eq!(identify(key.pid).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(ProcessHandle::open(key).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_signal_through_the_hold_reaches_the_process() {
    let (mut child, handle) = start("read x");
    handle.signal(libc::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
}
