//! Clearing: what an ended run left behind is gone before the next one starts.
//!
//! Leftovers are killed on another thread; the start of their worker waits for the
//! report, so that no two runs of a worker ever live beside each other. A look at the
//! cgroup of a run that is in it as a whole tells that there are none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hsu_core::effect::Effect;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::Now;
use hsu_sys::tree::{Birthplaces, Enclosure};

use super::Body;

/// The kills under way, the starts that wait for them, and who is known to be enclosed.
#[derive(Debug)]
pub(crate) struct Clearing {
    pub(super) kills: hsu_core::clearing::Clearing,
    birthplaces: Birthplaces,
    /// Of each worker the last run that is known to be in its cgroup as a whole.
    enclosures: BTreeMap<WorkerId, Enclosure>,
    /// Runs that are asked to be born in the cgroups of their workers. From then on what
    /// is there is not what the run before has left.
    births: BTreeMap<RunId, Enclosure>,
}

impl Clearing {
    pub(super) fn new(birthplaces: Birthplaces) -> Self {
        let kills = hsu_core::clearing::Clearing::default();
        Self { kills, birthplaces, enclosures: BTreeMap::new(), births: BTreeMap::new() }
    }

    /// A run is in the cgroup of its worker as a whole.
    pub(super) fn enclose(&mut self, enclosure: Enclosure) {
        let known = self.enclosures.get(&enclosure.worker);
        if known.is_none_or(|known| known.run < enclosure.run) {
            self.enclosures.insert(enclosure.worker.clone(), enclosure);
        }
    }

    /// Where a run shall be born, when there are cgroups that take births.
    pub(super) fn ask_birth(&mut self, worker: &WorkerId, run: RunId) -> Option<PathBuf> {
        let known = self.enclosures.remove(worker).map(|enclosure| enclosure.of_next(run));
        let next = known.or_else(|| self.birthplaces.make(worker, run))?;
        let folder = next.folder().to_owned();
        self.births.insert(run, next);
        Some(folder)
    }

    /// A run has started, in the cgroup that was asked for or elsewhere; whether it is
    /// enclosed.
    pub(super) fn born(&mut self, run: RunId, inside: bool) -> bool {
        let asked = self.births.remove(&run);
        asked.filter(|_| inside).map(|enclosure| self.enclose(enclosure)).is_some()
    }

    /// A run was not started: the cgroup is there for the next one.
    pub(super) fn not_born(&mut self, run: RunId) {
        self.born(run, true);
    }

    /// Whether a run is known to be in the cgroup of its worker as a whole.
    pub(super) fn is_enclosed(&self, worker: &WorkerId, run: RunId) -> bool {
        self.enclosure(worker, run).is_some()
    }

    /// Whether nothing is left of an ended run, as far as one look tells.
    pub(super) fn is_clear(&self, worker: &WorkerId, run: RunId) -> bool {
        self.enclosure(worker, run).is_some_and(Enclosure::is_empty)
    }

    /// The cgroup in which a run is as a whole, when that is known.
    pub(super) fn folder(&self, worker: &WorkerId, run: RunId) -> Option<&Path> {
        self.enclosure(worker, run).map(Enclosure::folder)
    }

    /// A kill is over, and the cgroup may be gone with what was in it.
    fn forget(&mut self, worker: &WorkerId, run: RunId) {
        if self.is_enclosed(worker, run) {
            self.enclosures.remove(worker);
        }
    }

    fn enclosure(&self, worker: &WorkerId, run: RunId) -> Option<&Enclosure> {
        self.enclosures.get(worker).filter(|enclosure| enclosure.run == run)
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
    pub(super) fn on_kill_reported(&mut self, now: Now, worker: &WorkerId, killed: RunId) {
        self.clearing.forget(worker, killed);
        for run in self.clearing.kills.end(worker) {
            self.perform(now, Effect::Spawn { worker: worker.clone(), run });
        }
    }
}
