//! Refusals: the n-th call of a script is refused by the kernel.
//!
//! Whatever is refused, once or for a while, the script neither crashes nor hangs,
//! and what it acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::disk::{self, Files};
use crate::judge::{Found, Promise, judge_folder, memory};
use crate::power::{command, hear};
use crate::report::Report;
use crate::script::Script;

/// Calls that are refused, and how.
const REFUSALS: [(&str, &[&str]); 8] = [
    ("pwrite64", &["EIO", "ENOSPC"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("fsync", &["EIO"]),
    ("ftruncate", &["EIO", "ENOSPC"]),
    ("openat", &["EACCES", "EMFILE", "EROFS"]),
    ("unlink", &["EACCES", "EROFS"]),
    ("pread64", &["EIO"]),
    ("fallocate", &["ENOSPC"]),
];

/// How long a refusal lasts.
#[derive(Clone, Copy, Debug)]
enum Lasting {
    /// One call.
    Once,
    /// So many calls, one after the other.
    Calls(u64),
}

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What is run.
    pub script: Script,
    /// Of so many calls one is refused; 1 is each of them.
    pub every: u64,
}

/// Scripts at a time: a store that was refused rests before it tries again.
const AT_ONCE: usize = 16;

/// Runs the script on what a folder holds already, again and again, each time with another
/// refusal.
///
/// # Errors
/// `strace` cannot be used.
pub fn run(program: &Path, before: &Files, known: Promise, plan: Plan) -> Result<Report> {
    let rules = rules(&count(program, before, plan.script)?, plan.every);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Report> {
        let mut report = Report::default();
        while let Some(rule) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
            attempt(program, before, known, plan.script, rule, &mut report)?;
        }
        Ok(report)
    };
    let mut all = Report::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            let report = thread.join().map_err(|_| anyhow!("a thread of the campaign crashed"))?;
            all.add(report?);
            Ok(())
        })
    })
    .map(|()| all)
}

fn rules(counts: &BTreeMap<String, u64>, every: u64) -> Vec<String> {
    let mut rules = Vec::new();
    for (call, errors) in REFUSALS {
        let most = counts.get(call).copied().unwrap_or(0);
        for error in errors {
            let mut number = 1;
            while number <= most {
                for lasting in [Lasting::Once, Lasting::Calls(5)] {
                    rules.push(rule(call, error, number, lasting));
                }
                // The first calls open and recover: none of them is left out.
                number += if number < 12 { 1 } else { every.max(1) };
            }
        }
    }
    rules
}

fn rule(call: &str, error: &str, number: u64, lasting: Lasting) -> String {
    match lasting {
        Lasting::Once => format!("inject={call}:error={error}:when={number}"),
        Lasting::Calls(count) => {
            format!("inject={call}:error={error}:when={number}..{}", number + count - 1)
        }
    }
}

/// A script under `strace`, which sees only what touches the store.
fn traced(program: &Path, folder: &Path, script: Script, options: &[&str]) -> Result<Output> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q"]);
    for name in ["", "state.db", "state.db-wal", "state.db-shm", "state.db.next"] {
        strace.arg("-P").arg(folder.join(name));
    }
    strace.args(options).args(command(program, folder, script));
    strace.output().context("run strace (hint: apt-get install strace)")
}

/// How often each call is made by the busiest thread, when nothing is refused.
fn count(program: &Path, before: &Files, script: Script) -> Result<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir_in(memory())?;
    disk::place(before, folder.path())?;
    let log = tempfile::NamedTempFile::new()?;
    let path = log.path().to_string_lossy().into_owned();
    let output = traced(program, folder.path(), script, &["-o", &path])?;
    ensure!(output.status.success(), "the script failed: {}", words(&output));
    let mut by_thread: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in std::fs::read_to_string(log.path())?.lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(call)) = (words.next(), words.next()) else { continue };
        let Some((name, _)) = call.split_once('(') else { continue };
        *by_thread.entry((thread.to_owned(), name.to_owned())).or_default() += 1;
    }
    let mut counts = BTreeMap::new();
    for ((_, name), count) in by_thread {
        let most: &mut u64 = counts.entry(name).or_default();
        *most = count.max(*most);
    }
    Ok(counts)
}

fn words(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr);
    let lines = err.lines().filter(|line| !line.contains("(INJECTED)"));
    let last: Vec<&str> = lines.rev().take(4).collect();
    last.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

fn attempt(
    program: &Path,
    before: &Files,
    known: Promise,
    script: Script,
    rule: &str,
    report: &mut Report,
) -> Result<()> {
    let folder = tempfile::tempdir_in(memory())?;
    disk::place(before, folder.path())?;
    let log = tempfile::NamedTempFile::new()?;
    let path = log.path().to_string_lossy().into_owned();
    let output = traced(program, folder.path(), script, &["-o", &path, "-e", rule])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut killed, mut lost) = (known, known);
    hear(&said, &mut killed, &mut lost)?;
    report.tried += 1;
    let panicked = String::from_utf8_lossy(&output.stderr).contains("panicked");
    if panicked || output.status.code().is_none() {
        report.find(format!("{rule}: the process crashed: {}", words(&output)), None);
    }
    if said.contains("refused") {
        report.find(format!("{rule}: the disk took again, and the store did not: {said}"), None);
    }
    let files: Files = disk::read(folder.path())?;
    match judge_folder(folder.path(), killed) {
        Ok(Found::Whole) => {}
        Ok(Found::Broken) => report.broken += 1,
        Err(error) => report.find(format!("{rule}: {error:#}"), Some(&files)),
    }
    Ok(())
}
