//! Store faults: the long form of the tests that pull the disk from under the store.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo};
use crate::workspace;

/// What to try, and how thoroughly.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// A campaign and its options, `all` without one: `all --seed S --operations N`, `power`,
    /// `refusals`, `rot`; see `--help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the workbench of the store and runs a campaign; says whether nothing was lost.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    let build = ["build", "--locked", "--quiet", "--package", "hsu-crash"];
    command::run(cargo().current_dir(root).args(build))?;
    let program = workspace::target(root).join("debug").join("hsu-crash");
    let all = ["all".to_owned()];
    let rest = if arguments.rest.is_empty() { &all[..] } else { &arguments.rest };
    let status = std::process::Command::new(&program)
        .current_dir(root)
        .args(rest)
        .status()
        .with_context(|| format!("run {}", program.display()))?;
    Ok(status.success())
}
