//! The options: everything a test can ask of the dummy.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// A worker that misbehaves on request.
///
/// Times are `250ms`, `3s`, `2m`, `1h`, or a bare number of seconds. Without
/// options it waits for SIGTERM or SIGINT and exits 0.
#[derive(Debug, Parser)]
#[command(name = "hsu-dummy", version)]
pub(crate) struct Options {
    /// End by itself after this time, with `--exit-code` or `--exit-signal`; 0 is never.
    #[arg(long, value_parser = parse_time, default_value = "0", help_heading = "Life")]
    pub(crate) run_duration: Duration,
    /// Sleep before anything else.
    #[arg(long, value_parser = parse_time, default_value = "0", help_heading = "Life")]
    pub(crate) startup_delay: Duration,
    /// Crash after this time: by `--exit-signal`, else `--exit-code`, else code 1.
    #[arg(long, value_parser = parse_time, help_heading = "Life")]
    pub(crate) crash_after: Option<Duration>,
    /// Take this long to end after SIGTERM or SIGINT.
    #[arg(long, value_parser = parse_time, default_value = "0", help_heading = "Life")]
    pub(crate) shutdown_delay: Duration,
    /// The exit code at the end of `--run-duration` or at `--crash-after`.
    #[arg(long, default_value_t = 0, help_heading = "Life")]
    pub(crate) exit_code: u8,
    /// End by this signal instead of an exit code, such as 9 or 11.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=31), help_heading = "Life")]
    pub(crate) exit_signal: Option<i32>,
    /// Take SIGTERM and SIGINT without ending, and say so on standard error.
    #[arg(long, help_heading = "Life")]
    pub(crate) ignore_term: bool,
    /// Write the PID to this file, and remove it at an orderly end.
    #[arg(long, help_heading = "Life")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Append `PID SIGNAL` to this file for every signal that can be caught.
    #[arg(long, help_heading = "Life")]
    pub(crate) signal_log: Option<PathBuf>,
    /// Hold a lock on this file while alive; who finds it taken notes its run in FILE.twice.
    #[arg(long, value_name = "FILE", help_heading = "Life")]
    pub(crate) slot: Option<PathBuf>,

    /// Mount a file system here that never answers, and hold it.
    #[arg(long, value_name = "FOLDER", help_heading = "Load")]
    pub(crate) dead_mount: Option<PathBuf>,
    /// Hold this much memory, every page touched, in MiB.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=16_384), help_heading = "Load")]
    pub(crate) memory_mb: u32,
    /// Take this much more each second, in MiB, at most 4096 MiB in all.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1024), help_heading = "Load")]
    pub(crate) memory_growth_rate: u32,
    /// Use this share of one core, in percent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "Load")]
    pub(crate) cpu_percent: u32,
    /// Write this much to a file of its own each second, in MiB, over and over.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1024), requires = "disk_file", help_heading = "Load")]
    pub(crate) disk_rate: u32,
    /// The file for `--disk-rate`; it never grows beyond one second of it.
    #[arg(long, value_name = "FILE", help_heading = "Load")]
    pub(crate) disk_file: Option<PathBuf>,
    /// Hold this many descriptors open, or as many as there are to be had.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000), help_heading = "Load")]
    pub(crate) open_files: u32,

    /// Start this many children each second, whether or not the kernel lets it, at most 5000.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000), help_heading = "Family")]
    pub(crate) fork_rate: u32,
    /// Start children: one in this group, one in its own session, one daemon.
    #[arg(long, help_heading = "Family")]
    pub(crate) fork_family: bool,
    /// Start a daemon and exit 0 at once, as services of old do.
    #[arg(long, help_heading = "Family")]
    pub(crate) daemonize: bool,
    /// Start a tree of this many processes, each in its own session, at most 5000.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5000), help_heading = "Family")]
    pub(crate) fork_bomb: u32,
    /// Keep this many short-lived strangers, each in a group of its own, that must end by themselves.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000), requires = "crowd_log", help_heading = "Family")]
    pub(crate) crowd: u32,
    /// Note every signal that a stranger got in this file, and the number of strangers in FILE.births.
    #[arg(long, value_name = "FILE", help_heading = "Family")]
    pub(crate) crowd_log: Option<PathBuf>,

    /// Write this many verifiable lines to each chosen stream; 0 is without end.
    #[arg(long, help_heading = "Output")]
    pub(crate) lines: Option<u64>,
    /// Lines a second on each stream; 0 is as fast as they go.
    #[arg(long, default_value_t = 0, help_heading = "Output")]
    pub(crate) rate: u32,
    /// The length of a line, its end included, in bytes.
    #[arg(long, default_value_t = 100, value_parser = parse_length, help_heading = "Output")]
    pub(crate) line_bytes: usize,
    /// Write endless lines as fast as they go, in blocks larger than a pipe.
    #[arg(long, help_heading = "Output")]
    pub(crate) flood: bool,
    /// Which streams get the lines.
    #[arg(long, value_enum, default_value_t = Streams::Stdout, help_heading = "Output")]
    pub(crate) streams: Streams,
    /// End the output with a piece of a line that has no line end.
    #[arg(long, help_heading = "Output")]
    pub(crate) partial_line: bool,
    /// Keep files in this folder that say how many lines were really written.
    #[arg(long, help_heading = "Output")]
    pub(crate) ledger: Option<PathBuf>,
    /// The name in the lines; by default one that no other run has.
    #[arg(long, help_heading = "Output")]
    pub(crate) writer: Option<String>,
    /// Write this text and a line end to standard output, first.
    #[arg(long, help_heading = "Output")]
    pub(crate) say: Vec<String>,
    /// Write the environment as one JSON object in one line.
    #[arg(long, help_heading = "Output")]
    pub(crate) echo_env: bool,
    /// Write who this process is as one JSON object in one line: ids, groups,
    /// umask, nice value, limits, descriptors, signals.
    #[arg(long, help_heading = "Output")]
    pub(crate) print_identity: bool,

    /// Answer HTTP on this loopback port with 200.
    #[arg(long, help_heading = "Service")]
    pub(crate) health_port: Option<u16>,
    /// Answer with 503 after this time.
    #[arg(long, value_parser = parse_time, help_heading = "Service")]
    pub(crate) fail_health_after: Option<Duration>,
    /// Send back what comes in on this loopback TCP port.
    #[arg(long, help_heading = "Service")]
    pub(crate) tcp_port: Option<u16>,
}

/// Which streams get the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Streams {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Both, each with numbers of its own.
    Both,
}

impl Streams {
    /// The letters of the streams in the lines.
    pub(crate) fn letters(self) -> &'static [char] {
        match self {
            Self::Stdout => &['o'],
            Self::Stderr => &['e'],
            Self::Both => &['o', 'e'],
        }
    }
}

/// The longest time that is taken: a year.
const LONGEST: f64 = 366.0 * 86_400.0;

fn parse_time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time (ms, s, m, h)")),
    };
    let value: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    let seconds = value * scale;
    if (0.0..=LONGEST).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not between 0 and a year".to_owned())
    }
}

fn parse_length(text: &str) -> Result<usize, String> {
    let range = hsu_testkit::lines::SHORTEST..=16 << 20;
    text.parse()
        .ok()
        .filter(|length| range.contains(length))
        .ok_or_else(|| format!("a line has {} to {} bytes", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Options::command().debug_assert();
    }

    #[test]
    fn times_are_read_with_and_without_unit() {
        for (text, milliseconds) in [("3", 3000), ("1.5", 1500), ("250ms", 250), ("2m", 120_000)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-1", "3d", "inf", "nan"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
