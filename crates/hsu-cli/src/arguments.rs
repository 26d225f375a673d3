//! The command line of `hsu-master-cli`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::timing::{Until, count, sequence, span, until};

/// What can be waited for: the words for states, as `list` prints them, and `ready`.
const STATES: [&str; 10] = [
    "registered",
    "starting",
    "running",
    "stopping",
    "stopped",
    "backing-off",
    "tripped",
    "failed",
    "searching",
    "ready",
];

/// Shows and steers the workers of a running hsu-master.
#[derive(Debug, Parser)]
#[command(name = "hsu-master-cli", version)]
#[command(after_help = "\
Exit codes: 0 done; 1 failed; 2 a wrong command line or configuration; 3 no such worker; \
4 refused in this state; 5 no master can be reached; 6 not in time.

The socket is the first of: --socket, the one of --config, $HSU_SOCKET, and the first that \
answers of: $XDG_RUNTIME_DIR/hsu-master/control.sock, /run/user/UID/hsu-master/control.sock, \
/run/hsu-master/control.sock (first for root), /tmp/hsu-master/control.sock, \
/tmp/hsu-master-dev/control.sock. Of these, what neither you nor root owns is passed over, and \
where several answer an order has to name its socket.")]
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
        #[arg(value_name = "WORKER")]
        workers: Vec<String>,
        /// As they were then: the number of an event, a span such as `10m`, or an RFC 3339 time.
        #[arg(long, value_name = "TIME|SEQUENCE")]
        at: Option<String>,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show everything about one worker.
    Describe {
        /// The worker.
        worker: String,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Tell why a worker is in its state: what happened, what it said, what was decided, what comes next.
    Why {
        /// The worker.
        worker: String,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show what the workers with limits use at present: CPU, memory, disk, processes.
    Top {
        /// The order of the rows.
        #[arg(long, value_enum, default_value_t = Order::Cpu)]
        sort: Order,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show what a worker with limits has used.
    Usage {
        /// The worker.
        worker: String,
        /// Only since then: `10m`, `2h`, or an RFC 3339 time; all that is remembered without it.
        #[arg(long)]
        since: Option<String>,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Start workers, and forget their failures.
    Start(Which),
    /// Stop workers, until they are started again or the master is; `unless-stopped` outlives it.
    Stop(Ending),
    /// Stop workers and start them again.
    Restart(Ending),
    /// Allow workers to run.
    Enable(Which),
    /// Stop workers and do not allow them to run.
    Disable(Which),
    /// Close the breaker of workers, forget their failures, and start what waits.
    Reset(Which),
    /// Forget workers that do not run, until all ends and is started again; an upgrade keeps them away.
    Remove(Which),
    /// Send a signal to the process of a worker.
    Signal {
        /// The worker.
        worker: String,
        /// A name such as HUP or RTMIN+1, or a number from 1 to 64.
        signal: String,
        /// How to print the answer.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Show the output of a worker.
    Logs(Logs),
    /// Show what happened.
    Events(Events),
    /// Show the history of a worker: states, runs, exits and orders, who asked, and what led to what.
    History(History),
    /// Show what changed between two moments, who changed it and why.
    Diff(Diff),
    /// Play a journal that `events --export` wrote, up to a moment; needs no master.
    Replay(Replay),
    /// Wait until workers are in a state, and for the master when none is there yet.
    Wait(Wait),
    /// Check a configuration file; needs no master.
    Validate {
        /// The configuration, or `-` for standard input.
        file: PathBuf,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
        /// Check it as for a master that is started with `--enable-log`.
        #[arg(long)]
        enable_log: bool,
    },
    /// Tell what the master's host can do, and which keys are not built yet.
    Capabilities {
        /// How to print it.
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
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
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

/// What to do with the master itself.
#[derive(Debug, Subcommand)]
pub(crate) enum MasterVerb {
    /// Show the master.
    Status {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Start another master that takes over; no worker is disturbed.
    ///
    /// It reads the file again: a worker that left the file is stopped with its own signal
    /// and grace, and what changed for a worker holds from its next start. When the other
    /// master cannot take over, the present one goes on, and the answer says why.
    Upgrade {
        /// Its executable; without it, the present path, read again.
        #[arg(long, value_name = "PATH")]
        executable: Option<PathBuf>,
        /// Stop the workers that left the file, however many they are.
        #[arg(long)]
        confirm_mass_stop: bool,
        /// How to print the answer.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// End the master.
    Shutdown(Shutdown),
}

/// How the master ends.
#[derive(Debug, Args)]
pub(crate) struct Shutdown {
    /// The workers go on; the next master takes them over.
    #[arg(long)]
    pub(crate) keep_workers: bool,
    /// Kill at once what does not stop.
    #[arg(long)]
    pub(crate) force: bool,
    /// Come back when the master has ended, and not before.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this time: `30s`, `2m`, or a number of seconds.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = span, allow_negative_numbers = true, requires = "wait")]
    pub(crate) timeout: Duration,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// Which workers a command is for.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The workers.
    #[arg(value_name = "WORKER", required_unless_present = "all")]
    pub(crate) workers: Vec<String>,
    /// All workers; to be started or restarted, all that are enabled.
    #[arg(long, conflicts_with = "workers")]
    pub(crate) all: bool,
    /// Give up waiting after this time: `500ms`, `30s`, `2m`, or a number of seconds; 0 does not wait.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = span, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// How to print the answers: as JSON, one object for each worker.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// Which workers are waited for.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The workers.
    #[arg(value_name = "WORKER", required = true)]
    pub(crate) workers: Vec<String>,
    /// The state, or `ready`: the worker does its job.
    #[arg(long = "for", value_name = "STATE", value_parser = STATES)]
    pub(crate) state: String,
    /// Give up after this time: `500ms`, `30s`, `2m`, or a number of seconds; 0 looks once.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// How to print it: as JSON, one object for each worker.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
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
    /// The worker.
    pub(crate) worker: String,
    /// Go on with what comes.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only what arrived since then: `10m`, `2h`, or an RFC 3339 time.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// So many of the latest lines that are still kept; 100 without it and without `--since`.
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
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
    #[arg(long, value_name = "SEQUENCE", value_parser = sequence, allow_negative_numbers = true)]
    pub(crate) after: Option<u64>,
    /// At most this many of those that there are: 100 without it, and with `-f` none.
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) limit: Option<usize>,
    /// Write the whole journal into this file, or `-` for standard output, for `replay`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "worker", "after", "limit", "output"])]
    pub(crate) export: Option<PathBuf>,
    /// How to print them; followed ones are one JSON object a line.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// The order of rows of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The most CPU first.
    Cpu,
    /// The most memory first.
    Memory,
    /// By name.
    Name,
}

/// Whose history, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The worker; one that was removed has a history too.
    pub(crate) worker: String,
    /// Only what happened since then: the number of an event, `10m`, `2h`, or an RFC 3339 time.
    #[arg(long, value_name = "TIME|SEQUENCE")]
    pub(crate) since: Option<String>,
    /// The latest of it only.
    #[arg(long, value_name = "N", default_value = "100", value_parser = count, allow_negative_numbers = true)]
    pub(crate) limit: usize,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// Between which moments.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The earlier moment: the number of an event, `10m`, `2h`, or an RFC 3339 time.
    #[arg(long, value_name = "TIME|SEQUENCE")]
    pub(crate) from: String,
    /// The later one; now without it.
    #[arg(long, value_name = "TIME|SEQUENCE")]
    pub(crate) to: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// What is played, and how far.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The file that `events --export` wrote, or `-` for standard input.
    pub(crate) file: PathBuf,
    /// The last moment that is played: the number of an event, `10m`, `2h`, or an RFC 3339
    /// time; all of it without one.
    #[arg(long, value_name = "TIME|SEQUENCE", value_parser = until, allow_negative_numbers = true)]
    pub(crate) until: Option<Until>,
    /// How to print it.
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
