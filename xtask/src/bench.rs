//! Bench: HSU Master beside its peers, on the same work, in the same run.
//!
//! The comparison harness is a program of its own and no part of this
//! repository; `HSU_BENCH_HARNESS` says where it is. Here is only what it needs
//! to know about us: where our programs are and how we are configured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{self, cargo};
use crate::workspace;

/// Says where the comparison harness is.
const HARNESS: &str = "HSU_BENCH_HARNESS";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Measure what is built already.
    #[arg(long)]
    no_build: bool,
    /// Arguments of the harness, such as `--list` or `--scenarios start,restart --n 1000`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the release and hands over to the harness; says whether it ended well.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    let Some(harness) = std::env::var_os(HARNESS).map(PathBuf::from) else {
        bail!("{HARNESS} is not set (hint: the folder of the harness, the one with run.py)");
    };
    let target = workspace::target(root);
    if !arguments.no_build {
        command::run(cargo().current_dir(root).args(["build", "--release", "--locked"]))?;
    }
    let release = target.join("release");
    let line = std::fs::canonicalize(harness.join("run.py"))
        .with_context(|| format!("find run.py in {HARNESS}"))?;
    let mut python = Command::new("python3");
    python
        .current_dir(root)
        .arg(line)
        .args(&arguments.rest)
        .env("BENCH_ADAPTERS", root.join("bench/adapters"))
        // The harness may lie on a disk that nobody may write to.
        .env("BENCH_BIN", target.join("bench-bin"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    for (variable, program) in
        [("BENCH_HSU_MASTER", "hsu-master"), ("BENCH_HSU_MASTER_CLI", "hsu-master-cli")]
    {
        if std::env::var_os(variable).is_none() {
            python.env(variable, release.join(program));
        }
    }
    Ok(python.status().context("run python3")?.success())
}
