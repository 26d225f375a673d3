//! The binary `hsu-master`: the rooms put together, and nothing decided here.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

mod arguments;
mod capabilities;
mod documents;
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
    let Some(verb) = &arguments.verb else {
        return run::run(&arguments.run);
    };
    // Whoever read what was printed has seen enough.
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    print(verb).or_else(|error| match error.downcast_ref().is_some_and(broken) {
        true => Ok(Exit::Success),
        false => Err(error),
    })
}

fn print(verb: &Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Validate { file, output, enable_log } => {
            validate::validate(file, *output, *enable_log)
        }
        Verb::Capabilities { output } => capabilities::capabilities(*output),
        Verb::Version => version(),
        Verb::Completions { shell } => documents::completions(*shell),
        Verb::Man { folder } => documents::man(folder),
    }
}

fn version() -> anyhow::Result<Exit> {
    writeln!(std::io::stdout(), "hsu-master {}", env!("CARGO_PKG_VERSION"))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_page_of_the_command_line_is_what_the_parser_takes() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/hsu-master.md");
        let compared = hsu_testkit::page::compare(page.as_ref(), &mut Arguments::command());
        assert_eq!(compared, Ok(()));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_duration_is_given_in_seconds_and_none_is_no_number() {
        let parsed = |words: &[&str]| {
            let words = ["hsu-master"].iter().chain(words);
            Arguments::try_parse_from(words).map(|arguments| arguments.run.run_duration).ok()
        };
        let two = std::time::Duration::from_secs(2);
        assert_eq!(parsed(&["--run-duration", "2"]), Some(Some(two)));
        assert_eq!(parsed(&[]), Some(None));
        assert_eq!(parsed(&["--run-duration", "2.5"]), None);
    }
}
