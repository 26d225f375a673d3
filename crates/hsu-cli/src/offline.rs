//! What needs no master: validation and manual pages.

use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::path::Path;

use clap::CommandFactory as _;
use hsu_config::{LoadOptions, Readability, Surroundings};

use crate::arguments::{Arguments, Output};
use crate::exit::{Exit, Failure};

/// Prints everything that is wrong with a file, or with standard input when it is `-`.
pub(crate) fn validate(file: &Path, output: Output, enable_log: bool) -> Result<Exit, Failure> {
    let here = Surroundings::of_this_process();
    let options = LoadOptions {
        enable_log,
        check_files: true,
        missing_account: Some(hsu_sys::users::missing),
        ..LoadOptions::default()
    };
    let verdict = hsu_config::validate(file, stdin().lock(), &here, &options);
    let mut out = stdout().lock();
    match (output, verdict.readability()) {
        (Output::Json, _) => writeln!(out, "{:#}", verdict.to_json())?,
        (Output::Text, Readability::Read) => {
            let color = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            out.write_all(verdict.text(color).as_bytes())?;
        }
        // Nobody is left to hear that standard error is closed.
        (Output::Text, Readability::Unreadable) => {
            drop(stderr().write_all(verdict.text(false).as_bytes()));
        }
    }
    Ok(if verdict.is_valid() { Exit::Success } else { Exit::Invalid })
}

/// Writes the manual pages into a folder that is made when missing.
pub(crate) fn man(folder: &Path) -> Result<Exit, Failure> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
    match written {
        Ok(_) => Ok(Exit::Success),
        Err(source) => Err(Failure::File { path: folder.to_owned(), source }),
    }
}
