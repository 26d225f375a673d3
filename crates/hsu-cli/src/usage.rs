//! Usage: help that was asked for, and what is wrong with a command line.
//!
//! The parser repeats arguments as they are; a name that was copied from somewhere
//! must not steer the terminal when it is repeated.

use std::io::Write as _;

use crate::exit::{Exit, Failure};
use crate::screen::complaint;

/// Prints help, or the complaint about the command line of this process.
pub(crate) fn explain(error: &clap::Error) -> Result<Exit, Failure> {
    if !error.use_stderr() {
        error.print()?;
        return Ok(Exit::Success);
    }
    let text = complaint(&error.to_string(), std::env::args_os().skip(1));
    // Nobody is left to hear that standard error is closed.
    drop(std::io::stderr().write_all(text.as_bytes()));
    Ok(Exit::Invalid)
}
