//! Simulation: many short lives of HSU Master, and the museum of bugs that it must find.
//!
//! The program is optimised, with all assertions on; of one piece when many lives are asked for.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo};
use crate::workspace;

/// Schedules of the gate: a few seconds of each core, other seeds than anybody's.
const QUICK: &str = "300000";

/// Whoever asks for so many schedules does so every night: the faster program is kept.
const MANY: u64 = 1_000_000;

/// What to run, as `hsu-simulator` takes it.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Options of the run: `--schedules N --seed S --jobs N`, `--replay SEED`; see `--help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs schedules; says whether no promise broke.
pub(crate) fn simulate(root: &Path, arguments: &Arguments) -> Result<bool> {
    run(root, Build::of(&arguments.rest), "simulate", &arguments.rest)
}

/// Switches on each bug of the museum; says whether all are found.
pub(crate) fn museum(root: &Path, arguments: &Arguments) -> Result<bool> {
    run(root, Build::Tests, "museum", &arguments.rest)
}

/// The short form of both, for the gate.
pub(crate) fn quick(root: &Path, what: &str) -> Result<bool> {
    let rest: &[&str] = if what == "simulate" { &["--schedules", QUICK] } else { &[] };
    run(root, Build::Tests, what, &rest.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Build {
    /// As the tests are, and by them.
    Tests,
    /// In one piece, which takes two minutes once and is an eighth faster.
    Whole,
}

impl Build {
    /// By how many schedules are asked for; who names no number gets many.
    fn of(arguments: &[String]) -> Self {
        if arguments
            .iter()
            .any(|word| word.starts_with("--replay") || word == "--help" || word == "-h")
        {
            return Self::Tests;
        }
        let after = arguments.iter().skip_while(|word| *word != "--schedules").nth(1);
        let joined = arguments.iter().find_map(|word| word.strip_prefix("--schedules="));
        let schedules = after.map(String::as_str).or(joined).and_then(|word| word.parse().ok());
        if schedules.is_none_or(|count: u64| count >= MANY) { Self::Whole } else { Self::Tests }
    }

    fn profile(self) -> &'static str {
        match self {
            Self::Tests => "dev",
            Self::Whole => "simulator",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Tests => "debug",
            Self::Whole => "simulator",
        }
    }
}

fn run(root: &Path, how: Build, what: &str, rest: &[String]) -> Result<bool> {
    let build = ["build", "--locked", "--quiet", "--package", "hsu-testkit"];
    let build = build.into_iter().chain(["--bin", "hsu-simulator", "--profile", how.profile()]);
    command::run(cargo().current_dir(root).args(build))?;
    let program = workspace::target(root).join(how.folder()).join("hsu-simulator");
    let status = std::process::Command::new(&program)
        .current_dir(root)
        .arg(what)
        .args(rest)
        .status()
        .with_context(|| format!("run {}", program.display()))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_schedules_are_lived_through_by_the_faster_program() {
        let build =
            |words: &[&str]| Build::of(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(build(&["--seed", "7", "--schedules", "2000000"]), Build::Whole);
        assert_eq!(build(&["--schedules=1000000", "--rivers"]), Build::Whole);
        assert_eq!(build(&["--schedules", "300000"]), Build::Tests);
        assert_eq!(build(&["--replay", "2000000"]), Build::Tests);
        assert_eq!(build(&["--seed", "7"]), Build::Whole);
        assert_eq!(build(&["--help"]), Build::Tests);
    }
}
