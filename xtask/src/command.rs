//! Commands: run one, show it, and turn its failure into an error.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Runs a command with our own streams.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = show(command);
    println!("  $ {line}");
    let status = command.status().with_context(|| format!("run `{line}`"))?;
    if status.success() { Ok(()) } else { bail!("`{line}` ended with {status}") }
}

/// Runs a command and returns what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = show(command);
    let output = command.output().with_context(|| format!("run `{line}`"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("`{line}` ended with {}: {}", output.status, words.trim())
    }
}

/// Whether a command can be run and ends with exit code 0; what it writes is dropped.
pub(crate) fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Cargo, as it started us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}
