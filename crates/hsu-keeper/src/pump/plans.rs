//! The pump's plan, as the master last wrote it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_model::spool::PLAN_FILE;
use hsu_model::spool::plan::PumpPlan;

/// How often a busy pump looks for another plan. An idle one does not look.
const CHECK: Duration = Duration::from_secs(1);

/// The file of the plan.
#[derive(Debug)]
pub(super) struct Plans {
    path: PathBuf,
    /// Inode, size and time of change of the file that was read.
    seen: Option<(u64, u64, i64, i64)>,
    checked: Option<Instant>,
}

impl Plans {
    pub(super) fn new(spools: &Path) -> Self {
        let path = spools.join(PLAN_FILE);
        Self { path, seen: None, checked: None }
    }

    /// Whether it is time to look for another plan.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.checked.is_some_and(|at| now.saturating_duration_since(at) < CHECK) {
            return false;
        }
        self.checked = Some(now);
        true
    }

    /// Reads the plan when the file was replaced; none when it is the one that holds.
    ///
    /// A plan that cannot be read changes nothing: the master that wrote it is
    /// newer or older than this pump, and what was agreed before still holds.
    pub(super) fn read(&mut self) -> Option<PumpPlan> {
        let facts = fs::metadata(&self.path).ok()?;
        let seen = Some((facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()));
        if seen == self.seen {
            return None;
        }
        let plan = PumpPlan::parse(&fs::read_to_string(&self.path).ok()?).ok()?;
        self.seen = seen;
        Some(plan)
    }
}
