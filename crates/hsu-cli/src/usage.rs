//! Usage: help that was asked for, and what is wrong with a command line.
//!
//! The parser repeats arguments as they are; a name that was copied from somewhere
//! must not steer the terminal when it is repeated.

use std::io::Write as _;

use crate::exit::{Exit, Failure};
use crate::screen::escaped;

/// The most characters of an argument that are repeated.
const MOST: usize = 200;

/// Prints help, or the complaint about the command line of this process.
pub(crate) fn explain(error: &clap::Error) -> Result<Exit, Failure> {
    if !error.use_stderr() {
        error.print()?;
        return Ok(Exit::Success);
    }
    let text = harmless(&error.to_string());
    // Nobody is left to hear that standard error is closed.
    drop(std::io::stderr().write_all(text.as_bytes()));
    Ok(Exit::Invalid)
}

/// The complaint, with every argument in it and every line of it escaped, and none of them long.
fn harmless(text: &str) -> String {
    let mut text = text.to_owned();
    for argument in std::env::args_os().skip(1) {
        let mut shown = escaped(argument.as_encoded_bytes());
        if let Some((end, _)) = shown.char_indices().nth(MOST) {
            shown.truncate(end);
            shown.push_str("...");
        }
        let repeated = argument.to_string_lossy();
        if shown != repeated {
            text = text.replace(&*repeated, &shown);
        }
    }
    let lines: Vec<_> = text.split('\n').map(|line| escaped(line.as_bytes())).collect();
    lines.join("\n")
}
