//! `hsu-chaos`: campaigns against a running master, and what they hurt.
//!
//! Exit code 1 when anything was hurt. The last line of each campaign holds its figures.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hsu_testkit::chaos::{
    Families, Frozen, Hangs, Host, Load, Manner, Pids, Report, Roles, Slots, Upgrades,
};
use hsu_testkit::{Role, TestError};

/// Kills, freezes and replaces a running master, its keeper, its pump and its
/// workers at random moments, and says what was hurt.
#[derive(Debug, Parser)]
#[command(name = "chaos", bin_name = "cargo xtask chaos", version)]
struct Options {
    /// What is tried; `all` is each in turn.
    #[arg(long, value_enum, default_value_t = Campaign::Roles)]
    campaign: Campaign,
    /// How many kills; for the others upgrades, hangs, ends of families.
    #[arg(long, default_value_t = 30)]
    kills: u32,
    /// Which role is killed or frozen; without it, each time one of the three.
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
    /// Workers that are ordered about, where a campaign does that.
    #[arg(long, default_value_t = 3)]
    slots: u32,
    /// The longest time between two kills, in milliseconds.
    #[arg(long, default_value_t = 300)]
    pause: u64,
    /// Of so many ends of families one is that of a bomb of 3,000 processes.
    #[arg(long, default_value_t = 30)]
    bomb_every: u32,
    /// Fleets that hang side by side.
    #[arg(long, default_value_t = 15)]
    side_by_side: u32,
    /// The seed of all choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    Master,
    Keeper,
    Pump,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Campaign {
    /// Roles are killed under load (R1 to R4).
    Roles,
    /// One master takes over from another, back and forth (R5).
    Upgrades,
    /// PIDs are another's a moment later (R6).
    Pids,
    /// Families and fork bombs are ended, with cgroups and without (R7).
    Families,
    /// Roles are killed while workers are ordered about (R8).
    Slots,
    /// Workers and roles are stopped by SIGSTOP (R28).
    Frozen,
    /// A master stands still and is replaced by its keeper (R30).
    Hangs,
    /// Each of them.
    All,
}

/// Every campaign, in the order of their promises.
const EACH: [Campaign; 7] = [
    Campaign::Roles,
    Campaign::Upgrades,
    Campaign::Pids,
    Campaign::Families,
    Campaign::Slots,
    Campaign::Frozen,
    Campaign::Hangs,
];

fn main() -> ExitCode {
    let options = Options::parse();
    if options.run(options.campaign) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Options {
    /// Runs one campaign; whether nothing was hurt.
    fn run(&self, campaign: Campaign) -> bool {
        match campaign {
            Campaign::Roles => self.tell("roles", self.roles().run()),
            Campaign::Upgrades => self.tell("upgrades", self.upgrades().run()),
            Campaign::Pids => self.tell("pids", self.pids().run()),
            Campaign::Families => {
                let with = self.tell("families", self.families(Host::AsItIs).run());
                self.tell("families", self.families(Host::WithoutCgroups).run()) && with
            }
            Campaign::Slots => self.tell("slots", self.slots().run()),
            Campaign::Frozen => self.tell("frozen", self.frozen().run()),
            Campaign::Hangs => self.tell("hangs", self.hangs().run()),
            Campaign::All => EACH.into_iter().filter(|one| !self.run(*one)).count() == 0,
        }
    }

    fn tell(&self, name: &str, result: Result<Report, TestError>) -> bool {
        match result {
            Ok(report) => {
                for finding in report.findings.iter().take(20) {
                    println!("{finding}");
                }
                println!("{name} (seed {}): {}", self.seed, report.totals);
                report.is_clean()
            }
            Err(error) => {
                eprintln!("{name} (seed {}): {error}", self.seed);
                false
            }
        }
    }

    fn victims(&self) -> Vec<Role> {
        match self.victim {
            None => Role::ALL.to_vec(),
            Some(Victim::Master) => vec![Role::Master],
            Some(Victim::Keeper) => vec![Role::Keeper],
            Some(Victim::Pump) => vec![Role::Pump],
        }
    }

    fn load(&self) -> Load {
        let (writers, servers, enders) = (self.writers, self.servers, self.enders);
        Load { writers, servers, enders, ..Load::default() }
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.pause)
    }

    fn roles(&self) -> Roles {
        let (victims, kills, seed) = (self.victims(), self.kills, self.seed);
        Roles { victims, kills, load: self.load(), pause: self.pause(), seed }
    }

    fn upgrades(&self) -> Upgrades {
        let (upgrades, slots, seed) = (self.kills, self.slots, self.seed);
        let manners = Manner::all();
        Upgrades { upgrades, manners, load: self.load(), slots, pause: self.pause(), seed }
    }

    fn pids(&self) -> Pids {
        let pause = self.pause() / 10;
        Pids { kills: self.kills, workers: 6, strangers: 20, pause, seed: self.seed }
    }

    fn families(&self, host: Host) -> Families {
        let (kills, bombs) = (self.kills, self.kills / self.bomb_every.max(1));
        let load = Load { enders: 0, ..self.load() };
        Families { kills, bombs, size: 3000, host, load, seed: self.seed }
    }

    fn slots(&self) -> Slots {
        let (victims, kills, seed) = (self.victims(), self.kills, self.seed);
        let workers = self.slots;
        Slots { victims, kills, workers, load: self.load(), pause: self.pause(), seed }
    }

    fn frozen(&self) -> Frozen {
        let (victims, kills, seed) = (self.victims(), self.kills, self.seed);
        Frozen { victims, kills, load: self.load(), pause: self.pause(), seed }
    }

    fn hangs(&self) -> Hangs {
        let rest = Duration::from_millis(50);
        let load = Load { writers: 1, rate: 20, servers: 1, rest, enders: 0 };
        Hangs { hangs: self.kills, side_by_side: self.side_by_side, load, seed: self.seed }
    }
}
