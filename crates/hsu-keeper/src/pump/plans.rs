//! The pump's plan, as the master last wrote it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_model::spool::plan::{PumpPlan, SpoolPlan};
use hsu_model::spool::{PLAN_FILE, SpoolId};

/// How often a busy pump looks for another plan. An idle one does not look.
const CHECK: Duration = Duration::from_secs(1);

/// The plan and the file it came from.
#[derive(Debug)]
pub(super) struct Plans {
    path: PathBuf,
    /// Inode, size and time of change of the file that was read.
    seen: Option<(u64, u64, i64, i64)>,
    checked: Option<Instant>,
    plan: PumpPlan,
}

impl Plans {
    pub(super) fn new(spools: &Path) -> Self {
        let path = spools.join(PLAN_FILE);
        Self { path, seen: None, checked: None, plan: PumpPlan::default() }
    }

    /// Reads the plan again when the file was replaced; answers whether it changed.
    ///
    /// A plan that cannot be read changes nothing: the master that wrote it is
    /// newer or older than this pump, and what was agreed before still holds.
    pub(super) fn refresh(&mut self, now: Instant) -> bool {
        if self.checked.is_some_and(|at| now.saturating_duration_since(at) < CHECK) {
            return false;
        }
        self.checked = Some(now);
        self.read()
    }

    /// Reads the plan at once when the file was replaced; answers whether it changed.
    pub(super) fn read(&mut self) -> bool {
        let Ok(facts) = fs::metadata(&self.path) else {
            return false;
        };
        let seen = Some((facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()));
        if seen == self.seen {
            return false;
        }
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let Ok(plan) = PumpPlan::parse(&text) else {
            return false;
        };
        self.seen = seen;
        self.plan = plan;
        true
    }

    /// What the master asks for a spool; without a word, a little history and no loss.
    pub(super) fn of(&self, spool: &SpoolId) -> Option<&SpoolPlan> {
        self.plan.spools.get(spool)
    }
}
