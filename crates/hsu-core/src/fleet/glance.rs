//! A glance: where a worker is, small enough to be taken after every step of a simulation.

use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::Tick;

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
