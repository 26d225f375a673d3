//! A glance: where a worker is, small enough to be taken after every step of a simulation.

use alloc::vec::Vec;

use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::{Tick, WallTime};

use super::Fleet;
use crate::breaker::Breaker;
use crate::worker::{State, Worker};

/// What decides about a worker at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// What it is doing.
    pub state: WorkerState,
    /// What is wanted of it.
    pub desired: Desired,
    /// Whether it may run.
    pub enabled: bool,
    /// The run that is not over.
    pub run: Option<RunId>,
    /// Its latest run.
    pub latest: Option<RunId>,
    /// The latest run whose exit is accounted.
    pub accounted: Option<RunId>,
    /// Its process, while it is known to live.
    pub process: Option<ProcessKey>,
    /// Failures in a row.
    pub attempts: u32,
    /// Restarts since it was first started.
    pub restarts: u64,
    /// Its breaker.
    pub breaker: Breaker,
    /// When the next attempt is due, while it rests.
    pub next_attempt: Option<Tick>,
    /// Whether the fate of its run is not known yet.
    pub unsettled: bool,
    /// Whether it was killed, and is still there.
    pub unkillable: bool,
}

/// The same of a worker that somebody else starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What it is doing.
    pub state: WorkerState,
    /// Whether its process shall be watched.
    pub wanted: bool,
    /// The runs that are not over, and whether the process of each is held.
    pub runs: Vec<(RunId, ProcessKey, bool)>,
}

impl Fleet {
    /// Where one worker is that somebody else starts, without words.
    #[must_use]
    pub fn sight(&self, id: &WorkerId) -> Option<Sight> {
        let watched = self.watched.get(id)?;
        let runs = watched.all_runs().collect();
        Some(Sight { state: watched.visible(), wanted: watched.is_wanted(), runs })
    }

    /// The workers that somebody else starts, by id.
    pub fn watched(&self) -> impl Iterator<Item = &WorkerId> + '_ {
        self.watched.keys()
    }

    /// When the process of one worker started; of several the oldest one.
    #[must_use]
    pub fn started_at(&self, id: &WorkerId) -> Option<(Tick, WallTime)> {
        match self.watched.get(id) {
            Some(watched) => watched.started_at(),
            None => self.workers.get(id)?.process().map(|(_, started)| started),
        }
    }
}

impl Worker {
    pub(crate) fn glance(&self) -> Glance {
        Glance {
            state: self.visible(),
            desired: self.desired,
            enabled: self.is_enabled(),
            run: self.run(),
            latest: self.latest_run,
            accounted: self.accounted,
            process: self.process().map(|(key, _)| key),
            attempts: self.attempts,
            restarts: self.restarts,
            breaker: self.breaker,
            next_attempt: if let State::BackingOff { due, .. } = &self.state {
                Some(*due)
            } else {
                None
            },
            unsettled: matches!(self.state, State::Unsettled { .. }),
            unkillable: self.is_unkillable(),
        }
    }
}
