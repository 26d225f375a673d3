//! Inputs: everything that can happen to a fleet.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::discovery::Sighting;
use hsu_model::event::Actor;
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::health::Finding;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::Said;
use hsu_model::process::ProcessKey;
use hsu_model::time::{Tick, WallTime};
use hsu_model::usage::Usage;

pub use hsu_model::severity::Severity;

/// Names one command until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What an operator asks of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// It shall run.
    Start,
    /// It shall not run.
    Stop {
        /// Kill it at once.
        force: bool,
    },
    /// It shall run anew.
    Restart {
        /// Kill it at once, and start it whatever the breaker says.
        force: bool,
    },
    /// Send a signal to its process.
    Signal(i32),
    /// Forget it.
    Remove,
    /// It may run.
    Enable,
    /// It may not run.
    Disable,
    /// Close its breaker and forget failed attempts.
    ResetBreaker,
}

/// What becomes of the workers when the master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// They are stopped.
    StopWorkers,
    /// They go on.
    KeepWorkers,
}

/// Something that happened. Every answer carries the run that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An operator asks for something.
    Command {
        /// Where the answer goes.
        ticket: Ticket,
        /// Who asks.
        actor: Actor,
        /// Of which worker.
        worker: WorkerId,
        /// What.
        command: Command,
    },
    /// A process was started.
    Spawned {
        /// Its run.
        run: RunId,
        /// The process.
        process: ProcessKey,
    },
    /// A process could not be started.
    SpawnFailed {
        /// Its run.
        run: RunId,
        /// Why.
        error: String,
        /// Whether another attempt may succeed without anybody's help.
        transient: bool,
    },
    /// A process ended.
    Exited {
        /// Its worker, so that a run of an earlier life is accounted too.
        worker: WorkerId,
        /// Its run.
        run: RunId,
        /// How.
        exit: Exit,
        /// When.
        at: Tick,
        /// When, for people.
        wall: WallTime,
    },
    /// A process of an earlier life was found alive.
    Adopted {
        /// Its worker.
        worker: WorkerId,
        /// Its run.
        run: RunId,
        /// The process.
        process: ProcessKey,
        /// When it started.
        started: (Tick, WallTime),
    },
    /// A spawn that an earlier life asked for is not answered yet; the answer follows.
    Pending {
        /// Its worker.
        worker: WorkerId,
        /// Its run.
        run: RunId,
    },
    /// After a kill: what is left of the tree of a run; nothing when all is gone.
    Survivors {
        /// The worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// What is left.
        pids: Vec<u32>,
    },
    /// What a search for the process of a worker came to.
    Sighted {
        /// The worker.
        worker: WorkerId,
        /// What was seen.
        sighting: Sighting,
    },
    /// A process of somebody else is held.
    Attached {
        /// As this run.
        run: RunId,
        /// When it started.
        started: (Tick, WallTime),
    },
    /// A process of somebody else cannot be held.
    AttachFailed {
        /// The run that it was to be.
        run: RunId,
        /// Why; none when it is gone.
        error: Option<String>,
    },
    /// A service manager has done what it was asked for, or not.
    Serviced {
        /// The worker.
        worker: WorkerId,
        /// Why not.
        error: Option<String>,
    },
    /// Every process of an earlier life has been reported. What is missing now
    /// is gone; what shall run and does not is started.
    Settled {
        /// Why the exit of a missing process is unknown.
        unknown: UnknownExit,
    },
    /// Health checks failed.
    HealthFailed {
        /// Of this run.
        run: RunId,
        /// How serious it is.
        severity: Severity,
    },
    /// A look was taken that [`Effect::Check`](crate::effect::Effect::Check) asked for.
    Checked {
        /// At this run.
        run: RunId,
        /// For this check, by its place.
        check: usize,
        /// The number of the question.
        sequence: u64,
        /// What came of it.
        finding: Finding,
        /// How long it took.
        took: Duration,
    },
    /// What a run uses was looked at, as [`crate::effect::Effect::Measure`] asked; none
    /// when nothing of it lives any more.
    Used {
        /// By this run.
        run: RunId,
        /// What it uses.
        usage: Option<Usage>,
    },
    /// What the kernel has done to a run with limits that has ended. Told before its exit.
    HeldBack {
        /// Which run.
        run: RunId,
        /// What it has done.
        toll: Toll,
    },
    /// A limit could not be enforced or a worker not be slowed down as it was asked.
    LimitFailed {
        /// Which worker.
        worker: WorkerId,
        /// What, and why.
        reason: String,
    },
    /// A resource limit was exceeded, by the judgement of somebody else.
    ResourceViolation {
        /// By this run.
        run: RunId,
        /// How serious it is.
        severity: Severity,
    },
    /// A worker says something of itself.
    Told {
        /// Of this run.
        run: RunId,
        /// What.
        said: Said,
    },
    /// The keeper holds the process that a worker has named, as
    /// [`crate::effect::Effect::Follow`] asked; or not.
    Followed {
        /// Of this worker.
        worker: WorkerId,
        /// Its run.
        run: RunId,
        /// The process.
        process: ProcessKey,
        /// Why not.
        error: Option<String>,
    },
    /// A deadline is due.
    Wake,
    /// The master shall end.
    Shutdown {
        /// What becomes of the workers.
        mode: ShutdownMode,
        /// Who wants it.
        actor: Actor,
    },
    /// The stop that is under way shall not wait any longer.
    ForceShutdown,
}

/// What the kernel has done to a run within its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    /// How many of its processes it killed for want of memory, in all.
    pub kills: u64,
    /// How many processes and threads it refused, in all.
    pub refusals: u64,
    /// How the run ended: beyond its CPU time by a signal of its own.
    pub exit: Exit,
}
