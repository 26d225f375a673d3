//! `hsu-simulator`: runs schedules by number, and replays the one that broke a promise.
#![expect(clippy::print_stdout, reason = "it is a program, and its output is its job")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hsu_testkit::simulator::{Bug, Campaign, Exhibit, Scope, replay, run_campaign, tell};

/// A seventh of a life is asking for memory and giving it back.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Live through many short lives of HSU Master and say which promise broke.
#[derive(Debug, Parser)]
#[command(name = "hsu-simulator")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run schedules.
    Simulate(Simulate),
    /// Switch on each bug of the museum, and say whether it is found.
    Museum(Museum),
}

#[derive(Debug, clap::Args)]
struct Simulate {
    /// How many schedules.
    #[arg(long, default_value_t = 1_000_000)]
    schedules: u64,
    /// The seed of the first one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run this seed only, and tell it step by step.
    #[arg(long)]
    replay: Option<u64>,
    /// Only rivers, in which the pump carries bytes into spools.
    #[arg(long)]
    rivers: bool,
    /// How many at the same time; one for each core when it is not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Go on after a finding, and count findings by promise.
    #[arg(long)]
    survey: bool,
    /// Print the cells of the coverage table that were missed.
    #[arg(long)]
    missed: bool,
}

#[derive(Debug, clap::Args)]
struct Museum {
    /// The seed of the first schedule.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this bug, and the schedule that finds it.
    #[arg(long)]
    bug: Option<String>,
    /// How many schedules may pass until a bug is found: ten seconds of one core.
    #[arg(long, default_value_t = 150_000)]
    within: u64,
}

fn main() -> ExitCode {
    match Arguments::parse().what {
        What::Museum(museum) => visit(&museum),
        What::Simulate(simulate) => run(&simulate),
    }
}

fn run(arguments: &Simulate) -> ExitCode {
    let scope = if arguments.rivers { Scope::Rivers } else { Scope::Everything };
    if let Some(seed) = arguments.replay {
        return again(seed, None, scope);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores);
    let (schedules, seed) = (arguments.schedules, arguments.seed);
    let survey = arguments.survey;
    let report = run_campaign(&Campaign { schedules, seed, jobs, bug: None, survey, scope });
    if let Some((seed, _)) = &report.broken {
        let code = again(*seed, None, scope);
        let rivers = if arguments.rivers { "--rivers " } else { "" };
        println!("replay: cargo xtask simulate {rivers}--replay {seed}");
        println!("simulate: seed {seed} broke a promise after {} schedules", report.schedules);
        return code;
    }
    for (promise, (count, seed)) in &report.survey {
        println!("{promise}: broken {count} times, first by seed {seed}");
    }
    let misjudged = report.coverage.misjudged();
    for cell in &misjudged {
        println!("simulate: {cell} is hit, and named as out of reach");
    }
    let (hit, all, missed) = report.coverage.count();
    if arguments.missed {
        missed.iter().for_each(|cell| println!("missed: {cell}"));
    }
    let broken: u64 = report.survey.values().map(|(count, _)| count).sum();
    let per_minute = report.schedules as f64 / report.seconds * 60.0 / jobs as f64;
    let per_processor = report.schedules as f64 / report.processor_seconds * 60.0;
    println!(
        "simulate: {} schedules, {} steps, among them {} rivers with {} calls of the disk and {} \
         pumps killed, seeds from {seed}, {broken} promises broken; {:.1} s, \
         {per_minute:.0} schedules a minute and core, {per_processor:.0} a minute of processor time; \
         coverage {hit} of {all} cells, {:.2} %",
        report.schedules,
        report.steps,
        report.rivers,
        report.calls,
        report.kills,
        report.seconds,
        hit as f64 * 100.0 / all as f64,
    );
    if misjudged.is_empty() && broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn visit(arguments: &Museum) -> ExitCode {
    if let Some(name) = &arguments.bug {
        let Some(bug) = Bug::named(name) else {
            println!("museum: no bug is called {name}");
            return ExitCode::FAILURE;
        };
        let report = search(bug, arguments);
        let Some((seed, _)) = report.broken else {
            println!("museum: {name} is not found in {} schedules", report.schedules);
            return ExitCode::FAILURE;
        };
        let _ = again(seed, Some(bug), Scope::Everything);
        println!("museum: {name} is found by seed {seed}, after {} schedules", report.schedules);
        return ExitCode::SUCCESS;
    }
    let mut missed = 0;
    let mut slowest = 0.0_f64;
    for Exhibit { bug, name, source, what } in Bug::ALL {
        let report = search(bug, arguments);
        slowest = slowest.max(report.seconds);
        match &report.broken {
            Some((seed, findings)) => {
                let by = findings.first().map_or("", |finding| finding.invariant);
                println!(
                    "{name}: {by} by seed {seed} after {} schedules, {:.2} s ({source}: {what})",
                    report.schedules, report.seconds
                );
            }
            None => {
                missed += 1;
                println!("{name}: NOT FOUND in {:.1} s ({source}: {what})", report.seconds);
            }
        }
    }
    let all = Bug::ALL.len();
    println!("museum: {} of {all} bugs found, the slowest in {slowest:.1} s", all - missed);
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn search(bug: Bug, arguments: &Museum) -> hsu_testkit::simulator::Report {
    let (schedules, seed) = (arguments.within, arguments.seed);
    let scope = Scope::Everything;
    run_campaign(&Campaign { schedules, seed, jobs: 1, bug: Some(bug), survey: false, scope })
}

fn again(seed: u64, bug: Option<Bug>, scope: Scope) -> ExitCode {
    let Some(story) = replay(seed, bug, scope) else {
        println!("{}", tell(seed, scope));
        println!("simulate: seed {seed} breaks no promise");
        return ExitCode::SUCCESS;
    };
    println!("{}", story.text);
    for finding in &story.findings {
        println!("BROKEN {}: {}", finding.invariant, finding.what);
    }
    let (before, after) = story.lengths;
    println!("seed {seed}: {after} of {before} actions are needed");
    ExitCode::FAILURE
}
