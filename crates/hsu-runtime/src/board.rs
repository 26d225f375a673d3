//! The board: the latest status of every worker, readable from any thread.
//!
//! The loop writes what changed, readers take an immutable copy; neither ever
//! waits for a decision of the other. A copy is made once for each version, so
//! a thousand readers of an idle master cost one copy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hsu_model::id::WorkerId;
use hsu_model::status::WorkerStatus;
use hsu_model::worker::WorkerSpec;
use tokio::sync::watch;

use crate::control::StuckOutput;

/// One worker on the board.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it shall be.
    pub spec: Arc<WorkerSpec>,
    /// What it is.
    pub status: Arc<WorkerStatus>,
    /// Whether its process was started as something else than it shall be now.
    pub outdated: bool,
}

/// Every worker at one moment, by id.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Rises with every change of any worker.
    pub version: u64,
    /// The workers, sorted by id.
    pub workers: Vec<Entry>,
}

impl Snapshot {
    /// One worker of the snapshot.
    #[must_use]
    pub fn worker(&self, id: &str) -> Option<&Entry> {
        let place = self.workers.binary_search_by(|entry| entry.status.id.as_str().cmp(id)).ok()?;
        self.workers.get(place)
    }
}

/// The board itself.
#[derive(Debug, Default)]
pub(crate) struct Board {
    version: watch::Sender<u64>,
    opened: watch::Sender<bool>,
    regained: watch::Sender<u64>,
    workers: Mutex<BTreeMap<WorkerId, Entry>>,
    latest: Mutex<Arc<Snapshot>>,
    degraded: Mutex<Option<String>>,
    replaced: Mutex<Option<String>>,
    /// The outputs that take nothing at present, and why.
    stuck: Mutex<BTreeMap<(Option<WorkerId>, String), String>>,
}

impl Board {
    /// Replaces what is known of some workers; `None` forgets one.
    pub(crate) fn post(&self, changes: impl IntoIterator<Item = (WorkerId, Option<Entry>)>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, entry) in changes {
            match entry {
                Some(entry) => workers.insert(id, entry),
                None => {
                    self.forget_outputs(&id);
                    workers.remove(&id)
                }
            };
        }
        self.version.send_modify(|version| *version += 1);
    }

    /// Every worker as of now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let version = *self.version.borrow();
        if latest.version != version {
            let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            let workers = workers.values().cloned().collect();
            *latest = Arc::new(Snapshot { version, workers });
        }
        Arc::clone(&latest)
    }

    /// Rises with every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What an earlier life left is known: from now on the board can be believed.
    pub(crate) fn open(&self) {
        self.opened.send_if_modified(|opened| !std::mem::replace(opened, true));
    }

    /// The state is ours again.
    pub(crate) fn regain(&self) {
        self.regained.send_modify(|times| *times += 1);
    }

    /// Rises when the state is ours again.
    pub(crate) fn regained(&self) -> watch::Receiver<u64> {
        self.regained.subscribe()
    }

    /// Turns true when the board can be believed.
    pub(crate) fn opened(&self) -> watch::Receiver<bool> {
        self.opened.subscribe()
    }

    /// Says why an output takes nothing, or that it does; whether that is news.
    pub(crate) fn set_stuck(
        &self,
        worker: Option<&WorkerId>,
        output: &str,
        reason: Option<&str>,
    ) -> bool {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (worker.cloned(), output.to_owned());
        match reason {
            Some(reason) => stuck.insert(key, reason.to_owned()).as_deref() != Some(reason),
            None => stuck.remove(&key).is_some(),
        }
    }

    /// A worker that is gone has no outputs.
    fn forget_outputs(&self, gone: &WorkerId) {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.retain(|(worker, _), _| worker.as_ref() != Some(gone));
    }

    /// The outputs that take nothing at present.
    pub(crate) fn stuck(&self) -> Vec<StuckOutput> {
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |((worker, output), reason): (&(Option<WorkerId>, String), &String)| StuckOutput {
            worker: worker.clone(),
            output: output.clone(),
            reason: reason.clone(),
        };
        stuck.iter().map(of).collect()
    }

    /// Says whether the state can be written.
    pub(crate) fn set_degraded(&self, reason: Option<String>) {
        *self.degraded.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Says why the state was begun anew in this life of the master.
    pub(crate) fn set_replaced(&self, reason: String) {
        *self.replaced.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Why the state was begun anew in this life of the master, the last time.
    pub(crate) fn replaced(&self) -> Option<String> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the state cannot be written at present.
    pub(crate) fn degraded(&self) -> Option<String> {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
