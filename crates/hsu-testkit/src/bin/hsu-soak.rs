//! `hsu-soak`: many workers for a long time, and what grows meanwhile.
//!
//! Exit code 1 when something grew or was hurt. The last line holds the figures.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hsu_testkit::soak::Soak;

/// Runs many workers with churn and faults, and says how memory, descriptors and
/// threads of each role grow.
#[derive(Debug, Parser)]
#[command(name = "soak", bin_name = "cargo xtask soak", version)]
struct Options {
    /// How long, in minutes.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Workers in all; 26 of them write, serve and end again and again.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(50..=10_000))]
    workers: u32,
    /// So many seconds of each life of a role do not count.
    #[arg(long, default_value_t = 180)]
    warm_up: u64,
    /// The most that the memory of a role may grow by, in megabytes an hour.
    #[arg(long, default_value_t = 1.0)]
    most_megabytes: f64,
    /// The most that the descriptors or the threads of a role may grow by, an hour.
    #[arg(long, default_value_t = 1.0)]
    most_others: f64,
    /// The seed of all choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let soak = Soak {
        time: Duration::from_secs(options.minutes * 60),
        workers: options.workers,
        warm_up: Duration::from_secs(options.warm_up),
        most_megabytes: options.most_megabytes,
        most_others: options.most_others,
        seed: options.seed,
    };
    match soak.run() {
        Ok(report) => {
            for finding in report.findings.iter().take(20) {
                println!("FOUND {finding}");
            }
            println!("soak (seed {}): {}", options.seed, report.totals);
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("soak (seed {}): {error}", options.seed);
            ExitCode::FAILURE
        }
    }
}
