//! `hsu-dummy` misbehaves exactly as asked.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use std::{fs, io};

use hsu_testkit::{LineCheck, eventually, http, ports};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);

fn dummy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hsu-dummy"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    dummy(arguments).output().unwrap()
}

/// A dummy that is killed when the test ends in any way.
struct Guarded(Child);

impl Guarded {
    fn start(arguments: &[&str]) -> Self {
        let command = dummy(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(command.unwrap())
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for_file(path: &Path) -> String {
    eventually("the file has a line", LIMIT, || {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        text.ends_with('\n').then_some(text).ok_or_else(|| "half written".to_owned())
    })
    .unwrap()
}

#[test]
fn it_ends_with_the_chosen_exit_code() {
    assert_eq!(run(&["--run-duration", "1ms", "--exit-code", "42"]).status.code(), Some(42));
}

#[test]
fn it_ends_by_the_chosen_signal() {
    for number in [9, 11, 15] {
        let output = run(&["--run-duration", "1ms", "--exit-signal", &number.to_string()]);
        assert_eq!(output.status.signal(), Some(number));
    }
}

#[test]
fn a_crash_without_further_wish_is_exit_code_1() {
    let output = run(&["--crash-after", "1ms", "--run-duration", "1h"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn it_removes_its_pid_file_when_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("d.pid");
    let mut child = Guarded::start(&["--pid-file", file.to_str().unwrap()]);
    assert_eq!(wait_for_file(&file), format!("{}\n", child.0.id()));
    child.signal(Signal::TERM);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    assert!(!file.exists());
}

#[test]
fn it_ignores_the_polite_signal_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("signals");
    let file = folder.path().join("d.pid");
    let mut child = Guarded::start(&[
        "--ignore-term",
        "--signal-log",
        log.to_str().unwrap(),
        "--pid-file",
        file.to_str().unwrap(),
    ]);
    wait_for_file(&file);
    child.signal(Signal::TERM);
    assert_eq!(wait_for_file(&log), format!("{} 15\n", child.0.id()));
    assert_eq!(child.0.try_wait().unwrap(), None);
    child.signal(Signal::KILL);
    assert_eq!(child.0.wait().unwrap().signal(), Some(9));
}

#[test]
fn its_lines_prove_themselves() {
    let output = run(&["--lines", "1000", "--streams", "both", "--run-duration", "1ms"]);
    let mut check = LineCheck::new();
    check.feed(&output.stdout);
    check.feed(&output.stderr);
    let verdict = check.verdict();
    assert!(verdict.is_perfect(), "{verdict:?}");
    assert_eq!((verdict.streams, verdict.good), (2, 2000));
}

#[test]
fn the_ledger_tells_what_was_really_written() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().to_str().unwrap();
    run(&["--lines", "10", "--ledger", ledger, "--run-duration", "1ms"]);
    let mut check = LineCheck::new();
    check.promise_by_ledgers(folder.path()).unwrap();
    assert_eq!(check.verdict().lost, 10);
}

#[test]
fn the_last_line_can_lack_its_end() {
    let output = run(&["--lines", "1", "--partial-line", "--run-duration", "1ms"]);
    assert!(output.stdout.ends_with(b"a piece without an end"));
}

#[test]
fn it_tells_who_it_is() {
    let output = run(&["--print-identity", "--run-duration", "1ms"]);
    let identity: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Zero when the session began outside of this PID namespace.
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let session = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap();
    assert_eq!(identity["session"].to_string(), session);
    assert_eq!(identity["parent"], std::process::id());
    assert_eq!(identity["descriptors"]["0"], "/dev/null");
    assert_eq!(identity["uid"][0], rustix::process::getuid().as_raw());
    assert!(identity["limits"]["Max open files"][0].is_string(), "{identity}");
}

#[test]
fn it_tells_its_environment() {
    let output = dummy(&["--echo-env", "--run-duration", "1ms"])
        .env_clear()
        .env("COLOUR", "blue=green")
        .output()
        .unwrap();
    let mut environment: Value = serde_json::from_slice(&output.stdout).unwrap();
    // An instrumented program has a variable of its own.
    environment.as_object_mut().unwrap().remove("__LLVM_PROFILE_RT_INIT_ONCE");
    assert_eq!(environment, serde_json::json!({"COLOUR": "blue=green"}));
}

#[test]
fn its_health_turns_bad_when_told_to() {
    for (arguments, expected) in [(&[][..], 200), (&["--fail-health-after", "0"][..], 503)] {
        let port = ports::free_port().unwrap();
        let text = port.to_string();
        let mut all = vec!["--health-port", &text];
        all.extend_from_slice(arguments);
        let _child = Guarded::start(&all);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let status = eventually("it answers", LIMIT, || {
            http::status(address, "/", LIMIT).map_err(|error: io::Error| error.to_string())
        });
        assert_eq!(status.unwrap(), expected);
    }
}

#[test]
fn a_wrong_option_is_refused() {
    for arguments in [["--run-duration", "3d"], ["--fork-bomb", "5001"], ["--exit-signal", "0"]] {
        assert_eq!(run(&arguments).status.code(), Some(2), "{arguments:?}");
    }
}
