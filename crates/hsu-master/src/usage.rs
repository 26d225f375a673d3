//! Usage: help that was asked for, and what is wrong with a command line.

use std::io::Write as _;

use crate::exit::Exit;

/// Prints help, or the complaint about the command line of this process. The parser
/// repeats arguments as they are; here nothing in them steers a terminal.
pub(crate) fn explain(error: &clap::Error) -> anyhow::Result<Exit> {
    if !error.use_stderr() {
        error.print()?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for character in error.to_string().chars() {
        match character {
            '\n' | '\'' | '"' | '\\' => text.push(character),
            other => text.extend(other.escape_debug()),
        }
    }
    // Nobody is left to hear that standard error is closed.
    drop(std::io::stderr().write_all(text.as_bytes()));
    Ok(Exit::Invalid)
}
