//! Programs of the workbench that run a release of the product: chaos, faults, soak.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo};
use crate::workspace;

/// What the program is told.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Options of the program itself; `--help` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the release and runs a program of `hsu-testkit`; says whether nothing was found.
/// Whoever only asks for help waits for no release.
pub(crate) fn run(root: &Path, name: &str, arguments: &Arguments) -> Result<bool> {
    let asks = arguments.rest.iter().any(|word| word == "--help" || word == "-h");
    let mut build = cargo();
    build.current_dir(root).args(["build", "--locked"]);
    if asks {
        build.args(["--quiet", "--package", "hsu-testkit", "--bin", name]);
    } else {
        let packages = ["hsu-master", "hsu-keeper", "hsu-cli", "hsu-testkit"];
        build.arg("--release").args(packages.iter().flat_map(|package| ["--package", package]));
    }
    command::run(&mut build)?;
    let profile = if asks { "debug" } else { "release" };
    let program = workspace::target(root).join(profile).join(name);
    let status = std::process::Command::new(&program)
        .current_dir(root)
        .args(&arguments.rest)
        // It would build them once more, and not as a release.
        .env("HSU_BINARIES_BUILT", "1")
        .status()
        .with_context(|| format!("run {}", program.display()))?;
    Ok(status.success())
}
