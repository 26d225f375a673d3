//! Clearing: what an ended run left behind is gone before the next one starts.
//!
//! Leftovers are killed on another thread; the start of their worker waits for the
//! report, so that no two runs of a worker ever live beside each other. A look at the
//! cgroup of a run that is in it as a whole tells that there are none.

use std::collections::BTreeMap;

use hsu_core::effect::Effect;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::Now;
use hsu_sys::tree::Enclosure;

use super::Body;

/// The kills under way, and the starts that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Clearing {
    workers: BTreeMap<WorkerId, Open>,
    /// Of each worker the last run that is known to be in its cgroup as a whole.
    enclosures: BTreeMap<WorkerId, Enclosure>,
}

#[derive(Debug, Default)]
struct Open {
    kills: u32,
    starts: Vec<RunId>,
}

impl Clearing {
    /// A run is in the cgroup of its worker as a whole.
    pub(crate) fn enclose(&mut self, enclosure: Enclosure) {
        self.enclosures.insert(enclosure.worker.clone(), enclosure);
    }

    /// Whether nothing is left of an ended run, as far as one look tells.
    pub(crate) fn is_clear(&self, worker: &WorkerId, run: RunId) -> bool {
        let enclosure = self.enclosures.get(worker).filter(|enclosure| enclosure.run == run);
        enclosure.is_some_and(Enclosure::is_empty)
    }

    /// A kill is on its way.
    pub(crate) fn begin(&mut self, worker: &WorkerId) {
        self.workers.entry(worker.clone()).or_default().kills += 1;
    }

    /// Whether this start has to wait; it is then kept here.
    fn keeps(&mut self, worker: &WorkerId, run: RunId) -> bool {
        let open = self.workers.get_mut(worker);
        open.map(|open| open.starts.push(run)).is_some()
    }

    /// A kill is reported; the starts that need not wait any longer.
    fn end(&mut self, worker: &WorkerId) -> Vec<RunId> {
        let Some(open) = self.workers.get_mut(worker) else {
            return Vec::new();
        };
        open.kills = open.kills.saturating_sub(1);
        if open.kills > 0 {
            return Vec::new();
        }
        self.workers.remove(worker).map(|open| open.starts).unwrap_or_default()
    }
}

impl Body {
    /// Starts a run as soon as nothing of an earlier one is being killed.
    pub(super) fn spawn_when_clear(&mut self, worker: WorkerId, run: RunId) {
        if !self.clearing.keeps(&worker, run) {
            self.spawn(worker, run);
        }
    }

    /// A kill of something that belongs to this worker is over.
    pub(super) fn on_kill_reported(&mut self, now: Now, worker: &WorkerId) {
        for run in self.clearing.end(worker) {
            self.perform(now, Effect::Spawn { worker: worker.clone(), run });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_for_the_last_kill_of_its_own_worker_only() {
        let (web, other) = (WorkerId::new("web").unwrap(), WorkerId::new("other").unwrap());
        let mut clearing = Clearing::default();
        assert!(!clearing.keeps(&web, RunId(1)));
        clearing.begin(&web);
        clearing.begin(&web);
        assert!(clearing.keeps(&web, RunId(2)));
        assert!(!clearing.keeps(&other, RunId(3)));
        assert_eq!(clearing.end(&web), []);
        assert_eq!(clearing.end(&web), [RunId(2)]);
        assert!(!clearing.keeps(&web, RunId(4)));
        assert_eq!(clearing.end(&web), []);
    }
}
