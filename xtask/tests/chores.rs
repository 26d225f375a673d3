//! Chores as a person runs them: what they hand on, and what they say.
#![expect(clippy::unwrap_used, reason = "what a fixture cannot do fails its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Writes what it was given into a file beside it, and ends as it was told.
const HARNESS: &str = "\
import os, pathlib, sys
given = [' '.join(sys.argv[1:]), os.environ['BENCH_HSU_MASTER'], os.environ['BENCH_ADAPTERS']]
pathlib.Path(__file__).with_name('given').write_text('\\n'.join(given))
sys.exit(int(sys.argv[-1]))
";

fn xtask(arguments: &[&str], harness: Option<&Path>) -> Output {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.args(arguments).env_remove("HSU_BENCH_HARNESS").env_remove("BENCH_HSU_MASTER");
    if let Some(harness) = harness {
        xtask.env("HSU_BENCH_HARNESS", harness);
    }
    xtask.output().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

#[test]
fn a_bench_hands_our_programs_to_the_harness_and_ends_as_it_does() {
    let harness = folder("harness");
    fs::write(harness.join("run.py"), HARNESS).unwrap();
    for (code, ends_well) in [("0", true), ("3", false)] {
        let output = xtask(&["bench", "--no-build", "--list", code], Some(&harness));
        assert_eq!(output.status.success(), ends_well, "{}", said(&output));
        let given = fs::read_to_string(harness.join("given")).unwrap();
        let lines: Vec<&str> = given.lines().collect();
        assert_eq!(lines[0], format!("--list {code}"));
        assert!(lines[1].ends_with("release/hsu-master"), "{given}");
        assert!(lines[2].ends_with("bench/adapters"), "{given}");
    }
}

#[test]
fn a_bench_without_a_harness_says_what_to_set() {
    let output = xtask(&["bench", "--no-build"], None);
    assert!(!output.status.success());
    assert!(said(&output).contains("HSU_BENCH_HARNESS is not set"), "{}", said(&output));
    let output = xtask(&["bench", "--no-build"], Some(&folder("no-harness")));
    assert!(!output.status.success());
    assert!(said(&output).contains("find run.py"), "{}", said(&output));
}

#[test]
fn a_chore_that_does_not_exist_is_a_wrong_command_line() {
    assert_eq!(xtask(&["dance"], None).status.code(), Some(2));
    assert_eq!(xtask(&["faults", "--help"], None).status.code(), Some(0));
}
