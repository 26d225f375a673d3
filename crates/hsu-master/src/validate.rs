//! `hsu-master validate`: everything that is wrong with a file, in one run.

use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::path::Path;

use hsu_config::{LoadOptions, Readability, Surroundings};

use crate::arguments::Output;
use crate::exit::Exit;

/// Prints what was found; [`Exit::Invalid`] when there are errors.
pub(crate) fn validate(file: &Path, output: Output, enable_log: bool) -> anyhow::Result<Exit> {
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

/// An error and what it came from, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
