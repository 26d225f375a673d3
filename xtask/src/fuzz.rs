//! Fuzz: every reader of what others wrote, by a coverage-guided engine, for some time.
//!
//! The engine is libFuzzer, built with the stable compiler: a wrapper around it adds
//! the passes that count coverage to our own crates, and to no dependency, so that
//! everything else is shared with an ordinary build. What is found on the way is
//! collected in the target folder; `--keep` brings what is new of it into `fuzz/corpus`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::command::{self, cargo};
use crate::workspace;

/// What the compiler is told for the crates that are watched.
// Source: llvm SanitizerCoverage.cpp, the options that `-fsanitize=fuzzer` sets.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Optimized, with all assertions, and without another build of dependencies.
const PROFILE: [&str; 2] = ["--config", "profile.dev.opt-level=1"];
/// Asks the engine's program for something else than fuzzing.
const WORK: &str = "HSU_FUZZ_WORK";
/// An input that takes longer is a finding.
const SECONDS_FOR_ONE: u32 = 10;
/// A target that holds more is a finding.
const MOST_MEGABYTES: u32 = 1024;

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
    /// Only this target; may be given more than once. `--target list` names all of them.
    #[arg(long = "target", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Begins the engine's chance; another one each time when it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u32>,
    /// Targets at the same time; as many as there are cores when it is not given.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Start from the seeds and the kept inputs alone, not from what earlier runs collected.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Afterwards keep the smallest set of inputs that covers the same, in `fuzz/corpus`.
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Arguments {
    /// What the gate runs: the same inputs every time, then a moment of chance.
    pub(crate) fn short() -> Self {
        Self {
            seconds: 2,
            targets: Vec::new(),
            seed: Some(1),
            jobs: None,
            fresh: true,
            keep: false,
        }
    }
}

/// A target and the longest input that makes sense for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    name: String,
    longest: String,
}

/// What became of one target.
#[derive(Clone, Debug, Default)]
struct Outcome {
    executions: u64,
    /// Edges of the program that were reached.
    covered: u64,
    finding: Option<String>,
}

/// Builds the engine and runs the targets; says whether nothing was found.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    let place = workspace::target(root).join("fuzz");
    fs::create_dir_all(place.join("findings"))?;
    let tools = Tools::build(root, &place)?;
    let all = tools.targets()?;
    if arguments.targets.iter().any(|name| name == "list") {
        all.iter().for_each(|target| println!("{}", target.name));
        return Ok(true);
    }
    let chosen = choose(&all, &arguments.targets)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The engine takes 0 for "any".
    let seed = arguments.seed.unwrap_or_else(|| now.subsec_micros()).max(1);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores).max(1);
    let outcomes = side_by_side(jobs, &chosen, |target| {
        let outcome = tools.fuzz(target, arguments, seed);
        report(target, &outcome);
        outcome
    })?;
    if arguments.keep {
        for target in &chosen {
            tools.keep(target)?;
        }
    }
    let executions: u64 = outcomes.iter().map(|outcome| outcome.executions).sum();
    let findings = outcomes.iter().filter(|outcome| outcome.finding.is_some()).count();
    println!(
        "fuzz: {executions} executions, {} targets, {findings} findings, {} s each, seed {seed}",
        outcomes.len(),
        arguments.seconds
    );
    Ok(findings == 0)
}

/// Does the work for every target, at most so many at a time.
fn side_by_side(
    jobs: usize,
    targets: &[Target],
    work: impl Fn(&Target) -> Result<Outcome> + Sync,
) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let take = || -> Vec<Result<Outcome>> {
        let waiting = std::iter::from_fn(|| targets.get(next.fetch_add(1, Ordering::Relaxed)));
        waiting.map(&work).collect()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(take)).collect();
        let joined = workers.into_iter().map(|worker| worker.join().unwrap_or_default());
        joined.flatten().collect()
    })
}

fn choose(all: &[Target], names: &[String]) -> Result<Vec<Target>> {
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    names
        .iter()
        .map(|name| {
            let found = all.iter().find(|target| target.name == *name).cloned();
            let known: Vec<_> = all.iter().map(|target| target.name.as_str()).collect();
            found.with_context(|| format!("no target {name} (hint: one of {})", known.join(", ")))
        })
        .collect()
}

fn report(target: &Target, outcome: &Result<Outcome>) {
    match outcome {
        Ok(Outcome { executions, covered, finding: None }) => {
            println!("  {:16} {executions:>10} executions, {covered} edges", target.name);
        }
        Ok(Outcome { executions, finding: Some(finding), .. }) => {
            println!("  {:16} {executions:>10} executions, FOUND\n{finding}", target.name);
        }
        Err(error) => println!("  {:16} could not be run: {error:#}", target.name),
    }
}

/// What was built, and where it works.
#[derive(Debug)]
struct Tools {
    engine: PathBuf,
    /// Collected inputs and findings.
    place: PathBuf,
}

impl Tools {
    fn build(root: &Path, place: &Path) -> Result<Self> {
        let wrapper = place.join("rustc-with-coverage");
        fs::write(&wrapper, format!("#!/bin/sh\nexec \"$@\" {}\n", COVERAGE.join(" ")))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        let mut build = cargo();
        build.current_dir(root).args(["build", "--locked", "--quiet", "--package", "hsu-fuzz"]);
        build.args(["--features", "engine", "--bin", "hsu-fuzz"]);
        build.args(PROFILE).env("RUSTC_WORKSPACE_WRAPPER", &wrapper);
        command::run(&mut build)?;
        // The next ordinary build may put its own file in the same place.
        let engine = place.join("hsu-fuzz");
        let built = workspace::target(root).join("debug/hsu-fuzz");
        // Another run may still execute the one before.
        drop(fs::remove_file(&engine));
        fs::copy(&built, &engine).with_context(|| format!("copy {}", built.display()))?;
        Ok(Self { engine, place: place.to_owned() })
    }

    fn targets(&self) -> Result<Vec<Target>> {
        let listing = command::output(Command::new(&self.engine).env(WORK, "list"))?;
        let pairs = listing.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(name, longest)| Target { name: name.to_owned(), longest: longest.to_owned() })
            .collect())
    }

    fn inputs(&self, target: &Target) -> PathBuf {
        self.place.join("corpus").join(&target.name)
    }

    /// Lays out what is kept as files, or packs files again.
    fn corpus(&self, work: &str, target: &Target, folder: &Path) -> Result<String> {
        let mut engine = self.engine(target);
        command::output(engine.env(WORK, work).env("HSU_FUZZ_FOLDER", folder))
    }

    fn engine(&self, target: &Target) -> Command {
        let mut engine = Command::new(&self.engine);
        engine
            .env("HSU_FUZZ_TARGET", &target.name)
            .env("RUST_BACKTRACE", "0")
            .arg(format!("-max_len={}", target.longest))
            .arg(format!("-timeout={SECONDS_FOR_ONE}"))
            .arg(format!("-rss_limit_mb={MOST_MEGABYTES}"));
        engine
    }

    fn fuzz(&self, target: &Target, arguments: &Arguments, seed: u32) -> Result<Outcome> {
        let inputs = self.inputs(target);
        if arguments.fresh && inputs.exists() {
            fs::remove_dir_all(&inputs)?;
        }
        self.corpus("unpack", target, &inputs)?;
        let findings = self.place.join("findings").join(format!("{}-", target.name));
        let mut engine = self.engine(target);
        engine
            .arg(format!("-max_total_time={}", arguments.seconds))
            .arg(format!("-seed={seed}"))
            .arg(format!("-artifact_prefix={}", findings.display()))
            .args(["-print_final_stats=1", "-use_value_profile=1"])
            .arg(&inputs)
            .stdin(Stdio::null());
        let output = engine.output().context("start the engine")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let finding = (!output.status.success()).then(|| explain(&said));
        Ok(Outcome { executions: executions(&said), covered: covered(&said), finding })
    }

    /// Merges what was collected into the smallest set, and packs it.
    fn keep(&self, target: &Target) -> Result<()> {
        let least = self.place.join("least").join(&target.name);
        if least.exists() {
            fs::remove_dir_all(&least)?;
        }
        fs::create_dir_all(&least)?;
        let mut merge = self.engine(target);
        merge.arg("-merge=1").arg(&least).arg(self.inputs(target));
        let output = merge.stdin(Stdio::null()).output().context("merge the inputs")?;
        if !output.status.success() {
            bail!("the inputs of {} cannot be merged: {}", target.name, output.status);
        }
        print!("  {}", self.corpus("pack", target, &least)?);
        Ok(())
    }
}

/// How many inputs were run, as the engine tells at its end.
fn executions(said: &str) -> u64 {
    let stat = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    stat.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// How many edges were reached, as the engine's last line of progress tells.
fn covered(said: &str) -> u64 {
    let numbers = said.lines().rev().find_map(|line| line.split_once(" cov: "));
    let number = numbers.and_then(|(_, rest)| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The lines that say what was found, and where its input is.
fn explain(said: &str) -> String {
    let matters = |line: &&str| {
        ["panicked at", "ERROR:", "Test unit written", "SUMMARY:", "assertion"]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut lines: Vec<&str> = Vec::new();
    let mut after_panic = 0;
    for line in said.lines() {
        if line.contains("panicked at") {
            after_panic = 4;
        }
        if matters(&line) || after_panic > 0 {
            lines.push(line);
        }
        after_panic = usize::saturating_sub(after_panic, 1);
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("    {}", line.chars().take(400).collect::<String>()))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 27Mb
#1024\tpulse  cov: 321 ft: 400 corp: 5/21b lim: 4 exec/s: 0 rss: 27Mb
thread '<unnamed>' panicked at fuzz/src/targets/a.rs:7:9:
two lines are one
stat::number_of_executed_units: 3000000
artifact_prefix='x-'; Test unit written to x-crash-1
";

    #[test]
    fn what_the_engine_says_is_counted_and_a_finding_is_told_with_its_input() {
        assert_eq!((executions(SAID), covered(SAID)), (3_000_000, 321));
        let found = explain(SAID);
        for words in ["a.rs:7:9", "two lines are one", "x-crash-1"] {
            assert!(found.contains(words), "{words}");
        }
        assert!(!found.contains("pulse"));
        assert_eq!((executions(""), covered("")), (0, 0));
    }

    #[test]
    fn a_target_that_does_not_exist_is_refused_with_those_that_do() {
        let all = ["a", "b"].map(|name| Target { name: name.into(), longest: "1".into() });
        assert_eq!(choose(&all, &[]).unwrap(), all);
        assert_eq!(choose(&all, &["b".to_owned()]).unwrap(), all[1..]);
        assert!(choose(&all, &["c".to_owned()]).unwrap_err().to_string().contains("one of a, b"));
    }
}
