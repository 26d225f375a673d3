//! `hsu-master validate`: everything that is wrong with a file, in one run.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::Path;

use hsu_config::{LoadOptions, ReadError, Surroundings};

use crate::arguments::Output;
use crate::exit::Exit;

/// Prints what was found; [`Exit::Invalid`] when there are errors.
pub(crate) fn validate(file: &Path, output: Output, enable_log: bool) -> anyhow::Result<Exit> {
    let source = match hsu_config::read(file) {
        Ok(source) => source,
        Err(error) => {
            report_unreadable(file, &error, output)?;
            return Ok(Exit::Invalid);
        }
    };
    let options = LoadOptions { enable_log, check_files: true, ..LoadOptions::default() };
    let outcome = hsu_config::load(&source, &Surroundings::of_this_process(), &options);
    let mut out = stdout().lock();
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &outcome.diagnostics.to_json(&source))?;
            writeln!(out)?;
        }
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

/// The same shape as for a file that could be read.
fn report_unreadable(file: &Path, error: &ReadError, output: Output) -> anyhow::Result<()> {
    let text = with_causes(error);
    let mut out = stdout().lock();
    match output {
        Output::Json => {
            let problem = serde_json::json!({
                "file": file.display().to_string(),
                "valid": false,
                "errors": 1,
                "warnings": 0,
                "diagnostics": [{"severity": "error", "code": "unreadable", "message": text}],
            });
            serde_json::to_writer_pretty(&mut out, &problem)?;
            writeln!(out)?;
        }
        Output::Text => writeln!(out, "error: {text}")?,
    }
    Ok(())
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
