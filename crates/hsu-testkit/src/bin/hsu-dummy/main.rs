//! `hsu-dummy`: a worker that misbehaves on request.
//!
//! It leaks, hangs, forks, floods, ignores signals and tells who it is; see
//! `--help`. Without options it waits for SIGTERM and exits 0. Every number it
//! is given is bounded, so that a mistyped test cannot take the machine down.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program, and its output is its job"
)]

use std::process::ExitCode;

use clap::Parser as _;

mod crowd;
mod dead;
mod family;
mod identity;
mod init;
mod life;
mod load;
mod options;
mod output;
mod serve;
mod slot;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        // The short ways first: thousands of these are started at once.
        Some(init::OPTION) => init::run(),
        Some(family::OPTION) => family::run_child(),
        _ => life::run(&options::Options::parse()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("hsu-dummy: {error}");
        ExitCode::from(70)
    })
}
