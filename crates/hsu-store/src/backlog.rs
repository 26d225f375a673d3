//! The backlog: batches that wait for the disk, in their order.
//!
//! Pure and bounded: while the disk takes nothing, batches melt into one, in which each
//! worker has its latest record. Only events can be too many then; the oldest are given
//! up, and counted. No state is. Who waits for whom is [`crate::queue`]'s business.

use std::collections::VecDeque;

use crate::batch::Batch;

/// How much waits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Batches that wait one by one; more are melted into one.
    pub batches: usize,
    /// Events that wait while the disk takes nothing: some megabytes at most.
    pub events: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { batches: 1_000, events: 10_000 }
    }
}

/// What waits, what is durable, and what could not be kept.
#[derive(Debug, Default)]
pub struct Backlog {
    bounds: Bounds,
    waiting: VecDeque<(u64, Batch)>,
    submitted: u64,
    durable: u64,
    given_up: u64,
    health: Option<String>,
}

impl Backlog {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Adds a batch; its number.
    pub fn push(&mut self, batch: Batch) -> u64 {
        self.submitted += 1;
        self.waiting.push_back((self.submitted, batch));
        if self.waiting.len() > self.bounds.batches {
            self.melt();
        }
        self.submitted
    }

    /// Takes everything that waits as one, and the number of its latest batch.
    pub fn take_all(&mut self) -> Option<(u64, Batch)> {
        let mut all = self.waiting.drain(..);
        let (mut number, mut batch) = all.next()?;
        for (later, more) in all {
            number = later;
            batch.absorb(more);
        }
        batch.keep_latest_records();
        Some((number, batch))
    }

    /// Everything up to a number is durable.
    pub fn confirm(&mut self, number: u64) {
        self.durable = number;
        self.health = None;
    }

    /// Takes back what could not be written, and why; it comes again before what came
    /// meanwhile.
    pub fn put_back(&mut self, number: u64, batch: Batch, reason: &str) {
        self.waiting.push_front((number, batch));
        self.melt();
        let lost = match self.given_up {
            0 => String::new(),
            count => format!(" ({count} events were given up)"),
        };
        self.health = Some(format!("the state cannot be written: {reason}{lost}"));
    }

    fn melt(&mut self) {
        if let Some((number, mut batch)) = self.take_all() {
            self.given_up += batch.give_up_events(self.bounds.events);
            self.waiting.push_back((number, batch));
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Batches and events that wait.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting.iter().map(|(_, batch)| batch.events.len()).sum())
    }

    /// The number of the latest batch.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// The number up to which every batch is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Why nothing can be written at present.
    #[must_use]
    pub fn health(&self) -> Option<&str> {
        self.health.as_deref()
    }

    /// How many events were given up.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up
    }
}
