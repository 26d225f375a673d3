//! The binary `hsu-master-cli`: asks a running master, and says what it answered.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;

mod arguments;
mod client;
mod completions;
mod exit;
mod following;
mod handover;
mod offline;
mod ordering;
mod past;
mod records;
mod screen;
mod showing;
mod socket;
mod steering;
mod table;
mod timing;
mod top;
mod usage;

use arguments::{Arguments, Events, MasterVerb, Output, Verb};
use client::Client;
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let (done, output) = match Arguments::try_parse() {
        Ok(arguments) => (run(&arguments), failure_output(&arguments.verb)),
        Err(error) => (usage::explain(&error), Output::Text),
    };
    match done {
        Ok(exit) => exit.into(),
        // Whoever read us has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Exit::Success.into()
        }
        Err(failure) => {
            if output == Output::Json {
                // Nobody is left to hear that standard output is closed.
                drop(writeln!(std::io::stdout().lock(), "{}", failure.problem_text()));
            }
            let mut err = std::io::stderr().lock();
            // Nobody is left to hear that standard error is closed.
            drop(writeln!(err, "error: {}", screen::escaped_lines(&failure.to_string())));
            if let Some(hint) = failure.hint() {
                drop(writeln!(err, "hint: {}", screen::escaped_lines(&hint)));
            }
            failure.exit().into()
        }
    }
}

fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let client = || Ok::<_, Failure>(Client::new(socket::find(arguments)?));
    match &arguments.verb {
        Verb::Validate { file, output, enable_log } => {
            offline::validate(file, *output, *enable_log)
        }
        Verb::Completions { shell } => completions::print(*shell),
        Verb::Man { folder } => offline::man(folder),
        Verb::List { workers, at: Some(at), output } => {
            past::list(&client()?, at, workers, *output)
        }
        Verb::List { workers, at: None, output } => showing::list(&client()?, workers, *output),
        Verb::Describe { worker, output } => showing::describe(&client()?, worker, *output),
        Verb::Top { sort, output } => top::top(&client()?, *sort, *output),
        Verb::Usage { worker, since, output } => {
            top::usage(&client()?, worker, since.as_deref(), *output)
        }
        Verb::Why { worker, output } => showing::why(&client()?, worker, *output),
        Verb::Logs(wanted) if wanted.follow => following::logs(&client()?, wanted),
        Verb::Logs(wanted) => records::logs(&client()?, wanted),
        Verb::History(wanted) => past::history(&client()?, wanted),
        Verb::Diff(wanted) => past::diff(&client()?, wanted),
        Verb::Replay(wanted) => past::replay(wanted),
        Verb::Events(Events { export: Some(file), .. }) => past::export(&client()?, file),
        Verb::Events(wanted) if wanted.follow => following::events(&client()?, wanted),
        Verb::Events(wanted) => records::events(&client()?, wanted),
        Verb::Capabilities { output } => showing::capabilities(&client()?, *output),
        Verb::Version { output } => showing::version(client, *output),
        Verb::Wait(wanted) => {
            let begun = Instant::now();
            let socket = socket::await_master(arguments, wanted.timeout)?;
            ordering::wait(&Client::new(socket), wanted, begun)
        }
        Verb::Start(which) => ordering::command(&client()?, which, "start", false),
        Verb::Stop(ending) => ordering::command(&client()?, &ending.which, "stop", ending.force),
        Verb::Restart(ending) => {
            ordering::command(&client()?, &ending.which, "restart", ending.force)
        }
        Verb::Enable(which) => ordering::command(&client()?, which, "enable", false),
        Verb::Disable(which) => ordering::command(&client()?, which, "disable", false),
        Verb::Reset(which) => ordering::command(&client()?, which, "reset-breaker", false),
        Verb::Remove(which) => ordering::command(&client()?, which, "remove", false),
        Verb::Signal { worker, signal, output } => {
            ordering::signal(&client()?, worker, signal, *output)
        }
        Verb::Master { verb } => master(&client()?, verb),
    }
}

/// For whom the failure of a verb is told, besides the words on standard error.
fn failure_output(verb: &Verb) -> Output {
    match verb {
        Verb::List { output, .. }
        | Verb::Describe { output, .. }
        | Verb::Why { output, .. }
        | Verb::Top { output, .. }
        | Verb::Usage { output, .. }
        | Verb::Validate { output, .. }
        | Verb::Capabilities { output }
        | Verb::Version { output }
        | Verb::Master { verb: MasterVerb::Status { output } }
        | Verb::Master { verb: MasterVerb::Upgrade { output, .. } } => *output,
        Verb::Master { verb: MasterVerb::Shutdown(wanted) } => wanted.output,
        Verb::Logs(wanted) => wanted.output,
        Verb::Events(wanted) => wanted.output,
        Verb::History(wanted) => wanted.output,
        Verb::Diff(wanted) => wanted.output,
        Verb::Replay(wanted) => wanted.output,
        // A verb for several workers tells of each by itself.
        Verb::Start(_) | Verb::Stop(_) | Verb::Restart(_) | Verb::Enable(_) => Output::Text,
        Verb::Disable(_) | Verb::Reset(_) | Verb::Remove(_) => Output::Text,
        Verb::Signal { .. } | Verb::Wait(_) => Output::Text,
        Verb::Completions { .. } | Verb::Man { .. } => Output::Text,
    }
}

fn master(client: &Client, verb: &MasterVerb) -> Result<Exit, Failure> {
    match verb {
        MasterVerb::Status { output } => showing::master(client, *output),
        MasterVerb::Upgrade { executable, confirm_mass_stop, output } => {
            steering::upgrade(client, executable.as_deref(), *confirm_mass_stop, *output)
        }
        MasterVerb::Shutdown(wanted) => steering::shutdown(client, wanted),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_page_of_the_command_line_is_what_the_parser_takes() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
        let compared = hsu_testkit::page::compare(page.as_ref(), &mut Arguments::command());
        assert_eq!(compared, Ok(()));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
