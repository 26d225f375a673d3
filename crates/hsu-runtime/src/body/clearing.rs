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

/// The kills under way, the starts that wait for them, and who is known to be enclosed.
#[derive(Debug, Default)]
pub(crate) struct Clearing {
    pub(super) kills: hsu_core::clearing::Clearing,
    /// Of each worker the last run that is known to be in its cgroup as a whole.
    enclosures: BTreeMap<WorkerId, Enclosure>,
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
}

impl Body {
    /// Starts a run as soon as nothing of an earlier one is being killed.
    pub(super) fn spawn_when_clear(&mut self, worker: WorkerId, run: RunId) {
        if !self.clearing.kills.keeps(&worker, run) {
            self.spawn(worker, run);
        }
    }

    /// A kill of something that belongs to this worker is over.
    pub(super) fn on_kill_reported(&mut self, now: Now, worker: &WorkerId) {
        for run in self.clearing.kills.end(worker) {
            self.perform(now, Effect::Spawn { worker: worker.clone(), run });
        }
    }
}
