//! Power: a script is recorded once; then the power fails after each of its calls.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};

use crate::disk::{self, Disk, Files, Loss};
use crate::judge::{Found, Promise, judge, memory};
use crate::random::Random;
use crate::report::Report;
use crate::script::Script;
use crate::trace::{self, Call};

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What is recorded.
    pub script: Script,
    /// States that are tried of each moment at most, besides a kill and names that overtake.
    pub losses: usize,
    /// Of so many moments one is tried; 1 is all of them.
    pub every: usize,
    /// Whether the disk says of every sync that it is done, and does nothing: the campaign
    /// must find that.
    pub forgotten_syncs: bool,
    /// Syncs of file data that fail, while the script is recorded.
    pub failed_syncs: Option<FailedSyncs>,
}

/// Syncs of each thread that fail; the very first has the number 1.
#[derive(Clone, Copy, Debug)]
pub struct FailedSyncs {
    /// The first of them.
    pub first: u64,
    /// The last of them, at most.
    pub last: u64,
    /// How far they are from each other.
    pub step: u64,
}

impl FromStr for FailedSyncs {
    type Err = anyhow::Error;

    /// `N`, `N..M` with both of them, or `N..M+S` for each S-th.
    fn from_str(text: &str) -> Result<Self> {
        let (range, step) = text.split_once('+').unwrap_or((text, "1"));
        let (first, last) = range.split_once("..").unwrap_or((range, range));
        let failed = Self { first: first.parse()?, last: last.parse()?, step: step.parse()? };
        let is_any = (1..=failed.last).contains(&failed.first) && failed.step > 0;
        ensure!(is_any, "no sync is meant by {text}");
        Ok(failed)
    }
}

impl FailedSyncs {
    /// The options of `strace`.
    fn options(self) -> Vec<String> {
        let Self { first, last, step } = self;
        let rule = format!("inject=fsync,fdatasync:error=EIO:when={first}..{last}+{step}");
        vec!["-e".to_owned(), rule]
    }
}

/// Runs a script on what a folder holds already, and tries every crash. `program` is this
/// workbench's own.
///
/// # Errors
/// The script cannot be recorded.
pub fn run(program: &Path, before: &Files, known: Promise, plan: Plan) -> Result<Report> {
    let folder = tempfile::tempdir_in(memory())?;
    disk::place(before, folder.path())?;
    let options = plan.failed_syncs.map(FailedSyncs::options).unwrap_or_default();
    let calls = trace::record(&command(program, folder.path(), plan.script), &options)?;
    let has_ended = calls.iter().any(|call| matches!(call, Call::Say(text) if text == "ended\n"));
    // A store that cannot even be put in order is not opened.
    ensure!(has_ended || plan.failed_syncs.is_some(), "the script did not come to its end");
    let mut crashes = Crashes::new(plan);
    let mut disk = Disk::with(before);
    let (mut killed, mut lost) = (known, known);
    for (place, call) in calls.iter().enumerate() {
        if let Call::Say(text) = call {
            hear(text, &mut killed, &mut lost)?;
            lost.runs = killed.runs;
        } else {
            let is_forgotten = plan.forgotten_syncs && matches!(call, Call::Sync(_));
            if is_forgotten || !disk.take(folder.path(), call) {
                continue;
            }
        }
        crashes.at(place, &disk, killed, lost);
    }
    Ok(crashes.report)
}

/// The command line of a script.
#[must_use]
pub fn command(program: &Path, folder: &Path, script: Script) -> Vec<OsString> {
    let (seed, operations) = (script.seed.to_string(), script.operations.to_string());
    let mut words: Vec<OsString> = vec![program.into(), "script".into(), folder.into()];
    words.extend(["--seed", &seed, "--operations", &operations].map(OsString::from));
    words
}

/// Reads an acknowledgement.
pub(crate) fn hear(text: &str, killed: &mut Promise, lost: &mut Promise) -> Result<()> {
    for line in text.lines() {
        let Some((word, number)) = line.split_once(' ') else { continue };
        let promise = match word {
            "lazy" => &mut *killed,
            "synced" => &mut *lost,
            _ => continue,
        };
        promise.operation = number.parse().with_context(|| line.to_owned())?;
        promise.runs = promise.runs.max(promise.operation);
    }
    Ok(())
}

/// Tries crashes, each state once.
struct Crashes {
    plan: Plan,
    random: Random,
    seen: HashSet<u64>,
    report: Report,
}

impl Crashes {
    fn new(plan: Plan) -> Self {
        let random = Random(plan.script.seed);
        Self { plan, random, seen: HashSet::new(), report: Report::default() }
    }

    fn at(&mut self, place: usize, disk: &Disk, killed: Promise, lost: Promise) {
        if !self.random.once_in(self.plan.every) {
            return;
        }
        self.attempt(place, "a kill", &disk.after(Loss::Nothing), killed);
        let mut losses = vec![Loss::Everything, Loss::Data, Loss::Names];
        let uncertain = disk.uncertain();
        losses.extend((0..uncertain.min(3)).map(|_| Loss::One(self.random.below(uncertain))));
        while losses.len() < self.plan.losses {
            losses.push(Loss::Random(self.random.number()));
        }
        losses.truncate(self.plan.losses);
        // Names are few, and what their order means is decided by single ones.
        losses.extend((0..disk.uncertain_names()).map(Loss::OneName));
        for loss in losses {
            self.attempt(place, &format!("a loss of power, {loss:?}"), &disk.after(loss), lost);
        }
    }

    fn attempt(&mut self, place: usize, what: &str, files: &Files, promise: Promise) {
        let mut hasher = DefaultHasher::new();
        (files, promise.operation, promise.runs).hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return;
        }
        self.report.tried += 1;
        match judge(files, promise) {
            Ok(Found::Whole) => {}
            Ok(Found::Broken) => self.report.broken += 1,
            Err(error) => {
                let seed = self.plan.script.seed;
                let text = format!("seed {seed}, {what} after call {place}: {error:#}");
                self.report.find(text, Some(files));
            }
        }
    }
}
