//! Batches: what one round of the master changed, and how several become one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hsu_core::record::WorkerRecord;
use hsu_model::event::Event;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::BootId;
use hsu_model::status::WorkerStatus;
use hsu_model::time::Now;

/// What a batch has to survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// SIGKILL of the master.
    #[default]
    Lazy,
    /// The loss of power, too.
    Synced,
}

/// How far a life of the master has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It lasts, or was lost.
    Lasts,
    /// It has left its workers to the next one.
    Left,
    /// It has ended with all its workers.
    Ended,
}

/// What becomes of the record of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is this.
    Record(Box<WorkerRecord>),
    /// An operator removed the worker: that is remembered.
    Removed,
    /// It is forgotten, as if the worker had never been.
    Forgotten,
}

/// What a worker was from one event on.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The number of the event.
    pub sequence: u64,
    /// When.
    pub at: Now,
    /// The worker.
    pub worker: WorkerId,
    /// What it was; none when it was no more.
    pub status: Option<Arc<WorkerStatus>>,
}

/// What one round of the master changed.
#[derive(Debug, Default)]
pub struct Batch {
    /// What becomes of the records of workers.
    pub workers: Vec<(WorkerId, Change)>,
    /// Events, in order.
    pub events: Vec<Event>,
    /// What workers were after these events, in order.
    pub statuses: Vec<Moment>,
    /// Exits that may be forgotten by the keeper once this is durable. The store
    /// does not keep them; whoever submits holds them until the batch is durable.
    pub acknowledged: Vec<RunId>,
    /// The first run number that was never used.
    pub next_run: Option<u64>,
    /// How far the present life of the master has come, and in which boot.
    pub life: Option<(Life, BootId)>,
    /// What it has to survive.
    pub durability: Durability,
}

impl Batch {
    /// Whether nothing is in it. A number of the next run alone is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
            && self.events.is_empty()
            && self.statuses.is_empty()
            && self.acknowledged.is_empty()
            && self.life.is_none()
    }

    /// Takes in a later batch, so that writing this one is as good as writing both.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.workers.extend(later.workers);
        self.events.extend(later.events);
        self.statuses.extend(later.statuses);
        self.next_run = self.next_run.max(later.next_run);
        self.life = later.life.or(self.life);
        self.durability = self.durability.max(later.durability);
    }

    /// Leaves one record of each worker, the latest.
    pub(crate) fn keep_latest_records(&mut self) {
        let latest: BTreeMap<_, _> = std::mem::take(&mut self.workers).into_iter().collect();
        self.workers = latest.into_iter().collect();
    }

    /// Leaves the latest `most` events; how many are given up.
    pub(crate) fn give_up_events(&mut self, most: usize) -> u64 {
        let surplus = self.events.len().saturating_sub(most);
        let last = self.events.drain(..surplus).next_back();
        if let Some(last) = last {
            self.give_up_statuses(last.sequence);
        }
        u64::try_from(surplus).unwrap_or(u64::MAX)
    }

    /// Of what was before the events that are left, the latest of each worker tells how it
    /// was when they began.
    fn give_up_statuses(&mut self, last: u64) {
        let mut known = BTreeSet::new();
        let mut kept: Vec<Moment> = std::mem::take(&mut self.statuses)
            .into_iter()
            .rev()
            .filter(|moment| moment.sequence > last || known.insert(moment.worker.clone()))
            .collect();
        kept.reverse();
        self.statuses = kept;
    }
}
