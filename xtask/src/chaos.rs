//! Chaos: the long form of the tests that kill roles.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo};
use crate::workspace;

/// What to kill, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Options of the campaign: `--kills N --victim master|pump|keeper --seed S`; see `-- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the release and runs a campaign; says whether nothing was hurt.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    let packages = ["hsu-master", "hsu-keeper", "hsu-cli", "hsu-testkit"];
    let named = packages.iter().flat_map(|package| ["--package", package]);
    command::run(cargo().current_dir(root).args(["build", "--release", "--locked"]).args(named))?;
    let program = workspace::target(root).join("release").join("hsu-chaos");
    let status = std::process::Command::new(&program)
        .current_dir(root)
        .args(&arguments.rest)
        .status()
        .with_context(|| format!("run {}", program.display()))?;
    Ok(status.success())
}
