//! The command line of `hsu-master-cli`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The words for states, as `list` prints them.
const STATES: [&str; 8] = [
    "registered",
    "starting",
    "running",
    "stopping",
    "stopped",
    "backing-off",
    "tripped",
    "failed",
];

/// Shows and steers the workers of a running hsu-master.
#[derive(Debug, Parser)]
#[command(name = "hsu-master-cli", version)]
#[command(after_help = "\
Exit codes: 0 done; 1 failed; 2 a wrong command line or configuration; 3 no such worker; \
4 refused in this state; 5 no master can be reached; 6 not in time.

The socket is the first of: --socket, the one of --config, $HSU_SOCKET, \
$XDG_RUNTIME_DIR/hsu-master/control.sock, /tmp/hsu-master/control.sock, /run/hsu-master/control.sock.")]
pub(crate) struct Arguments {
    /// The control socket of the master.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The configuration of the master, which tells where its socket is.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show workers: state, PID, uptime, restarts, last exit, breaker, CPU, memory.
    #[command(visible_alias = "status")]
    List {
        /// Only these workers.
        workers: Vec<String>,
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show everything about one worker.
    Describe {
        worker: String,
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Tell why a worker is in its state: what happened, what it said, what was decided, what comes next.
    Why {
        worker: String,
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Start workers, and forget their failures.
    Start(Which),
    /// Stop workers; they stay stopped.
    Stop(Ending),
    /// Stop workers and start them again.
    Restart(Ending),
    /// Allow workers to run.
    Enable(Which),
    /// Stop workers and do not allow them to run.
    Disable(Which),
    /// Close the breaker of workers, forget their failures, and start what waits.
    Reset(Which),
    /// Forget workers that do not run, until the configuration is loaded anew.
    Remove(Which),
    /// Send a signal to the process of a worker.
    Signal {
        worker: String,
        /// A name such as HUP, or a number from 1 to 64.
        signal: String,
    },
    /// Show the output of a worker.
    Logs(Logs),
    /// Show what happened.
    Events(Events),
    /// Wait until a worker is in a state.
    Wait {
        worker: String,
        /// The state.
        #[arg(long = "for", value_name = "STATE", value_parser = STATES)]
        state: String,
        /// Give up after this time: `30s`, `2m`, or a number of seconds.
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = seconds)]
        timeout: f64,
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Check a configuration file; needs no master.
    Validate {
        file: PathBuf,
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Tell what the master's host can do, and which keys are not built yet.
    Capabilities {
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show, replace or end the master itself.
    Master {
        #[command(subcommand)]
        verb: MasterVerb,
    },
    /// Print the versions of the client and the master.
    Version {
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages into a folder.
    Man { folder: PathBuf },
}

/// What to do with the master itself.
#[derive(Debug, Subcommand)]
pub(crate) enum MasterVerb {
    /// Show the master.
    Status {
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Start another master that takes over; no worker is disturbed.
    Upgrade {
        /// Its executable; without it, the present path, read again.
        #[arg(long, value_name = "PATH")]
        executable: Option<PathBuf>,
    },
    /// End the master.
    Shutdown {
        /// The workers go on; the next master takes them over.
        #[arg(long)]
        keep_workers: bool,
        /// Kill at once what does not stop.
        #[arg(long)]
        force: bool,
    },
}

/// Which workers a command is for.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The workers.
    #[arg(required_unless_present = "all")]
    pub(crate) workers: Vec<String>,
    /// All workers.
    #[arg(long, conflicts_with = "workers")]
    pub(crate) all: bool,
    /// Give up waiting after this time: `30s`, `2m`, or a number of seconds.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = seconds)]
    pub(crate) timeout: f64,
}

/// Which workers are stopped, and how.
#[derive(Debug, Args)]
pub(crate) struct Ending {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Do it at once: kill without grace.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Which lines to show.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    pub(crate) worker: String,
    /// Go on with what comes.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only what arrived since then: `10m`, `2h`, or an RFC 3339 time.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// The latest lines only.
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Only this stream; both without it.
    #[arg(long, value_parser = ["stdout", "stderr"])]
    pub(crate) stream: Option<String>,
    /// Write the bytes as they are, also to a terminal.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Write the time of arrival and the stream before each line.
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// For people, or one JSON object a line.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// Which events to show.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on with what happens.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only of this worker.
    #[arg(long)]
    pub(crate) worker: Option<String>,
    /// Only after this number.
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) after: Option<u64>,
    /// At most this many.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Reads `30s`, `2m`, `1h` or a bare number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if number.ends_with('m') => (number.trim_end_matches('m'), 0.001),
        Some(number) if text.ends_with('m') => (number, 60.0),
        Some(number) if text.ends_with('h') => (number, 3600.0),
        Some(number) => (number, 1.0),
        None => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * scale);
    seconds
        .filter(|seconds| (0.001..=1e9).contains(seconds))
        .ok_or_else(|| "not a time such as `500ms`, `30s`, `2m` or `90`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_unit() {
        assert_eq!(
            ["30s", "2m", "1h", "1.5", "500ms"].map(|t| seconds(t).ok()),
            [30.0, 120.0, 3600.0, 1.5, 0.5].map(Some)
        );
        assert!(
            ["", "s", "-1", "0", "mm", "inf", "nan", "1d"]
                .into_iter()
                .all(|text| seconds(text).is_err())
        );
    }
}
