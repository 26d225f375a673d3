//! The record: what a new master must know of a worker to go on where the old one was.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hsu_model::discovery::Hint;
use hsu_model::execution::Fingerprint;
use hsu_model::id::RunId;
use hsu_model::status::{Desired, LastExit, WorkerState};
use hsu_model::time::{Tick, WallTime};
use hsu_model::worker::Departure;

use crate::breaker::Breaker;

/// Everything durable about one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerRecord {
    /// What the operator wants.
    pub desired: Desired,
    /// What the operator said about whether it may run; none is what the configuration says.
    pub enabled: Option<bool>,
    /// An operator removed it.
    pub removed: bool,
    /// The state it was in.
    pub state: WorkerState,
    /// Why, as text.
    pub reason: String,
    /// Its latest run.
    pub run: Option<RunId>,
    /// The latest run whose exit is accounted.
    pub accounted: Option<RunId>,
    /// When the process of the latest run started.
    pub started: Option<(Tick, WallTime)>,
    /// Restarts since it was first started.
    pub restarts: u64,
    /// Whether its next start is one more of them.
    pub counts_as_restart: bool,
    /// Failures in a row.
    pub attempts: u32,
    /// Its breaker.
    pub breaker: Breaker,
    /// When the next attempt is due, while it rests.
    pub next_attempt: Option<Tick>,
    /// How its latest ended run ended.
    pub last_exit: Option<LastExit>,
    /// The latest changes of its state, oldest first.
    pub history: VecDeque<Transition>,
    /// What it takes to end it when it is not configured any more.
    pub departure: Departure,
    /// Of a worker that somebody else starts: the processes that are watched.
    pub attached: Option<Vec<Hint>>,
    /// What its latest run was started as; none is not known.
    pub started_as: Option<Fingerprint>,
    /// The latest run that said that it is ready.
    pub ready_run: Option<RunId>,
    /// The limits that are higher than they are declared, because it was restarted for them.
    pub raised: Vec<Raised>,
}

/// A limit that is higher than it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Its key.
    pub limit: String,
    /// The folders or files that it is about.
    pub paths: Vec<String>,
    /// How high it is, in the unit of its kind.
    pub most: u64,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When.
    pub at: WallTime,
    /// The state it left.
    pub from: WorkerState,
    /// The state it entered.
    pub to: WorkerState,
    /// Why, worded once: a record is exported far more often than a state changes.
    pub reason: Arc<str>,
}

/// How a record is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The life of the master goes on: nothing changes.
    Continue,
    /// A master was started anew on purpose: failures are forgotten and workers
    /// shall run again, but for what the operator disabled or, with the policy
    /// `unless-stopped`, stopped.
    Fresh,
}
