//! The binary `hsu-master`: the rooms put together, and nothing decided here.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

mod arguments;
mod capabilities;
mod exit;
mod logging;
mod run;
mod usage;
mod validate;

use arguments::{Arguments, Verb};
use exit::Exit;

fn main() -> ExitCode {
    let done = Arguments::try_parse().map_or_else(|error| usage::explain(&error), |a| obey(&a));
    done.unwrap_or_else(|error| {
        // Nobody is left to hear that standard error is closed.
        drop(writeln!(std::io::stderr(), "error: {error:#}"));
        Exit::Failure
    })
    .into()
}

fn obey(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.verb {
        None => run::run(&arguments.run),
        Some(Verb::Validate { file, output, enable_log }) => {
            validate::validate(file, *output, *enable_log)
        }
        Some(Verb::Capabilities { output }) => capabilities::capabilities(*output),
        Some(Verb::Version) => version(),
    }
}

fn version() -> anyhow::Result<Exit> {
    writeln!(std::io::stdout(), "hsu-master {}", env!("CARGO_PKG_VERSION"))?;
    Ok(Exit::Success)
}
