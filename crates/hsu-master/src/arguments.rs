//! The command line of `hsu-master`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs plain programs the way Kubernetes runs pods: starts, watches, heals and explains them.
#[derive(Debug, Parser)]
#[command(name = "hsu-master", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Signals: TERM and INT stop the workers, then the master; a second one forces. QUIT writes the \
state of every worker to the master's log, at the level `info`. HUP is refused with a message (a running configuration \
is not replaced in place yet).

Exit codes: 0 stopped as asked; 1 a failure while running; 2 a wrong command line or configuration; \
3 another master owns the state or the runtime folder; 4 replaced by an upgrade.

Steer a running master with `hsu-master-cli`.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// How to run workers.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The configuration to run.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Capture the output of workers, also when the file does not enable it.
    #[arg(long)]
    pub(crate) enable_log: bool,
    /// Stop the workers that left the file, however many they are.
    #[arg(long)]
    pub(crate) confirm_mass_stop: bool,
    /// Stop the workers and end after this many seconds; without it, or with 0, run for ever.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) run_duration: Option<Duration>,
}

/// Reads a whole number of seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a whole number of seconds".to_owned())?;
    Ok(Duration::from_secs(seconds))
}

/// What else the binary does.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check a configuration; exit code 2 when it has errors.
    Validate {
        /// The configuration to check, or `-` for standard input.
        file: PathBuf,
        /// How to print what was found.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
        /// Check it as if started with `--enable-log`.
        #[arg(long)]
        enable_log: bool,
    },
    /// Tell what this host can do, and which keys of the configuration are not built yet.
    Capabilities {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print the version.
    Version,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    Man {
        /// The folder; made when it is missing.
        folder: PathBuf,
    },
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}
