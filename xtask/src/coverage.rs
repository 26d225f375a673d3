//! Coverage: which lines the tests reach, for each crate.
//!
//! All tests of the workspace run on instrumented programs, in a target folder of
//! their own, and so does what the gate and the workbench do besides, in the shortest
//! form of each. The programs under test are killed all the time, so their counters
//! are mapped files that a SIGKILL does not lose (LLVM's continuous mode). Tests
//! themselves do not count as lines: not the `tests` folders, and not what follows
//! `#[cfg(test)]` in a file. The table goes into [`PAGE`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{self, cargo};
use crate::tool::Tool;
use crate::{debian, python, workspace};

/// Where the table is, from the root.
const PAGE: &str = "docs/reference/coverage.md";
const BEGIN: &str = "<!-- the table is written by `cargo xtask coverage` -->\n";
const END: &str = "<!-- end of the table -->\n";
const TOOL: Tool = Tool { name: "llvm-cov", package: "cargo-llvm-cov", version: "0.9.1" };
/// A counter is found by its place in a mapped file.
const MAPPED: &str = "-C llvm-args=-runtime-counter-relocation";
/// One file for each program and slot, mapped and shared by all its processes.
const PATTERN: &str = "%4m%c";

/// What runs besides the tests: programs that no test starts, each for a moment.
const PROGRAMS: [(&str, &[&str]); 14] = [
    ("xtask", &["test", "--only", "tidy", "--only", "fmt", "--only", "deny"]),
    ("xtask", &["simulate", "--schedules", "20000", "--jobs", "1"]),
    ("xtask", &["store-faults", "power", "--operations", "2", "--every", "50"]),
    ("xtask", &["coverage", "--help"]),
    ("hsu-simulator", &["simulate", "--replay", "1"]),
    ("hsu-simulator", &["simulate", "--schedules", "2000", "--survey", "--missed"]),
    ("hsu-simulator", &["museum", "--bug", "ForgetsEarly"]),
    ("hsu-crash", &["refusals", "--on", "killed", "--operations", "2", "--every", "20"]),
    ("hsu-crash", &["rot", "--every", "20000"]),
    ("hsu-faults", &["--list"]),
    ("hsu-faults", &["--only", "stop"]),
    ("hsu-chaos", &["--campaign", "roles", "--kills", "6"]),
    ("hsu-chaos", &["--campaign", "slots", "--kills", "3"]),
    (
        "hsu-soak",
        &[
            "--minutes",
            "1",
            "--workers",
            "50",
            "--warm-up",
            "5",
            "--most-megabytes",
            "1e9",
            "--most-others",
            "1e9",
        ],
    ),
];

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The least share of lines that tests reach, in percent.
    #[arg(long, default_value_t = 90.0)]
    bar: f64,
    /// Run only these tests, as `cargo nextest run` filters them; the page is left alone.
    #[arg(long, value_name = "FILTER")]
    tests: Vec<String>,
    /// Use what the last run has measured.
    #[arg(long)]
    again: bool,
    /// Name every line that no test reaches.
    #[arg(long)]
    missing: bool,
}

/// Lines of one crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    all: u32,
    reached: u32,
}

impl Lines {
    fn share(self) -> f64 {
        if self.all == 0 { 100.0 } else { f64::from(self.reached) * 100.0 / f64::from(self.all) }
    }
}

/// Measures; says whether enough lines are reached.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    TOOL.install()?;
    let target = workspace::target(root).join("coverage");
    fs::create_dir_all(&target)?;
    // Workers of tests are other users, and write their counters too.
    fs::set_permissions(&target, fs::Permissions::from_mode(0o777))?;
    let variables = surroundings(root, &target)?;
    let with = |words: &[&str]| {
        let mut cargo = cargo();
        cargo.current_dir(root).args(words).envs(variables.iter().map(|(n, v)| (n, v)));
        cargo.env("HSU_BINARIES_BUILT", "1");
        cargo
    };
    let mut is_passed = true;
    if !arguments.again {
        debian::install()?;
        python::install(&target)?;
        command::run(&mut with(&["llvm-cov", "clean", "--profraw-only"]))?;
        command::run(&mut with(&["build", "--workspace", "--all-targets", "--locked"]))?;
        let mut tests = with(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
        tests.args(&arguments.tests);
        // A test that fails where everything is slow has reached its lines all the same.
        is_passed = command::run(&mut tests).is_ok();
        if arguments.tests.is_empty() {
            is_passed &= run_programs(root, &target, &variables);
        }
    }
    let report = target.join("lines.info");
    command::run(with(&["llvm-cov", "report", "--lcov", "--output-path"]).arg(&report))
        .context("hint: `rustup component add llvm-tools`, or set LLVM_COV and LLVM_PROFDATA")?;
    let text = fs::read_to_string(&report)?;
    let files = read(root, &text)?;
    let crates = by_crate(&files);
    let table = table(&crates);
    print!("{table}");
    if arguments.missing {
        for (file, lines) in &files {
            let missing: Vec<String> = lines
                .iter()
                .filter(|(_, count)| **count == 0)
                .map(|(l, _)| l.to_string())
                .collect();
            println!(
                "{}: {} of {}: {}",
                file.display(),
                missing.len(),
                lines.len(),
                missing.join(" ")
            );
        }
    }
    if arguments.tests.is_empty() && is_passed {
        write(root, &table)?;
    }
    let total = total(crates.values());
    println!(
        "coverage: {} of {} lines reached ({:.1} %), the bar is {:.1} %{}",
        total.reached,
        total.all,
        total.share(),
        arguments.bar,
        if is_passed { "" } else { "; some tests failed" },
    );
    Ok(is_passed && total.share() >= arguments.bar)
}

/// Runs each of [`PROGRAMS`]; says whether all of them ended well.
fn run_programs(root: &Path, target: &Path, variables: &[(String, String)]) -> bool {
    let ended_well = |(name, arguments): &(&str, &[&str])| {
        let mut program = Command::new(target.join("debug").join(name));
        program.current_dir(root).args(*arguments).env("HSU_BINARIES_BUILT", "1");
        program.envs(variables.iter().map(|(name, value)| (name, value)));
        let result = command::run(&mut program);
        if let Err(error) = &result {
            println!("{error:#}");
        }
        result.is_ok()
    };
    PROGRAMS.iter().filter(|program| !ended_well(program)).count() == 0
}

/// The variables under which cargo builds and runs instrumented programs.
fn surroundings(root: &Path, target: &Path) -> Result<Vec<(String, String)>> {
    let mut show = cargo();
    show.current_dir(root).args(["llvm-cov", "show-env"]).env("CARGO_TARGET_DIR", target);
    let mut all = parse_variables(&command::output(&mut show)?);
    let profile = all.iter_mut().find(|(name, _)| name == "LLVM_PROFILE_FILE");
    let Some((_, place)) = profile else { bail!("cargo llvm-cov names no LLVM_PROFILE_FILE") };
    let (folder, name) = place.rsplit_once('/').context("LLVM_PROFILE_FILE is no path")?;
    let (stem, _) = name.split_once("-%").context("LLVM_PROFILE_FILE has no pattern")?;
    *place = format!("{folder}/{stem}-{PATTERN}.profraw");
    all.push(("CARGO_TARGET_DIR".to_owned(), target.display().to_string()));
    all.push(("RUSTFLAGS".to_owned(), MAPPED.to_owned()));
    Ok(all)
}

/// Lines of `NAME='VALUE'`.
fn parse_variables(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}

/// How often each line of each file was reached; from LCOV's `SF` and `DA`.
type Files = BTreeMap<PathBuf, BTreeMap<u32, u64>>;

fn read(root: &Path, text: &str) -> Result<Files> {
    let mut files = Files::new();
    let mut present: Option<(PathBuf, u32)> = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let path = Path::new(path);
            present = match path.strip_prefix(root) {
                Ok(inside) if !is_test(inside) => {
                    let source = fs::read_to_string(path)
                        .with_context(|| format!("read {}", path.display()))?;
                    Some((inside.to_owned(), first_test_line(&source)))
                }
                _ => None,
            };
        } else if let Some((path, end)) = &present
            && let Some((number, count)) = line.strip_prefix("DA:").and_then(|d| d.split_once(','))
            && let (Ok(number), Ok(count)) = (number.parse::<u32>(), count.parse::<u64>())
            && number < *end
        {
            *files.entry(path.clone()).or_default().entry(number).or_default() += count;
        }
    }
    Ok(files)
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// From here on a file is tests.
fn first_test_line(source: &str) -> u32 {
    let place = source.lines().position(|line| line == "#[cfg(test)]");
    // A declaration in the middle of a file is followed by the rest of the file.
    let is_end = |place: &usize| {
        source
            .lines()
            .nth(place + 1)
            .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    place.filter(is_end).and_then(|place| u32::try_from(place + 1).ok()).unwrap_or(u32::MAX)
}

fn by_crate(files: &Files) -> BTreeMap<String, Lines> {
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for (file, lines) in files {
        let mut parts = file.iter().map(|part| part.to_string_lossy().into_owned());
        let name = match (parts.next(), parts.next()) {
            (Some(first), Some(second)) if first == "crates" => second,
            (Some(first), _) => first,
            (None, _) => continue,
        };
        let sum = crates.entry(name).or_default();
        sum.all += u32::try_from(lines.len()).unwrap_or(0);
        let reached = lines.values().filter(|count| **count > 0).count();
        sum.reached += u32::try_from(reached).unwrap_or(0);
    }
    crates
}

fn total<'a>(all: impl IntoIterator<Item = &'a Lines>) -> Lines {
    all.into_iter().fold(Lines::default(), |sum, one| Lines {
        all: sum.all + one.all,
        reached: sum.reached + one.reached,
    })
}

fn table(crates: &BTreeMap<String, Lines>) -> String {
    let mut text = String::from("| crate | lines | reached | share |\n|---|---|---|---|\n");
    let total = total(crates.values());
    let rows = crates.iter().map(|(name, lines)| (format!("`{name}`"), *lines));
    for (name, lines) in rows.chain([("all".to_owned(), total)]) {
        let Lines { all, reached } = lines;
        // Writing to a String does not fail.
        let _ = writeln!(text, "| {name} | {all} | {reached} | {:.1} % |", lines.share());
    }
    text
}

/// Puts the table in its place on the page.
fn write(root: &Path, table: &str) -> Result<()> {
    let path = root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("read {PAGE}"))?;
    fs::write(&path, replace(&page, table).with_context(|| format!("{PAGE} has no table"))?)?;
    Ok(())
}

fn replace(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_do_not_count() {
        assert_eq!(first_test_line("fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), 3);
        assert_eq!(first_test_line("#[cfg(test)]\nmod tests;\nfn a() {}\n"), u32::MAX);
        assert!(is_test(Path::new("crates/a/src/b/tests.rs")));
        assert!(is_test(Path::new("crates/a/tests/b.rs")));
        assert!(!is_test(Path::new("crates/a/src/b.rs")));
    }

    #[test]
    fn lines_add_up_by_crate() {
        let file = |path: &str, counts: &[u64]| {
            (PathBuf::from(path), (1..).zip(counts.iter().copied()).collect())
        };
        let files = Files::from([
            file("crates/a/src/lib.rs", &[1, 0]),
            file("crates/a/src/b.rs", &[5]),
            file("xtask/src/main.rs", &[0]),
        ]);
        let crates = by_crate(&files);
        assert_eq!(crates["a"], Lines { all: 3, reached: 2 });
        assert_eq!(total(crates.values()), Lines { all: 4, reached: 2 });
        assert!(table(&crates).ends_with("| all | 4 | 2 | 50.0 % |\n"));
    }

    #[test]
    fn the_page_keeps_everything_but_its_table() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let new = replace(&page, "new\n").expect("a table");
        assert!(new.starts_with("before\n") && new.ends_with("after\n"));
        assert!(new.contains("\nnew\n") && !new.contains("old"));
        assert_eq!(replace("no table", "new"), None);
    }

    #[test]
    fn variables_are_read_without_their_quotes() {
        let read = parse_variables("A='b c'\nD=1\n");
        assert_eq!(read, [("A".to_owned(), "b c".to_owned()), ("D".to_owned(), "1".to_owned())]);
    }
}
