//! The simulated store: batches that are durable together, or lost together.

use std::collections::{BTreeMap, VecDeque};

use hsu_core::effect::Effect;
use hsu_core::record::WorkerRecord;
use hsu_model::event::EventKind;
use hsu_model::id::{RunId, WorkerId};

/// What one step wrote, and what waits for it to be durable.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<(WorkerId, Option<WorkerRecord>)>,
    forgotten: Vec<WorkerId>,
    exits: Vec<RunId>,
    next_run: u64,
    held: Vec<Effect>,
}

/// What is durable, and what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) records: BTreeMap<WorkerId, WorkerRecord>,
    /// How often each exit is in the journal.
    pub(crate) exits: BTreeMap<RunId, usize>,
    pub(crate) next_run: u64,
    open: Batch,
    submitted: VecDeque<Batch>,
}

impl Store {
    /// Adds a fact to the batch of this step.
    pub(crate) fn note(&mut self, kind: &EventKind) {
        if let EventKind::Exited { run, .. } = kind {
            self.open.exits.push(*run);
        }
    }

    /// Adds a record to the batch of this step; none is a removed worker.
    pub(crate) fn write(&mut self, worker: &WorkerId, record: Option<WorkerRecord>) {
        self.open.records.push((worker.clone(), record));
    }

    /// Adds to the batch of this step that a worker is forgotten.
    pub(crate) fn forget(&mut self, worker: &WorkerId) {
        self.open.forgotten.push(worker.clone());
    }

    /// Lets an effect wait until this step is durable.
    pub(crate) fn hold(&mut self, effect: Effect) {
        self.open.held.push(effect);
    }

    /// Ends the batch of this step.
    pub(crate) fn submit(&mut self, next_run: u64) {
        let mut batch = std::mem::take(&mut self.open);
        batch.next_run = next_run;
        self.submitted.push_back(batch);
    }

    /// Makes everything durable; what has waited for it.
    pub(crate) fn sync(&mut self) -> Vec<Effect> {
        let mut released = Vec::new();
        while let Some(batch) = self.submitted.pop_front() {
            for (worker, record) in batch.records {
                match record {
                    Some(record) => drop(self.records.insert(worker, record)),
                    // A removed worker leaves a stone.
                    None => {
                        if let Some(record) = self.records.get_mut(&worker) {
                            record.removed = true;
                        }
                    }
                }
            }
            for worker in batch.forgotten {
                self.records.remove(&worker);
            }
            for run in batch.exits {
                *self.exits.entry(run).or_default() += 1;
            }
            if batch.next_run > 0 {
                self.next_run = batch.next_run;
            }
            released.extend(batch.held);
        }
        released
    }

    /// Loses everything that is not durable.
    pub(crate) fn crash(&mut self) {
        self.open = Batch::default();
        self.submitted.clear();
    }
}
