//! `hsu-cost`: what a master takes of the CPUs for workers that do nothing, and how long the
//! next one takes until it looks after them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hsu_testkit::cost::{Checks, Cost, Share};

/// Starts workers that do nothing, and says what looking after them costs, by role and thread.
#[derive(Debug, Parser)]
#[command(name = "cost", bin_name = "cargo xtask cost --", version)]
struct Options {
    /// Workers.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workers: u32,
    /// Give them limits: memory, CPU and processes, looked at every 10 s, remembered every 30 s.
    #[arg(long)]
    limits: bool,
    /// Check each of them every 10 s.
    #[arg(long, value_enum, default_value_t = Kind::None)]
    checks: Kind,
    /// Let them fail at once instead of sleeping, so that the breaker of each is open.
    #[arg(long, conflicts_with_all = ["limits", "checks"])]
    tripped: bool,
    /// Kill the master so many times, and say how long it takes until the next one tells of
    /// every worker.
    #[arg(long, value_name = "KILLS", conflicts_with_all = ["checks", "seconds", "bar"])]
    take_over: Option<u32>,
    /// Which cgroups hold them: auto, v2, v1 or none.
    #[arg(long, value_enum, default_value_t = Trees::Auto)]
    cgroups: Trees,
    /// Wait so many seconds before measuring, and before each kill.
    #[arg(long, default_value_t = 20)]
    settle: u64,
    /// Measure for so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The most that the master may take, in milliseconds of CPU a second; more is a failure.
    #[arg(long)]
    bar: Option<f64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    None,
    Http,
    Tcp,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Trees {
    Auto,
    V2,
    V1,
    None,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let cost = Cost {
        workers: options.workers,
        limits: options.limits,
        checks: match options.checks {
            Kind::None => Checks::None,
            Kind::Http => Checks::Http,
            Kind::Tcp => Checks::Tcp,
        },
        tripped: options.tripped,
        cgroups: match options.cgroups {
            Trees::Auto => "auto",
            Trees::V2 => "v2",
            Trees::V1 => "v1",
            Trees::None => "none",
        },
        settle: Duration::from_secs(options.settle),
        span: Duration::from_secs(options.seconds),
    };
    let measured = match options.take_over {
        Some(kills) => cost.take_over(kills).map(|times| tell_times(&times)),
        None => cost.run().map(|shares| tell_shares(&shares, options.bar)),
    };
    measured.unwrap_or_else(|error| {
        eprintln!("cost: {error}");
        ExitCode::FAILURE
    })
}

fn tell_shares(shares: &[Share], bar: Option<f64>) -> ExitCode {
    shares.iter().for_each(|share| println!("{share}"));
    let master = shares.first().map_or(0.0, Share::total);
    match bar {
        Some(bar) if master > bar => {
            println!("cost: {master:.2} ms a second is above the bar of {bar}");
            ExitCode::FAILURE
        }
        Some(_) | None => ExitCode::SUCCESS,
    }
}

fn tell_times(times: &[Duration]) -> ExitCode {
    let milliseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!(
        "{} masters killed; every worker is told of after {:.0} ms (p50), {:.0} ms at most",
        times.len(),
        milliseconds(times.get(times.len() / 2)),
        milliseconds(times.last()),
    );
    ExitCode::SUCCESS
}
