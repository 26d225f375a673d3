//! What is seen of a fleet from outside: statuses and records, and glances that are small
//! enough to be taken after every step of a simulation.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::status::{Desired, WorkerState, WorkerStatus};
use hsu_model::time::{Tick, WallTime};
use hsu_model::worker::WorkerSpec;

use super::Fleet;
use crate::attachment::Watched;
use crate::breaker::Breaker;
use crate::record::{Transition, WorkerRecord};
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
    /// The runs that are not over, and how far the hold on the process of each has come.
    pub runs: Vec<(RunId, ProcessKey, Grip)>,
}

/// How far the hold on a process of somebody else has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grip {
    /// It is asked for.
    Asked,
    /// The process is held, and shall go on.
    Held,
    /// It is held, and shall end.
    Ending,
}

impl Fleet {
    /// The first run number that was never used.
    #[must_use]
    pub fn next_run(&self) -> u64 {
        self.next_run
    }

    /// Every worker, by id.
    pub fn statuses(&self) -> impl Iterator<Item = WorkerStatus> + '_ {
        let own = self.workers.values().map(Worker::status);
        own.chain(self.watched.values().map(Watched::status))
    }

    /// One worker.
    #[must_use]
    pub fn status(&self, id: &WorkerId) -> Option<WorkerStatus> {
        let watched = self.watched.get(id).map(Watched::status);
        watched.or_else(|| self.workers.get(id).map(Worker::status))
    }

    /// Whether the process of a worker was started as something else than it is to be now: a
    /// restart applies that.
    #[must_use]
    pub fn is_outdated(&self, id: &WorkerId) -> bool {
        self.workers.get(id).is_some_and(Worker::is_outdated)
    }

    /// Where one worker is, without words.
    #[must_use]
    pub fn glance(&self, id: &WorkerId) -> Option<Glance> {
        self.workers.get(id).map(Worker::glance)
    }

    /// Where every worker is, by id, without words.
    pub fn glances(&self) -> impl Iterator<Item = (&WorkerId, Glance)> + '_ {
        self.workers.iter().map(|(id, worker)| (id, worker.glance()))
    }

    /// Whether everything that an earlier life left is known.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The latest changes of state of one worker, oldest first.
    #[must_use]
    pub fn history(&self, id: &WorkerId) -> Vec<Transition> {
        match self.watched.get(id) {
            Some(watched) => watched.transitions().collect(),
            None => self.workers.get(id).map(|w| w.transitions().collect()).unwrap_or_default(),
        }
    }

    /// Everything durable about one worker; none when it was removed.
    #[must_use]
    pub fn export(&self, id: &WorkerId) -> Option<WorkerRecord> {
        let watched = self.watched.get(id).map(Watched::export);
        let mut record = watched.or_else(|| self.workers.get(id).map(Worker::export))?;
        if let Some(limits) = self.spec(id).and_then(|spec| spec.limits()) {
            record.raised = self.watches.keep(id, limits);
        }
        Some(record)
    }

    /// What a worker is to be.
    #[must_use]
    pub fn spec(&self, id: &WorkerId) -> Option<&Arc<WorkerSpec>> {
        let watched = self.watched.get(id).map(|watched| &watched.spec);
        watched.or_else(|| self.workers.get(id).map(|worker| &worker.spec))
    }

    /// The worker of a run that is not over.
    #[must_use]
    pub fn worker_of(&self, run: RunId) -> Option<&WorkerId> {
        self.runs.get(&run).or_else(|| self.watched_runs.get(&run))
    }

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
