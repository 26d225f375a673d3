//! Events: immutable facts with a cause and an actor.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::exit::Exit;
use crate::health::{Condition, Verdict};
use crate::id::{RunId, WorkerId};
use crate::severity::Severity;
use crate::status::{BreakerState, ToldPhase, WorkerState};
use crate::time::WallTime;

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the journal; rises by one, never reused.
    pub sequence: u64,
    /// When it happened.
    pub at: WallTime,
    /// Whom it is about; none for the master itself.
    pub worker: Option<WorkerId>,
    /// Who or what caused it.
    pub actor: Actor,
    /// What happened.
    pub kind: EventKind,
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The master, by its own rules.
    Master,
    /// The configuration.
    Configuration,
    /// Somebody at the control socket.
    Operator {
        /// Their user id.
        uid: u32,
    },
    /// A signal to the master.
    Signal(i32),
    /// The worker's own process.
    Worker,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Configuration => f.write_str("configuration"),
            Self::Operator { uid } => write!(f, "operator:{uid}"),
            Self::Signal(number) => write!(f, "signal:{number}"),
            Self::Worker => f.write_str("worker"),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A worker became known.
    Registered,
    /// A worker was forgotten.
    Removed,
    /// A worker changed its state.
    StateChanged {
        /// The state it left.
        from: WorkerState,
        /// The state it entered.
        to: WorkerState,
        /// One sentence on why.
        reason: String,
    },
    /// A process was started.
    Spawned {
        /// Its run.
        run: RunId,
        /// Its PID.
        pid: u32,
    },
    /// A process of an earlier life was found and taken over.
    Adopted {
        /// Its run.
        run: RunId,
        /// Its PID.
        pid: u32,
    },
    /// A process of somebody else is not watched any more, and goes on.
    Released {
        /// Its run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// No process is taken for a worker whose process is looked for.
    NotFound {
        /// Why, or which ones would fit.
        reason: String,
    },
    /// A process could not be started.
    SpawnFailed {
        /// The run that did not happen.
        run: RunId,
        /// Why.
        error: String,
    },
    /// A process ended.
    Exited {
        /// Its run.
        run: RunId,
        /// How.
        exit: Exit,
        /// How long it had run.
        lasted: Duration,
    },
    /// A restart was decided.
    RestartScheduled {
        /// The number of this attempt, from 1.
        attempt: u32,
        /// The most attempts; 0 is no limit.
        limit: u32,
        /// The rest before it.
        delay: Duration,
    },
    /// No restart was decided.
    RestartRefused {
        /// Why.
        reason: String,
    },
    /// A signal was sent.
    Signalled {
        /// To which run.
        run: RunId,
        /// Which signal.
        signal: i32,
    },
    /// A worker said how far it is.
    Told {
        /// Which run.
        run: RunId,
        /// How far.
        phase: ToldPhase,
    },
    /// A worker goes on as another of its processes, which it has named.
    MainProcess {
        /// The run, which stays the same.
        run: RunId,
        /// The PID of the process that counts from now on.
        pid: u32,
    },
    /// A worker has named a process that is not taken for the one that counts.
    MainProcessRefused {
        /// Its run.
        run: RunId,
        /// The PID that it named.
        pid: u32,
        /// Why not.
        reason: String,
    },
    /// A grace period ended and the whole tree was killed.
    Killed {
        /// Which run.
        run: RunId,
    },
    /// A worker ended by itself and left processes behind, which were ended.
    LeftBehind {
        /// By which run.
        run: RunId,
        /// How many.
        count: u32,
    },
    /// Processes of a worker survived their kill.
    Survived {
        /// Which run.
        run: RunId,
        /// How many.
        count: u32,
    },
    /// A breaker changed.
    Breaker {
        /// The state it entered.
        to: BreakerState,
    },
    /// A check says something else than before.
    CheckChanged {
        /// At this run.
        run: RunId,
        /// The name of the check.
        check: String,
        /// What it says now.
        to: Verdict,
        /// Why.
        reason: String,
    },
    /// A worker is in another condition than before, or has become ready, or is it no more.
    HealthChanged {
        /// This run of it.
        run: RunId,
        /// The condition it left.
        from: Condition,
        /// The condition it entered.
        to: Condition,
        /// Whether it does its job now.
        ready: bool,
        /// One sentence on why.
        reason: String,
    },
    /// The operator's command was accepted.
    Commanded {
        /// The verb, as typed.
        verb: String,
    },
    /// An output takes nothing at present.
    OutputStuck {
        /// Which: `stdout` or `stderr` of the worker, or a file or console of the master.
        output: String,
        /// Why.
        reason: String,
    },
    /// An output takes lines again.
    OutputFlows {
        /// Which.
        output: String,
    },
    /// Output of a worker was dropped, because its policy says so.
    OutputDropped {
        /// How many bytes.
        bytes: u64,
    },
    /// A worker is near a limit, or beyond it.
    LimitExceeded {
        /// Which run.
        run: RunId,
        /// Which limit, by its key.
        limit: String,
        /// How serious it is.
        severity: Severity,
        /// What it uses, for people.
        value: String,
        /// The limit, for people.
        most: String,
        /// Whether the kernel keeps the worker at the limit: it wants more than it gets.
        held: bool,
    },
    /// Something was done about an exceeded limit.
    LimitAction {
        /// About which run.
        run: RunId,
        /// Which limit.
        limit: String,
        /// What, by the word of the policy, and how.
        action: String,
    },
    /// A worker is within a limit again.
    LimitEased {
        /// Which run.
        run: RunId,
        /// Which limit.
        limit: String,
        /// How long it was beyond it.
        lasted: Duration,
    },
    /// The kernel killed processes of a worker for want of memory within its limit.
    OomKilled {
        /// Which run.
        run: RunId,
        /// How many.
        count: u64,
        /// The limit, for people.
        most: String,
    },
    /// A limit is only watched, although the kernel was to see to it; or an alert was not told.
    LimitFailed {
        /// What, and why.
        reason: String,
    },
    /// The master began.
    MasterStarted {
        /// Workers that were found running.
        adopted: u32,
    },
    /// The master is ending.
    MasterStopping {
        /// What becomes of the workers, and why.
        reason: String,
    },
    /// The state was broken, or the disk failed to keep it: another one was begun with what
    /// is sound.
    StateReplaced {
        /// What was wrong, and what was saved.
        reason: String,
    },
    /// The state cannot be written at present.
    StateUnwritable {
        /// Why not.
        reason: String,
    },
    /// The state is written again, and so is what happened meanwhile.
    StateWritable,
    /// A role was lost and is replaced.
    RoleLost {
        /// `keeper`, `pump` or `master`.
        role: String,
        /// How, as far as anybody knows; empty when nobody does.
        reason: String,
    },
}
