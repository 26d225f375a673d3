//! `hsu-chaos`: kills roles of a running master and says what was hurt.
//!
//! Exit code 1 when anything was. The last line holds the figures.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hsu_testkit::Role;
use hsu_testkit::chaos::{Campaign, Strike, Toll};

/// Kills, hangs or replaces roles of a running master at random moments and says what was hurt.
#[derive(Debug, Parser)]
#[command(name = "chaos", bin_name = "cargo xtask chaos", version)]
struct Options {
    /// How many strikes.
    #[arg(long, default_value_t = 30)]
    kills: u32,
    /// What is done.
    #[arg(long, value_enum, default_value_t = Kind::Kill)]
    strike: Kind,
    /// Which role is killed; without it, each kill chooses one of the three.
    #[arg(long, value_enum)]
    victim: Option<Victim>,
    /// Workers that write numbered lines.
    #[arg(long, default_value_t = 10)]
    writers: u32,
    /// Workers that answer on a TCP port.
    #[arg(long, default_value_t = 3)]
    servers: u32,
    /// Workers that end again and again with a code of their own.
    #[arg(long, default_value_t = 5)]
    enders: u32,
    /// The longest time between two kills, in milliseconds.
    #[arg(long, default_value_t = 300)]
    pause: u64,
    /// The seed of all choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP to the master; the keeper notices within 40 seconds.
    Hang,
    /// The master is replaced in place by another build.
    Upgrade,
    /// The same, and every master is killed in the middle of it.
    TornUpgrade,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Victim {
    Master,
    Keeper,
    Pump,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let victims = match options.victim {
        None => Role::ALL.to_vec(),
        Some(Victim::Master) => vec![Role::Master],
        Some(Victim::Keeper) => vec![Role::Keeper],
        Some(Victim::Pump) => vec![Role::Pump],
    };
    let strikes = match options.strike {
        Kind::Kill => victims.into_iter().map(Strike::Kill).collect(),
        Kind::Hang => vec![Strike::Hang],
        Kind::Upgrade => vec![Strike::Upgrade],
        Kind::TornUpgrade => vec![Strike::TornUpgrade],
    };
    let campaign = Campaign {
        strikes,
        count: options.kills,
        writers: options.writers,
        servers: options.servers,
        enders: options.enders,
        pause: Duration::from_millis(options.pause),
        seed: options.seed,
    };
    match campaign.run() {
        Ok(toll) => report(&toll, options.seed),
        Err(error) => {
            eprintln!("chaos (seed {}): {error}", options.seed);
            ExitCode::FAILURE
        }
    }
}

fn report(toll: &Toll, seed: u64) -> ExitCode {
    for text in toll.disturbed.iter().chain(&toll.wrong_exits).take(20) {
        println!("{text}");
    }
    println!(
        "seed {seed}: {} strikes; workers disturbed {}; requests {} failed {}; lines {} lost {} \
         doubled {} torn {}; exits {} unknown {} wrong {}; answers again after p50 {:?} p99 {:?} max {:?}",
        toll.strikes,
        toll.disturbed.len(),
        toll.requests,
        toll.failed_requests,
        toll.lines.good,
        toll.lines.lost,
        toll.lines.duplicated,
        toll.lines.torn,
        toll.exits,
        toll.unknown_exits,
        toll.wrong_exits.len(),
        toll.recovery(0.5),
        toll.recovery(0.99),
        toll.recovery(1.0),
    );
    if toll.is_nothing() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
