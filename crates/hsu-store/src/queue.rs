//! The queue between the master's loop and the writing thread.
//!
//! It never blocks the loop. What waits, and how it stays small: [`crate::backlog`].

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::backlog::Backlog;
use crate::batch::{Batch, Durability};

/// How long batches gather while nobody waits for them: a commit costs as much as the
/// rows of several starts. A master that is killed meanwhile learns the same from its
/// keeper, which forgets no exit before that is durable.
const GATHER: Duration = Duration::from_millis(10);

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
    backlog: Backlog,
    /// Whether it is room that lacks.
    is_full: bool,
    /// How often another generation was begun, and why the last time.
    renewals: (u64, String),
    /// Whether somebody waits for what is in the backlog.
    is_awaited: bool,
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
        let is_first = state.backlog.is_empty();
        state.is_awaited |= batch.durability == Durability::Synced;
        let is_awaited = state.is_awaited;
        let number = state.backlog.push(batch);
        drop(state);
        if is_first || is_awaited {
            self.came.notify_one();
        }
        number
    }

    /// Waits for batches, lets them gather, and takes all of them as one.
    pub(crate) fn take(&self) -> Next {
        let mut state = self.lock();
        while state.backlog.is_empty() && !state.closing {
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let begin = Instant::now();
        while !state.is_awaited && !state.closing && begin.elapsed() < GATHER {
            let left = GATHER.saturating_sub(begin.elapsed());
            let waited = self.came.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_awaited = false;
        match state.backlog.take_all() {
            Some((number, batch)) => Next::Write(number, batch),
            None => Next::End,
        }
    }

    /// Somebody waits for everything that was submitted by now.
    pub(crate) fn hurry(&self) {
        let mut state = self.lock();
        if !state.backlog.is_empty() && !state.is_awaited {
            state.is_awaited = true;
            self.came.notify_one();
        }
    }

    /// Notes that everything up to a number is durable.
    pub(crate) fn confirm(&self, number: u64) {
        let mut state = self.lock();
        state.backlog.confirm(number);
        drop(state);
        self.went.notify_all();
    }

    /// Takes back what could not be written, and why; tells, and waits before the next
    /// attempt. Whether there shall be one.
    pub(crate) fn fail(
        &self,
        number: u64,
        batch: Batch,
        reason: &str,
        tell: &dyn Fn(),
        rest: Duration,
    ) -> bool {
        self.lock().backlog.put_back(number, batch, reason);
        self.went.notify_all();
        tell();
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
        self.wait_while(patience, |_| true)
    }

    /// The same, unless the disk takes nothing.
    pub(crate) fn catch_up(&self, patience: Duration) -> bool {
        self.wait_while(patience, |backlog| backlog.health().is_none())
    }

    fn wait_while(&self, patience: Duration, is_worth_it: impl Fn(&Backlog) -> bool) -> bool {
        self.hurry();
        let mut state = self.lock();
        let wanted = state.backlog.submitted();
        let begin = Instant::now();
        while state.backlog.durable() < wanted && is_worth_it(&state.backlog) {
            let Some(left) = patience.checked_sub(begin.elapsed()) else { break };
            let waited = self.went.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.backlog.durable() >= wanted
    }

    /// Lets the writing thread end once nothing waits.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.came.notify_all();
    }

    pub(crate) fn submitted(&self) -> u64 {
        self.lock().backlog.submitted()
    }

    pub(crate) fn durable(&self) -> u64 {
        self.lock().backlog.durable()
    }

    pub(crate) fn health(&self) -> Option<String> {
        self.lock().backlog.health().map(str::to_owned)
    }

    /// Notes that the disk has failed, and that another generation of the database is begun.
    pub(crate) fn renewed(&self, reason: String) {
        let mut state = self.lock();
        state.renewals = (state.renewals.0 + 1, reason);
    }

    /// Notes whether it is room that the disk lacks.
    pub(crate) fn lacks_room(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// The generation of the database that is written.
    pub(crate) fn generation(&self) -> u64 {
        self.lock().renewals.0
    }

    pub(crate) fn renewed_because(&self) -> String {
        self.lock().renewals.1.clone()
    }

    pub(crate) fn given_up(&self) -> u64 {
        self.lock().backlog.given_up()
    }
}

#[cfg(test)]
mod tests;
