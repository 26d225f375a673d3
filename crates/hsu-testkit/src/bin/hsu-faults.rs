//! `hsu-faults`: what becomes of a running master on a host that lacks something.
//!
//! Exit code 1 when anything was hurt. The last line holds the figures.
#![expect(clippy::print_stdout, reason = "it is a program, and its output is its job")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use hsu_testkit::faults::{Fault, Form};

/// Takes descriptors, memory, room on disks, the right time, folders and honest
/// clients away from a running master, and says what was hurt.
#[derive(Debug, Parser)]
#[command(name = "faults", bin_name = "cargo xtask faults", version)]
struct Options {
    /// Only this fault; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = names())]
    only: Vec<String>,
    /// Minutes for each fault in place of seconds.
    #[arg(long)]
    long: bool,
    /// The seed of all choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Say what each fault is, and do nothing.
    #[arg(long)]
    list: bool,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(Fault::ALL.map(|fault| fault.name))
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        for fault in Fault::ALL {
            println!("{:12} {}", fault.name, fault.about);
        }
        return ExitCode::SUCCESS;
    }
    let is_wanted = |fault: &Fault| {
        options.only.is_empty() || options.only.iter().any(|name| name == fault.name)
    };
    let form = if options.long { Form::Long } else { Form::Short };
    let (mut tried, mut findings) = (0, 0);
    for fault in Fault::ALL.into_iter().filter(is_wanted) {
        let begin = Instant::now();
        tried += 1;
        match fault.run(form, options.seed) {
            Ok(report) => {
                findings += report.findings.len();
                for finding in report.findings.iter().take(20) {
                    println!("{}: FOUND {finding}", fault.name);
                }
                let took = begin.elapsed();
                println!(
                    "{} (seed {}): {}; in {took:.1?}",
                    fault.name, options.seed, report.totals
                );
            }
            Err(error) => {
                findings += 1;
                println!("{}: FOUND {error}", fault.name);
            }
        }
    }
    println!("faults: {tried} tried, {findings} findings");
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
