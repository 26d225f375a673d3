//! The binary `hsu-crash`: tries what a disk can do to the store, and says what was lost.
#![expect(clippy::print_stdout, reason = "it is a program, and its output is its job")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use hsu_crash::image::Image;
use hsu_crash::power::FailedSyncs;
use hsu_crash::report::Report;
use hsu_crash::script::{self, Script};
use hsu_crash::{power, refusal, rot};

/// Tries on the real store what a loss of power, a disk that refuses and a disk that
/// rots can do. Exit code 1: something that was acknowledged is lost, or worse.
#[derive(Debug, Parser)]
#[command(name = "hsu-crash", version)]
struct Arguments {
    #[command(subcommand)]
    campaign: Campaign,
}

#[derive(Debug, Subcommand)]
enum Campaign {
    /// All campaigns, one after the other, on every image.
    All {
        #[command(flatten)]
        script: Script,
    },
    /// Fail the power after each call of a script.
    Power {
        #[command(flatten)]
        script: Script,
        /// What was there before; every kind without it.
        #[arg(long, value_enum)]
        on: Option<Image>,
        /// States of each moment at most, besides a kill.
        #[arg(long, default_value_t = 12)]
        losses: usize,
        /// Of so many moments one is tried, at random; 1 is all of them.
        #[arg(long, default_value_t = 1)]
        every: usize,
        /// Let the disk forget every sync: the campaign must find it.
        #[arg(long)]
        forgotten_syncs: bool,
        /// Let the disk refuse these syncs of each thread: `3`, `3..6`, or each fifth with
        /// `3..30+5`.
        #[arg(long, value_name = "N[..M[+S]]")]
        failed_syncs: Option<FailedSyncs>,
    },
    /// Refuse the n-th call of a script, for each n.
    Refusals {
        #[command(flatten)]
        script: Script,
        /// What was there before; every kind without it.
        #[arg(long, value_enum)]
        on: Option<Image>,
        /// Of so many calls one is refused; 1 is each of them.
        #[arg(long, default_value_t = 1)]
        every: u64,
    },
    /// Flip bits and cut files.
    Rot {
        /// Repeats the same choice of bits and lengths.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Of so many bits and lengths one is tried, at random; 1 is each of them.
        #[arg(long, default_value_t = 100)]
        every: usize,
    },
    /// Do the operations of a script; the campaigns run it.
    #[command(hide = true, name = "script")]
    Perform {
        folder: PathBuf,
        #[command(flatten)]
        script: Script,
    },
}

fn main() -> Result<ExitCode> {
    let program = std::env::current_exe()?;
    let report: Report = match Arguments::parse().campaign {
        Campaign::Perform { folder, script } => {
            script::run(script, &folder, &mut std::io::stdout())?;
            return Ok(ExitCode::SUCCESS);
        }
        Campaign::Power { script, on, losses, every, forgotten_syncs, failed_syncs } => {
            let plan = power::Plan { script, losses, every, forgotten_syncs, failed_syncs };
            each(on, |image| fail_power(&program, image, plan))?
        }
        Campaign::Refusals { script, on, every } => {
            let plan = refusal::Plan { script, every };
            each(on, |image| refuse(&program, image, plan))?
        }
        Campaign::All { script } => {
            let mut all = Report::default();
            for failed_syncs in power_failures() {
                let plan = power::Plan {
                    script,
                    losses: 12,
                    every: 1,
                    forgotten_syncs: false,
                    failed_syncs,
                };
                all.add(each(None, |image| fail_power(&program, image, plan))?);
            }
            println!("power: {all}");
            let plan = refusal::Plan { script, every: 1 };
            let refusals = each(None, |image| refuse(&program, image, plan))?;
            println!("refusals: {refusals}");
            all.add(refusals);
            let rot = rot::run(rot::Plan { seed: script.seed, every: 60 })?;
            println!("rot: {rot}");
            all.add(rot);
            all
        }
        Campaign::Rot { seed, every } => rot::run(rot::Plan { seed, every })?,
    };
    println!("{report}");
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The syncs that fail before the power does.
fn power_failures() -> impl Iterator<Item = Option<FailedSyncs>> {
    let failed = |(first, last, step)| Some(FailedSyncs { first, last, step });
    let single = [1, 2, 3, 4, 5, 7].map(|only| (only, only, 1));
    let many = [(2, 4, 1), (3, 7, 1), (3, 30, 2), (3, 30, 3), (3, 30, 4), (3, 30, 5)];
    [None].into_iter().chain(single.into_iter().chain(many).map(failed))
}

fn fail_power(program: &Path, image: Image, plan: power::Plan) -> Result<Report> {
    let (files, promise) = image.make()?;
    power::run(program, &files, promise, plan)
}

fn refuse(program: &Path, image: Image, plan: refusal::Plan) -> Result<Report> {
    let (files, promise) = image.make()?;
    refusal::run(program, &files, promise, plan)
}

/// Runs a campaign on one image, or on each.
fn each(on: Option<Image>, run: impl Fn(Image) -> Result<Report>) -> Result<Report> {
    let mut all = Report::default();
    for image in Image::ALL.into_iter().filter(|image| on.is_none_or(|on| on == *image)) {
        let report = run(image)?;
        println!("{image:?}: {} tried, {} findings", report.tried, report.findings.len());
        all.add(report);
    }
    Ok(all)
}
