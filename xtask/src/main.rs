//! Chores of the house: `cargo xtask tidy`, `test`, `deny`, `check-all-os`,
//! `chaos`, `cost`, `faults`, `fuzz`, `mutants`, `limits-v2`, `simulate`, `museum`, `store-faults`, `coverage`, `soak`, `bench`.
//!
//! `cargo xtask test` is the whole gate: what it accepts may land. Each of its
//! steps can be run alone with `--only`. Nothing here is part of the product.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program, and its output is its job"
)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod check_all_os;
mod command;
mod coverage;
mod debian;
mod deny;
mod fuzz;
mod gate;
mod limits_guest;
mod mutants;
mod python;
mod simulation;
mod store_faults;
mod tidy;
mod tool;
mod workbench;
mod workspace;

/// Chores of the house.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Check the rules of the house that no compiler checks.
    Tidy,
    /// Install what the tests need and run the whole gate.
    Test(gate::Arguments),
    /// Check licences, bans and sources of everything we depend on.
    Deny,
    /// Type-check the product for every platform.
    CheckAllOs(check_all_os::Arguments),
    /// Kill roles of a running master and say what was hurt.
    Chaos(workbench::Arguments),
    /// Take descriptors, memory, disks, the right time and more from a running master.
    Faults(workbench::Arguments),
    /// Run many workers for a long time and say what grows.
    Soak(workbench::Arguments),
    /// Run the tests of limits on a kernel whose cgroup v2 has every controller.
    #[command(name = "limits-v2")]
    LimitsV2(limits_guest::Arguments),
    /// Measure what looking after many workers costs a running master.
    Cost(workbench::Arguments),
    /// Change the core in small ways and say which change no test notices.
    Mutants(mutants::Arguments),
    /// Try on the real store what power, a disk that refuses and a disk that rots can do.
    StoreFaults(store_faults::Arguments),
    /// Fuzz every reader of what others wrote.
    Fuzz(fuzz::Arguments),
    /// Run every test on instrumented programs and say which lines none reaches.
    Coverage(coverage::Arguments),
    /// Live through many short lives of HSU Master, each made of a seed.
    Simulate(simulation::Arguments),
    /// Switch on bugs that others had, one at a time, and say whether each is found.
    Museum(simulation::Arguments),
    /// Measure HSU Master beside its peers, by the comparison harness.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does the chore; says whether all is well.
fn run() -> Result<bool> {
    let root = workspace::root();
    match Arguments::parse().chore {
        Chore::Tidy => tidy::run(&root),
        Chore::Test(arguments) => gate::run(&root, &arguments),
        Chore::Deny => deny::run(&root).map(|()| true),
        Chore::CheckAllOs(arguments) => check_all_os::run(&root, &arguments).map(|()| true),
        Chore::Chaos(arguments) => workbench::run(&root, "hsu-chaos", &arguments),
        Chore::Faults(arguments) => workbench::run(&root, "hsu-faults", &arguments),
        Chore::Soak(arguments) => workbench::run(&root, "hsu-soak", &arguments),
        Chore::LimitsV2(arguments) => limits_guest::run(&root, &arguments),
        Chore::Cost(arguments) => workbench::run(&root, "hsu-cost", &arguments),
        Chore::Coverage(arguments) => coverage::run(&root, &arguments),
        Chore::Mutants(arguments) => mutants::run(&root, &arguments),
        Chore::StoreFaults(arguments) => store_faults::run(&root, &arguments),
        Chore::Fuzz(arguments) => fuzz::run(&root, &arguments),
        Chore::Simulate(arguments) => simulation::simulate(&root, &arguments),
        Chore::Museum(arguments) => simulation::museum(&root, &arguments),
        Chore::Bench(arguments) => bench::run(&root, &arguments),
    }
}
