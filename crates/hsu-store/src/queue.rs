//! The queue between the master's loop and the writing thread.
//!
//! Bounded without ever blocking the loop: while the disk takes nothing, batches
//! melt into one, in which each worker has its latest record. Only events can be
//! too many then; the oldest are given up, and counted. No state is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::batch::Batch;

/// Batches that wait one by one; more are melted into one.
const MOST_WAITING: usize = 1_000;
/// Events that wait while the disk takes nothing: some megabytes at most.
const MOST_EVENTS: usize = 10_000;

/// What loop and writing thread share.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Something came, or the queue is closing.
    came: Condvar,
    /// Something became durable, or cannot at present.
    went: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(u64, Batch)>,
    submitted: u64,
    durable: u64,
    given_up: u64,
    health: Option<String>,
    closing: bool,
}

/// What the writing thread does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Write this; the number of its latest batch comes along.
    Write(u64, Batch),
    /// Nothing waits, and nothing will.
    End,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch; its number.
    pub(crate) fn push(&self, batch: Batch) -> u64 {
        let mut state = self.lock();
        state.submitted += 1;
        let number = state.submitted;
        state.waiting.push_back((number, batch));
        if state.waiting.len() > MOST_WAITING {
            state.melt();
        }
        drop(state);
        self.came.notify_one();
        number
    }

    /// Waits for batches and takes all of them as one.
    pub(crate) fn take(&self) -> Next {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closing {
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.take_all() {
            Some((number, batch)) => Next::Write(number, batch),
            None => Next::End,
        }
    }

    /// Notes that everything up to a number is durable.
    pub(crate) fn confirm(&self, number: u64) {
        let mut state = self.lock();
        state.durable = number;
        state.health = None;
        drop(state);
        self.went.notify_all();
    }

    /// Takes back what could not be written, and why; waits before the next
    /// attempt. Whether there shall be one.
    pub(crate) fn fail(&self, number: u64, batch: Batch, reason: String, rest: Duration) -> bool {
        let mut state = self.lock();
        state.waiting.push_front((number, batch));
        state.melt();
        let lost = match state.given_up {
            0 => String::new(),
            count => format!(" ({count} events were given up)"),
        };
        state.health = Some(format!("the state cannot be written: {reason}{lost}"));
        drop(state);
        self.went.notify_all();
        let begin = Instant::now();
        let mut state = self.lock();
        while !state.closing && begin.elapsed() < rest {
            let left = rest.saturating_sub(begin.elapsed());
            let waited = self.came.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.closing
    }

    /// Waits until everything that was submitted by now is durable; whether it is.
    pub(crate) fn wait_for_durable(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        let wanted = state.submitted;
        let begin = Instant::now();
        while state.durable < wanted && begin.elapsed() < patience {
            let left = patience.saturating_sub(begin.elapsed());
            let waited = self.went.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.durable >= wanted
    }

    /// Lets the writing thread end once nothing waits.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.came.notify_all();
    }

    pub(crate) fn submitted(&self) -> u64 {
        self.lock().submitted
    }

    pub(crate) fn durable(&self) -> u64 {
        self.lock().durable
    }

    pub(crate) fn health(&self) -> Option<String> {
        self.lock().health.clone()
    }

    pub(crate) fn given_up(&self) -> u64 {
        self.lock().given_up
    }
}

impl State {
    fn take_all(&mut self) -> Option<(u64, Batch)> {
        let mut all = self.waiting.drain(..);
        let (mut number, mut batch) = all.next()?;
        for (later, more) in all {
            number = later;
            batch.absorb(more);
        }
        batch.keep_latest_records();
        Some((number, batch))
    }

    fn melt(&mut self) {
        if let Some((number, mut batch)) = self.take_all() {
            self.given_up += batch.give_up_events(MOST_EVENTS);
            self.waiting.push_back((number, batch));
        }
    }
}

#[cfg(test)]
mod tests;
