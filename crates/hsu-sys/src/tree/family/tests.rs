//! Tests of the mark in the environment.
#![cfg(target_os = "linux")]

use proptest::prelude::*;

use super::*;

fn mark(run: Option<u64>, master: Option<&[u8]>) -> Mark<'_> {
    Mark { run: run.map(RunId), master }
}

#[test]
fn the_mark_is_read_from_between_other_variables() {
    let environ = b"PATH=/bin\0HSU_RUN_ID=42\0HSU_MASTER_ID=m\0X=HSU_RUN_ID=7\0";
    assert_eq!(Mark::of(environ), mark(Some(42), Some(b"m")));
}

#[test]
fn of_two_equal_names_the_first_counts() {
    assert_eq!(Mark::of(b"HSU_RUN_ID=1\0HSU_RUN_ID=2\0"), mark(Some(1), None));
}

#[test]
fn what_is_no_number_names_no_run() {
    for bad in [
        &b""[..],
        b"HSU_RUN_ID",
        b"HSU_RUN_ID=",
        b"HSU_RUN_ID=x",
        b"HSU_RUN_ID=-1",
        b"HSU_RUN_IDS=1",
    ] {
        assert_eq!(Mark::of(bad).run, None, "{bad:?}");
    }
    assert_eq!(Mark::of(b"HSU_RUN_ID=18446744073709551616").run, None);
}

#[test]
fn whoever_has_another_parent_by_now_is_met_on_the_host() {
    let mut sleep = std::process::Command::new("sleep");
    let mut child =
        sleep.arg("100").env(RUN_VARIABLE, "7").env(MASTER_VARIABLE, "lost").spawn().unwrap();
    let runs = [RunId(7)].into();
    let (seen, found) = (BTreeSet::new(), Found::new());
    let mut look = Look { runs: &runs, master: "lost", keeper: 1, seen, found };
    let as_child_of_another = look.take(child.id(), Origin::ChildOf(1), None);
    look.scan();
    let met = look.found.remove(&RunId(7)).unwrap_or_default();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(as_child_of_another, None);
    assert_eq!(met.keys().map(|key| key.pid).collect::<Vec<_>>(), [child.id()]);
}

#[test]
fn a_process_without_its_first_thread_lives_and_is_known() {
    // SAFETY: the child starts one thread and ends its first one.
    let child = unsafe { libc::fork() };
    if child == 0 {
        std::thread::spawn(|| std::thread::sleep(Duration::from_secs(100)));
        // SAFETY: nothing of this thread is needed any more.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    let pid = u32::try_from(child).unwrap();
    let begin = Instant::now();
    let mut process = Seen::look(pid).unwrap();
    while process.state != b'Z' && begin.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
        process = Seen::look(pid).unwrap();
    }
    let (state, has_ended) = (process.state, process.has_ended());
    let environ = environ_of(pid);
    // SAFETY: the child is ours and not reaped.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: no memory is passed.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!((state, has_ended), (b'Z', false));
    assert!(environ == environ_of(std::process::id()), "it is known by its other thread");
}

proptest! {
    #[test]
    fn no_environment_makes_the_reader_panic(environ: Vec<u8>) {
        Mark::of(&environ);
    }
}
