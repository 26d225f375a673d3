//! What a worker is doing, as people and programs see it.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::exit::Exit;
use crate::health::HealthStatus;
use crate::id::{RunId, WorkerId};
use crate::process::ProcessKey;
use crate::time::{Tick, WallTime};

/// The state of a worker, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkerState {
    /// Known, never started.
    Registered,
    /// Somebody else starts it, and its process is looked for.
    Searching,
    /// A spawn was asked for and has not been answered.
    Starting,
    /// A process runs.
    Running,
    /// A process was asked to end and has not ended.
    Stopping,
    /// Ended as wanted.
    Stopped,
    /// Ended, resting before the next attempt.
    BackingOff,
    /// The breaker is open: too many attempts failed.
    Tripped,
    /// Could not be started, or ended in a way that its policy does not restart. A start recovers it.
    Failed,
}

impl WorkerState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Registered,
        Self::Searching,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::BackingOff,
        Self::Tripped,
        Self::Failed,
    ];

    /// The word that people read and type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Searching => "searching",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::BackingOff => "backing-off",
            Self::Tripped => "tripped",
            Self::Failed => "failed",
        }
    }
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Restarts are allowed.
    #[default]
    Closed,
    /// No automatic restart.
    Open,
    /// One trial is under way.
    HalfOpen,
}

impl BreakerState {
    /// The word that people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Everything about one worker at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// Its name.
    pub id: WorkerId,
    /// Whether it may run.
    pub enabled: bool,
    /// What the operator wants of it.
    pub desired: Desired,
    /// What it is doing.
    pub state: WorkerState,
    /// Whether it does its job: running, and past every check.
    pub ready: bool,
    /// What it tells of itself; none when it is not listened to, or does not run.
    pub told: Option<ToldStatus>,
    /// What its checks say; none when it has no checks.
    pub health: Option<HealthStatus>,
    /// The latest run.
    pub run: Option<RunId>,
    /// The process of that run, while it lives.
    pub process: Option<ProcessKey>,
    /// When that process started.
    pub started_at: Option<(Tick, WallTime)>,
    /// Automatic and requested restarts since the worker was first started.
    pub restarts: u64,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Its breaker.
    pub breaker: BreakerState,
    /// How the latest ended run ended, and when.
    pub last_exit: Option<LastExit>,
    /// When the next attempt is due, while it rests.
    pub next_attempt: Option<Tick>,
    /// One sentence on why it is in this state.
    pub reason: String,
    /// Processes of the worker that a kill did not end.
    pub survivors: Vec<u32>,
    /// The processes of somebody else that are watched as this worker.
    pub attached: Vec<ProcessKey>,
}

/// What a running worker tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldStatus {
    /// How far it is.
    pub phase: ToldPhase,
    /// What it is doing, in its own words; hostile text.
    pub text: String,
}

/// How far a worker is, by its own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToldPhase {
    /// It has not said that it is ready, and must.
    #[default]
    Starting,
    /// It does its job.
    Ready,
    /// It reads its configuration anew, and does its job.
    Reloading,
    /// It is about to end.
    Stopping,
}

impl ToldPhase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Reloading, Self::Stopping];

    /// The word that people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Reloading => "reloading",
            Self::Stopping => "stopping",
        }
    }
}

/// What the operator wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// It shall run.
    Running,
    /// It shall not run.
    Stopped,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// Which run.
    pub run: RunId,
    /// How.
    pub exit: Exit,
    /// When.
    pub at: WallTime,
    /// How long it had run.
    pub lasted: Duration,
}
