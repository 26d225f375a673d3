//! Simulation: many short lives of HSU Master, and the museum of bugs that it must find.
//!
//! The program is built as every test is: optimised, with all assertions on.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo};
use crate::workspace;

/// Schedules of the gate: a few seconds of each core, other seeds than anybody's.
const QUICK: &str = "300000";

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
    run(root, "simulate", &arguments.rest)
}

/// Switches on each bug of the museum; says whether all are found.
pub(crate) fn museum(root: &Path, arguments: &Arguments) -> Result<bool> {
    run(root, "museum", &arguments.rest)
}

/// The short form of both, for the gate.
pub(crate) fn quick(root: &Path, what: &str) -> Result<bool> {
    let rest: &[&str] = if what == "simulate" { &["--schedules", QUICK] } else { &[] };
    run(root, what, &rest.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn run(root: &Path, what: &str, rest: &[String]) -> Result<bool> {
    let build = ["build", "--locked", "--quiet", "--package", "hsu-testkit"];
    command::run(cargo().current_dir(root).args(build).args(["--bin", "hsu-simulator"]))?;
    let program = workspace::target(root).join("debug").join("hsu-simulator");
    let status = std::process::Command::new(&program)
        .current_dir(root)
        .arg(what)
        .args(rest)
        .status()
        .with_context(|| format!("run {}", program.display()))?;
    Ok(status.success())
}
