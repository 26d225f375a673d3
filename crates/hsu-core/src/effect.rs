//! Effects: everything a fleet asks the world to do.

use alloc::vec::Vec;

use hsu_model::event::{Actor, EventKind};
use hsu_model::id::{RunId, WorkerId};

use crate::answer::Answer;
use crate::input::Ticket;

/// Which processes a signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The process of the run alone.
    Process,
    /// Its process group.
    Tree,
}

/// Something to be done, in the order of the list.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start a process.
    Spawn {
        /// For this worker.
        worker: WorkerId,
        /// As this run.
        run: RunId,
    },
    /// Send a signal.
    Signal {
        /// To this run.
        run: RunId,
        /// Its number.
        signal: i32,
        /// How far it reaches.
        scope: Scope,
    },
    /// Kill everything that belongs to a run, by the best mechanism there is,
    /// and report with `Input::Survivors`.
    KillTree {
        /// Of this worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Whether the worker has no other run, so that everything of it goes.
        whole: bool,
    },
    /// Answer a command, once the records before it are durable; exactly one for each ticket.
    Reply {
        /// Which command.
        ticket: Ticket,
        /// What became of it.
        answer: Answer,
    },
    /// Put a fact into the journal.
    Event {
        /// About this worker, or about the master.
        worker: Option<WorkerId>,
        /// Caused by.
        actor: Actor,
        /// The fact.
        kind: EventKind,
    },
    /// Make the record of these workers durable.
    Persist {
        /// The workers.
        workers: Vec<WorkerId>,
    },
    /// Forget the record of a worker that has departed.
    Forget {
        /// The worker.
        worker: WorkerId,
    },
    /// Tell the keeper that an exit is accounted, once the record is durable.
    Acknowledge {
        /// The run.
        run: RunId,
    },
    /// The shutdown is complete.
    AllStopped,
}
