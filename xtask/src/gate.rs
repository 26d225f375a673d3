//! The gate: everything that must hold before a change may land, in one command.
//!
//! The steps come in the order of their price, so that what is cheap to find is
//! found first. They share one target folder. A failed step ends the run.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::command::{self, cargo};
use crate::{check_all_os, debian, deny, fuzz, python, simulation, tidy, workspace};

/// Tells the tests that every binary is built; see `hsu_testkit::binaries`.
const ALREADY_BUILT: &str = "HSU_BINARIES_BUILT";

/// Which steps to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this step; may be given more than once.
    #[arg(long, value_enum)]
    only: Vec<Step>,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Install the packages of Debian and Python that tests need.
    Packages,
    /// The rules of the house.
    Tidy,
    /// `cargo fmt --check`.
    Fmt,
    /// `cargo clippy`, warnings are errors.
    Clippy,
    /// Build the programs and the tests.
    Build,
    /// Run the examples in the documentation.
    Doctest,
    /// Simulate many short lives.
    Simulate,
    /// Find every bug of the museum.
    Museum,
    /// Run the tests.
    Test,
    /// Fuzz every target for a moment, from what is kept.
    Fuzz,
    /// Build the documentation, warnings are errors.
    Doc,
    /// Licences, bans and sources.
    Deny,
    /// Type-check for every platform.
    CheckAllOs,
}

/// Runs the chosen steps; says whether all of them are good.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    let chosen: Vec<Step> = Step::value_variants()
        .iter()
        .filter(|step| arguments.only.is_empty() || arguments.only.contains(step))
        .copied()
        .collect();
    let start = Instant::now();
    let mut times = Vec::new();
    for step in chosen {
        let begin = Instant::now();
        println!("== {}", name(step));
        let result = take(root, step).with_context(|| format!("step {}", name(step)));
        times.push((step, begin.elapsed()));
        if !matches!(result, Ok(true)) {
            report(&times, start.elapsed());
            println!("FAILED at {}", name(step));
            println!("steps: {} passed, 1 failed", times.len() - 1);
            return result;
        }
    }
    report(&times, start.elapsed());
    println!("steps: {} passed, 0 failed", times.len());
    Ok(true)
}

fn take(root: &Path, step: Step) -> Result<bool> {
    match step {
        Step::Packages => {
            debian::install()?;
            python::install(&workspace::target(root))?;
        }
        Step::Tidy => return tidy::run(root),
        Step::Fmt => cargo_step(root, &["fmt", "--all", "--check"], &[])?,
        Step::Clippy => {
            let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--quiet"];
            cargo_step(root, &[&clippy[..], &["--", "-D", "warnings"]].concat(), &[])?;
        }
        Step::Build => {
            let build = ["build", "--workspace", "--all-targets", "--locked", "--quiet"];
            cargo_step(root, &build, &[])?;
        }
        Step::Simulate => return simulation::quick(root, "simulate"),
        Step::Museum => return simulation::quick(root, "museum"),
        Step::Test => test(root)?,
        Step::Doctest => {
            let doctest = ["test", "--workspace", "--doc", "--locked", "--quiet"];
            cargo_step(root, &doctest, &[])?;
        }
        Step::Fuzz => return fuzz::run(root, &fuzz::Arguments::short()),
        Step::Doc => {
            let doc = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
            cargo_step(root, &doc, &[("RUSTDOCFLAGS", "-D warnings")])?;
        }
        Step::Deny => deny::run(root)?,
        Step::CheckAllOs => check_all_os::run(root, &check_all_os::Arguments::default())?,
    }
    Ok(true)
}

/// One process for each test where nextest is installed, else one for each test binary.
fn test(root: &Path) -> Result<()> {
    let built = [(ALREADY_BUILT, "1")];
    let has_nextest = command::works(cargo().args(["nextest", "--version"]));
    if has_nextest {
        let nextest = ["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
        cargo_step(root, &nextest, &built)
    } else {
        println!("  cargo-nextest is not installed; `cargo test` runs the same tests");
        let plain = ["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"];
        cargo_step(root, &plain, &built)
    }
}

fn cargo_step(root: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let mut cargo = cargo();
    cargo.current_dir(root).args(arguments);
    cargo.envs(variables.iter().copied());
    command::run(&mut cargo)
}

fn name(step: Step) -> String {
    let value = step.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn report(times: &[(Step, Duration)], total: Duration) {
    println!("== times");
    for (step, time) in times {
        println!("  {:14} {:7.1} s", name(*step), time.as_secs_f64());
    }
    println!("  {:14} {:7.1} s", "total", total.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let names: Vec<String> = Step::value_variants().iter().map(|step| name(*step)).collect();
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(names.first().map(String::as_str), Some("packages"));
    }
}
