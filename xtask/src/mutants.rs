//! Mutants: every small change of the core must be noticed by its tests.
//!
//! `cargo-mutants` swaps comparisons, drops statements and replaces results, one
//! at a time, and runs the tests of `hsu-core` on each. A mutant that survives is
//! a behaviour that no test asks for; each is argued in [`PAGE`], or it is a
//! finding. Random schedules run with a fixed seed, so that a run can be repeated.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{self, cargo};
use crate::tool::{Tool, output_folder};

/// Where survivors are argued, from the root.
const PAGE: &str = "docs/reference/mutants.md";
const TOOL: Tool = Tool { name: "mutants", package: "cargo-mutants", version: "27.1.0" };
/// Each mutant is built once and run for a second: what an optimiser takes never comes back,
/// and of many small units only those that changed are built anew.
const QUICK_BUILD: [&str; 2] = [
    "--config=profile.dev.package.hsu-core.opt-level=0",
    "--config=profile.dev.package.hsu-core.codegen-units=64",
];
/// Random schedules for each mutant that the other tests let live: half a second of them.
const SCHEDULES: &str = "1000";

/// Which mutants are tried.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only mutants of these files, such as `crates/hsu-core/src/rate.rs`; may be repeated.
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Only mutants of lines that differ from this commit.
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,
    /// Only each N-th mutant, beginning with the K-th from 0, written `K/N`: a sample of the
    /// whole, or its part on one of several machines.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// The least share of viable mutants that is killed, in percent.
    #[arg(long, default_value_t = 95.0)]
    bar: f64,
    /// The seed of the random schedules.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where cargo-mutants writes; by default a folder that goes at the end.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// What became of the mutants, by name without line numbers.
#[derive(Debug, Default)]
struct Outcome {
    killed: usize,
    survivors: Vec<String>,
    unviable: usize,
}

/// Runs the mutants; says whether enough were killed and every survivor is argued.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    TOOL.install()?;
    let folder = arguments.output.clone().unwrap_or_else(|| output_folder("mutants"));
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let ran = try_all(root, arguments, &folder).and_then(|()| read(&folder.join("mutants.out")));
    if arguments.output.is_none() {
        // A folder for temporary files that stays behind is no failure.
        drop(fs::remove_dir_all(&folder));
    }
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let is_chosen = !arguments.file.is_empty() || arguments.since.is_some();
    let is_whole = !is_chosen && arguments.shard.is_none();
    Ok(judge(&ran?, &argued(&page), is_whole, arguments.bar))
}

fn try_all(root: &Path, arguments: &Arguments, folder: &Path) -> Result<()> {
    let mut mutants = cargo();
    mutants
        .current_dir(root)
        .args(["mutants", "--package", "hsu-core", "--jobs", "1", "--no-shuffle", "--colors=never"])
        .args(QUICK_BUILD.iter().flat_map(|option| ["--cargo-arg", option]))
        .arg("--output")
        .arg(folder)
        .env("PROPTEST_CASES", SCHEDULES)
        .env("PROPTEST_RNG_SEED", arguments.seed.to_string())
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    for file in &arguments.file {
        mutants.args(["--file", file]);
    }
    if let Some(shard) = &arguments.shard {
        mutants.args(["--sharding", "round-robin", "--shard", shard]);
    }
    if let Some(commit) = &arguments.since {
        let mut git = Command::new("git");
        git.current_dir(root).args(["diff", commit, "--", "crates/hsu-core"]);
        let difference = folder.join("since.diff");
        fs::write(&difference, command::output(&mut git)?)?;
        mutants.arg("--in-diff").arg(difference);
    }
    mutants.args(["--", "--tests"]);
    let status = mutants.status().context("run cargo mutants")?;
    match status.code() {
        // Survivors and timeouts have codes of their own; both are judged by us.
        Some(0 | 2 | 3) => Ok(()),
        _ => bail!("cargo mutants ended with {status} (hint: do the tests pass without mutants?)"),
    }
}

fn read(folder: &Path) -> Result<Outcome> {
    let lines = |name: &str| -> Result<Vec<String>> {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    // Tests that never end have noticed the mutant too.
    let killed = lines("caught.txt")?.len() + lines("timeout.txt")?.len();
    let survivors = lines("missed.txt")?.iter().map(|line| without_place(line)).collect();
    Ok(Outcome { killed, survivors, unviable: lines("unviable.txt")?.len() })
}

/// `FILE:LINE:COLUMN: CHANGE` as `FILE: CHANGE`, which stays when lines move.
fn without_place(line: &str) -> String {
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(change)) => format!("{file}:{change}"),
        _ => line.to_owned(),
    }
}

/// The survivors that the page argues: the first column of its table, in code marks.
fn argued(page: &str) -> BTreeSet<String> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `"));
    cells.filter_map(|rest| rest.split_once("` |")).map(|(name, _)| name.to_owned()).collect()
}

fn judge(outcome: &Outcome, argued: &BTreeSet<String>, is_whole: bool, bar: f64) -> bool {
    let survivors: BTreeSet<&String> = outcome.survivors.iter().collect();
    let unargued: Vec<_> = survivors.iter().filter(|name| !argued.contains(**name)).collect();
    for name in &unargued {
        println!("survives, and is not argued in {PAGE}: {name}");
    }
    let dead: Vec<_> = argued.iter().filter(|name| !survivors.contains(name)).collect();
    if is_whole {
        for name in &dead {
            println!("argued in {PAGE}, and does not survive: {name}");
        }
    }
    let viable = outcome.killed + outcome.survivors.len();
    let share = share(outcome.killed, viable);
    println!(
        "mutants of hsu-core: {viable} viable, {} killed ({share:.1} %), {} survive, {} of them \
         argued; {} do not compile",
        outcome.killed,
        outcome.survivors.len(),
        survivors.len() - unargued.len(),
        outcome.unviable,
    );
    // A diff may touch lines that are argued; only the whole is held to the bar.
    unargued.is_empty() && (!is_whole || (share >= bar && dead.is_empty()))
}

/// In percent; of nothing, everything.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 100.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of lines are far below 2^52")]
    let share = part as f64 * 100.0 / whole as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "crates/hsu-core/src/rate.rs: replace < with <= in Limiter::reserve";

    fn outcome(killed: usize, survivors: &[&str]) -> Outcome {
        let survivors = survivors.iter().map(|name| (*name).to_owned()).collect();
        Outcome { killed, survivors, unviable: 0 }
    }

    #[test]
    fn a_mutant_keeps_its_name_when_lines_move() {
        let line = "crates/hsu-core/src/rate.rs:34:9: replace < with <= in Limiter::reserve";
        assert_eq!(without_place(line), NAME);
    }

    #[test]
    fn a_survivor_that_nobody_argues_is_a_finding() {
        let page = format!("| mutant | why |\n|---|---|\n| `{NAME}` | equivalent |\n");
        assert!(judge(&outcome(99, &[NAME]), &argued(&page), true, 95.0));
        assert!(!judge(&outcome(99, &[NAME]), &BTreeSet::new(), true, 95.0));
    }

    #[test]
    fn too_many_survivors_are_a_finding_even_when_argued() {
        let known = BTreeSet::from([NAME.to_owned()]);
        assert!(!judge(&outcome(9, &[NAME]), &known, true, 95.0));
        assert!(judge(&outcome(9, &[NAME]), &known, false, 95.0), "a part is not held to the bar");
    }

    #[test]
    fn an_argument_without_a_survivor_is_a_finding() {
        let known = BTreeSet::from([NAME.to_owned()]);
        assert!(!judge(&outcome(100, &[]), &known, true, 95.0));
        assert!(judge(&outcome(100, &[]), &known, false, 95.0));
    }
}
