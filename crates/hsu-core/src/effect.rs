//! Effects: everything a fleet asks the world to do.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hsu_model::discovery::ProgramId;
use hsu_model::event::{Actor, EventKind};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::{Alert, Limits};
use hsu_model::process::ProcessKey;

use crate::answer::Answer;
use crate::input::Ticket;
use crate::record::WorkerRecord;

/// Which processes a signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The process of the run alone.
    Process,
    /// Its process group.
    Tree,
}

/// What a service manager is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceVerb {
    /// To start it.
    Start,
    /// To restart it.
    Restart,
    /// To stop it.
    Stop,
}

/// Whether a worker is slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// It is, until it is within the limit.
    Down,
    /// It is not any more.
    Off,
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
    /// Look for the process of a worker, at once and then again and again; or not any more.
    Search {
        /// The worker.
        worker: WorkerId,
        /// Whether to look.
        wanted: bool,
    },
    /// Take hold of a process that somebody else started, if it is still this one and
    /// runs this program, and answer with `Input::Attached` or `Input::AttachFailed`.
    Attach {
        /// For this worker.
        worker: WorkerId,
        /// As this run.
        run: RunId,
        /// The process.
        process: ProcessKey,
        /// What it runs.
        program: ProgramId,
    },
    /// Let go of such a process.
    Release {
        /// The run.
        run: RunId,
    },
    /// Have such a worker started, restarted or stopped by whoever manages it, and
    /// answer with `Input::Serviced`.
    Service {
        /// The worker.
        worker: WorkerId,
        /// What to ask for.
        verb: ServiceVerb,
    },
    /// Have the keeper hold another process of a run in place of the one it holds, so that
    /// its end is the end of the run, and answer with `Input::Followed`.
    Follow {
        /// Of this worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// The process.
        process: ProcessKey,
    },
    /// Take a look, and report with `Input::Checked`; exactly one report for each.
    Check {
        /// At this worker.
        worker: WorkerId,
        /// At this run of it.
        run: RunId,
        /// For this check, by its place.
        check: usize,
        /// The number of the question, to be told again.
        sequence: u64,
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
    /// Forget a worker that has departed, once the keeper was told that its exits are
    /// accounted. Until then its record says that they are.
    Forget {
        /// The worker.
        worker: WorkerId,
        /// The record until then; none of a worker that the keeper does not know.
        last: Option<Box<WorkerRecord>>,
    },
    /// Tell the keeper that an exit is accounted, once the record is durable.
    Acknowledge {
        /// The run.
        run: RunId,
    },
    /// Look at what a run uses, and report with `Input::Used`.
    Measure {
        /// Of this worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// What its limits are about.
        limits: Arc<Limits>,
    },
    /// Slow a run down to one of its limits, or let it go on.
    Throttle {
        /// Of this worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Its limits.
        limits: Arc<Limits>,
        /// Which of them.
        rule: usize,
        /// Down or not.
        how: Slow,
    },
    /// Tell whoever is to be told that a limit is exceeded.
    Alert {
        /// By this worker.
        worker: WorkerId,
        /// Which limit.
        limit: String,
        /// In one sentence.
        text: String,
        /// Who is told.
        alert: Alert,
    },
    /// The shutdown is complete.
    AllStopped,
}
