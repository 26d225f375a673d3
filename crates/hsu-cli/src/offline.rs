//! What needs no master: validation, completions, manual pages.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::Path;

use clap::CommandFactory as _;
use hsu_config::{LoadOptions, Surroundings};

use crate::arguments::{Arguments, Output};
use crate::exit::{Exit, Failure, with_causes};

/// Prints everything that is wrong with a file.
pub(crate) fn validate(file: &Path, output: Output) -> Result<Exit, Failure> {
    let source = hsu_config::read(file).map_err(|error| Failure::Input(with_causes(&error)))?;
    let options = LoadOptions { check_files: true, ..LoadOptions::default() };
    let outcome = hsu_config::load(&source, &Surroundings::of_this_process(), &options);
    let mut out = stdout().lock();
    match output {
        Output::Json => writeln!(out, "{:#}", outcome.diagnostics.to_json(&source))?,
        Output::Text => {
            let color = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            out.write_all(outcome.diagnostics.render(&source, color).as_bytes())?;
            if let Some(fleet) = &outcome.fleet {
                writeln!(out, "{}: valid, {} workers", source.name, fleet.workers.len())?;
            }
        }
    }
    Ok(if outcome.fleet.is_some() { Exit::Success } else { Exit::Invalid })
}

/// Prints completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "hsu-master-cli", &mut text);
    stdout().lock().write_all(&text)?;
    Ok(Exit::Success)
}

/// Writes the manual pages into a folder that is made when missing.
pub(crate) fn man(folder: &Path) -> Result<Exit, Failure> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)?;
    Ok(Exit::Success)
}
