//! The binary `hsu-master-cli`: asks a running master, and says what it answered.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

mod arguments;
mod client;
mod exit;
mod offline;
mod ordering;
mod screen;
mod showing;
mod socket;
mod table;

use arguments::{Arguments, MasterVerb, Verb};
use client::Client;
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(exit) => exit.into(),
        // Whoever read us has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Exit::Success.into()
        }
        Err(failure) => {
            let mut err = std::io::stderr().lock();
            // Nobody is left to hear that standard error is closed.
            drop(writeln!(err, "error: {}", screen::escaped(failure.to_string().as_bytes())));
            if let Some(hint) = failure.hint() {
                drop(writeln!(err, "hint: {}", screen::escaped(hint.as_bytes())));
            }
            failure.exit().into()
        }
    }
}

fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let client = || socket::find(arguments).map(Client::new);
    match &arguments.verb {
        Verb::List { workers, output } => showing::list(&client()?, workers, *output),
        Verb::Describe { worker, output } => showing::describe(&client()?, worker, *output),
        Verb::Why { worker, output } => showing::why(&client()?, worker, *output),
        Verb::Logs(wanted) => showing::logs(&client()?, wanted),
        Verb::Events(wanted) => showing::events(&client()?, wanted),
        Verb::Capabilities { output } => showing::capabilities(&client()?, *output),
        Verb::Version => showing::version(&client()?),
        Verb::Wait { worker, state, timeout } => {
            ordering::wait(&client()?, worker, state, *timeout)
        }
        Verb::Start(which) => ordering::command(&client()?, which, "start"),
        Verb::Stop(which) => ordering::command(&client()?, which, "stop"),
        Verb::Restart(which) => ordering::command(&client()?, which, "restart"),
        Verb::Enable(which) => ordering::command(&client()?, which, "enable"),
        Verb::Disable(which) => ordering::command(&client()?, which, "disable"),
        Verb::Reset(which) => ordering::command(&client()?, which, "reset-breaker"),
        Verb::Remove(which) => ordering::command(&client()?, which, "remove"),
        Verb::Signal { worker, signal } => ordering::signal(&client()?, worker, signal),
        Verb::Master { verb } => match verb {
            MasterVerb::Status { output } => showing::master(&client()?, *output),
            MasterVerb::Upgrade { executable } => {
                ordering::upgrade(&client()?, executable.as_deref())
            }
            MasterVerb::Shutdown { keep_workers, force } => {
                ordering::shutdown(&client()?, *keep_workers, *force)
            }
        },
        Verb::Validate { file, output } => offline::validate(file, *output),
        Verb::Completions { shell } => offline::completions(*shell),
        Verb::Man { folder } => offline::man(folder),
    }
}
