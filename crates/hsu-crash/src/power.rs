//! Power: a script is recorded once; then the power fails after each of its calls.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

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
    /// States that are tried of each moment at most, besides a kill.
    pub losses: usize,
    /// Of so many moments one is tried; 1 is all of them.
    pub every: usize,
    /// Whether the disk says of every sync that it is done, and does nothing: the campaign
    /// must find that.
    pub forgotten_syncs: bool,
}

/// Runs a script on what a folder holds already, and tries every crash. `program` is this
/// workbench's own.
///
/// # Errors
/// The script cannot be recorded.
pub fn run(program: &Path, before: &Files, known: Promise, plan: Plan) -> Result<Report> {
    let folder = tempfile::tempdir_in(memory())?;
    disk::place(before, folder.path())?;
    let calls = trace::record(&command(program, folder.path(), plan.script), &[])?;
    let has_ended = calls.iter().any(|call| matches!(call, Call::Say(text) if text == "ended\n"));
    ensure!(has_ended, "the script did not come to its end");
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
