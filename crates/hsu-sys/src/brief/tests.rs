//! Programs that answer, hang, flood and leave families.

use std::time::{Duration, Instant};

use super::*;
use crate::tree::Cells;

fn shell(script: &str, timeout: Duration) -> Brief {
    Brief {
        program: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        folder: None,
        identity: None,
        input: None,
        timeout,
        keep: 1024,
    }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

fn answer(script: &str, timeout: Duration) -> Answer {
    run(&shell(script, timeout), &Cell::none(), &|| true).expect("it starts")
}

/// A time to sleep that no other test run uses.
fn own(seconds: &str) -> String {
    format!("{seconds}.{}", std::process::id())
}

/// Whether somebody still runs `sleep` with this argument.
fn sleeps(argument: &str) -> bool {
    let folder = std::fs::read_dir("/proc").expect("a host").flatten();
    let command = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    let wanted = format!("sleep\0{argument}\0");
    folder.filter_map(command).any(|text| text == wanted.as_bytes())
}

#[test]
fn what_it_says_and_how_it_ends_is_told() {
    // Row 111.
    for (script, ending, output) in [
        ("echo out; echo err >&2; exit 3", Ending::Code(3), "out\nerr\n"),
        ("exit 126", Ending::Code(126), ""),
        ("kill -9 $$", Ending::Signal(9), ""),
    ] {
        let answer = answer(script, LONG);
        assert_eq!(answer.ending, ending, "{script}");
        assert_eq!(String::from_utf8(answer.output).unwrap(), output);
        assert!(answer.survivors.is_empty());
    }
}

#[test]
fn it_reads_what_it_is_given() {
    let brief = Brief { args: vec![], input: Some(b"echo from $0\n".to_vec()), ..shell("", LONG) };
    let answer = run(&brief, &Cell::none(), &|| true).unwrap();
    assert_eq!(answer.output, b"from /bin/sh\n");
}

#[test]
fn of_endless_output_only_the_beginning_is_kept_and_the_end_is_a_kill() {
    // Row 111.
    let answer = answer("while :; do echo 0123456789; done", SHORT);
    assert_eq!((answer.ending, answer.output.len()), (Ending::Overdue, 1024));
}

#[test]
fn children_that_hold_its_output_neither_hold_it_up_nor_outlive_it() {
    // Row 111.
    let begin = Instant::now();
    let argument = own("7001");
    let answer = answer(&format!("sleep {argument} & sleep {argument} & echo done"), LONG);
    assert_eq!((answer.ending, answer.output.as_slice()), (Ending::Code(0), &b"done\n"[..]));
    assert!(begin.elapsed() < LONG);
    assert!(!sleeps(&argument));
}

#[test]
fn at_its_timeout_a_whole_family_is_killed_even_in_sessions_of_its_own() {
    // Row 111.
    let cells = Cells::detect(&format!("brief-test-{}", std::process::id()));
    for (cell, argument) in [(Cell::none(), own("7002")), (cells.cell(1), own("7003"))] {
        let script =
            format!("setsid sleep {argument} & (setsid sleep {argument} &); sleep {argument}");
        let answer = run(&shell(&script, SHORT), &cell, &|| true).unwrap();
        assert_eq!(answer.ending, Ending::Overdue);
        assert_eq!((answer.survivors, sleeps(&argument)), (vec![], false), "{argument}");
    }
}

#[test]
fn what_it_puts_aside_in_its_first_moment_does_not_outlive_it_either() {
    let cells = Cells::detect(&format!("brief-first-{}", std::process::id()));
    let (cell, argument) = (cells.cell(1), own("7005"));
    cell.make();
    if cell.doors().is_empty() {
        // Without cgroups there is nothing to hold it.
        return;
    }
    for _ in 0..40 {
        let script = format!("setsid sleep {argument} & (setsid sleep {argument} &) ; exit 0");
        let answer = run(&shell(&script, LONG), &cell, &|| true).unwrap();
        assert_eq!((answer.ending, answer.survivors), (Ending::Code(0), vec![]));
        assert!(!sleeps(&argument));
    }
}

#[test]
fn what_it_may_start_at_once_is_bounded_where_the_kernel_counts_by_group() {
    let cells = Cells::detect(&format!("brief-many-{}", std::process::id()));
    let (cell, argument) = (cells.cell(1), own("7006"));
    if cell.make() == crate::tree::Counted::No {
        // Without that controller nothing counts.
        return;
    }
    let most = crate::tree::MOST_PROCESSES;
    // A shell that may not fork ends, with the number of those that it has started.
    let script = format!(
        "i=0; trap 'echo $i' EXIT; while [ $i -lt {} ]; do sleep {argument} & i=$((i+1)); done",
        most + 100
    );
    let answer = run(&shell(&script, LONG), &cell, &|| true).unwrap();
    let said = String::from_utf8(answer.output).unwrap();
    let started = said.lines().find_map(|line| line.parse::<u32>().ok());
    // The shell is one of them.
    assert_eq!(started, Some(most - 1), "row 111: {said}");
    assert_eq!((answer.survivors, sleeps(&argument)), (vec![], false), "row 111");
}

/// A user who has no process but those of one test.
fn somebody(number: u32) -> Identity {
    Identity { uid: number, gid: number, groups: vec![number] }
}

/// Doubles as fast as it can, each half in a session of its own, and where it is refused tries
/// again soon, as a shell does. It would end by itself, should nobody end it.
const BOMB: &str = "import os, time
end = time.time() + 60
while time.time() < end:
    try:
        os.fork() or os.setsid()
    except OSError:
        time.sleep(0.01)
# ";

/// Row 111: it is overdue, and nothing of it is left.
fn ends_with_its_timeout(cell: &Cell, identity: Option<Identity>) {
    let text = format!("{BOMB}{}", std::process::id());
    let args = vec!["-c".to_owned(), text.clone()];
    let brief = Brief { program: "/usr/bin/python3".into(), args, identity, ..shell("", SHORT) };
    let answer = run(&brief, cell, &|| true).expect("it starts");
    assert_eq!((answer.ending, answer.survivors), (Ending::Overdue, vec![]));
    let folder = std::fs::read_dir("/proc").expect("a host").flatten();
    let commands = folder.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let is_its = |words: &Vec<u8>| words.windows(text.len()).any(|part| part == text.as_bytes());
    assert_eq!(commands.filter(is_its).count(), 0);
}

#[test]
fn a_fork_bomb_is_held_by_its_cell_and_gone_after_its_timeout() {
    let cells = Cells::detect(&format!("brief-bomb-{}", std::process::id()));
    let cell = cells.cell(1);
    if cell.make() == crate::tree::Counted::Yes {
        ends_with_its_timeout(&cell, None);
    }
}

#[test]
fn a_fork_bomb_without_a_cell_is_held_still_before_it_is_killed() {
    // Somebody else can be had by root only, and root itself is not bounded.
    if crate::users::effective() == 0 {
        ends_with_its_timeout(&Cell::none(), Some(somebody(64_531)));
    }
}

#[test]
fn what_it_may_start_at_once_is_bounded_by_the_limit_of_its_user_without_a_cell() {
    // Somebody else can be had by root only, and root itself is not bounded.
    if crate::users::effective() != 0 {
        return;
    }
    let (most, argument) = (crate::tree::MOST_PROCESSES, own("7007"));
    let identity = Some(somebody(64_532));
    let script = format!(
        "i=0; trap 'echo $i' EXIT; while [ $i -lt {} ]; do sleep {argument} & i=$((i+1)); done",
        most + 100
    );
    let answer = run(&Brief { identity, ..shell(&script, LONG) }, &Cell::none(), &|| true).unwrap();
    let said = String::from_utf8(answer.output).unwrap();
    let started = said.lines().find_map(|line| line.parse::<u32>().ok());
    // The shell is one of them.
    assert_eq!(started, Some(most - 1), "row 111: {said}");
    assert!(!sleeps(&argument), "row 111");
}

#[test]
fn nobody_waits_for_an_answer_that_is_not_wanted() {
    let argument = own("7004");
    let brief = shell(&format!("sleep {argument}"), LONG);
    let answer = run(&brief, &Cell::none(), &|| false).unwrap();
    assert_eq!(answer.ending, Ending::Unwanted);
    assert!(!sleeps(&argument));
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let brief = Brief { program: "/nonexistent/program".into(), ..shell("", LONG) };
    assert!(run(&brief, &Cell::none(), &|| true).is_err());
}
