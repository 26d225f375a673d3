//! Control: what a running master offers to its faces.

use std::path::PathBuf;
use std::sync::Arc;

use hsu_core::answer::Answer;
use hsu_core::input::{Command, ShutdownMode};
use hsu_logs::query::Spools;
use hsu_model::event::{Actor, Event};
use hsu_model::id::WorkerId;
use hsu_model::limits::LimitKind;
use hsu_model::time::{Now, WallTime};
use hsu_store::{Reader, UsageRecord};
use hsu_sys::limits::{Mechanism, Survey};
use tokio::sync::{oneshot, watch};

use crate::board::Snapshot;
use crate::mass_stop::MassStop;
use crate::usage_board::Used;

/// An answer that comes later.
pub type Pending<T> = oneshot::Receiver<T>;

/// Why a question could not be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The loop has too much to do, or hangs.
    #[error("the master does not take more requests at present")]
    Busy,
    /// The master is ending.
    #[error("the master is ending")]
    Ending,
    /// The store says so.
    #[error("the journal cannot be read: {0}")]
    Journal(String),
}

/// Why another master has not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreplaced {
    /// The present one is ending.
    #[error("the master is ending")]
    Ending,
    /// Somebody asked for another one before.
    #[error("the master is being replaced already")]
    UnderWay,
    /// It was tried, and the present one goes on.
    #[error("{0}")]
    Failed(String),
}

/// What is known about the master itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its PID.
    pub pid: u32,
    /// The keeper's PID.
    pub keeper: u32,
    /// When it started.
    pub started_at: WallTime,
    /// The configuration it runs.
    pub config: PathBuf,
    /// Its state folder.
    pub state: PathBuf,
    /// Why the state cannot be written at present.
    pub degraded: Option<String>,
    /// Why the state was begun anew in this life of the master.
    pub replaced: Option<String>,
    /// The outputs that take nothing at present.
    pub stuck: Vec<StuckOutput>,
}

/// An output that takes nothing at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckOutput {
    /// Its worker; none is an output of the master.
    pub worker: Option<WorkerId>,
    /// Which: a stream of the worker, or a file or console of the master.
    pub output: String,
    /// Why.
    pub reason: String,
}

/// A running master. Every method answers at once; none waits for the loop.
pub trait Control: Send + Sync + 'static {
    /// Every worker at this moment.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// What every worker with limits used at the latest look.
    fn used(&self) -> Vec<(WorkerId, Used)>;
    /// What one worker used at the latest look.
    fn used_by(&self, worker: &WorkerId) -> Option<Used>;
    /// What a worker used since a time, oldest first.
    ///
    /// # Errors
    /// The system's error.
    fn usage_records(
        &self,
        worker: &WorkerId,
        since: WallTime,
    ) -> std::io::Result<Vec<UsageRecord>>;
    /// Within which limits this host can keep workers.
    fn survey(&self) -> Survey;
    /// How the limits of a worker are kept as it has come out; nothing before it has been
    /// started.
    fn mechanisms(&self, worker: &WorkerId) -> Vec<(LimitKind, Mechanism)>;
    /// Asks for something; the answer comes when it is done or refused.
    ///
    /// # Errors
    /// [`ControlError`] when the loop does not take it.
    fn command(
        &self,
        actor: Actor,
        worker: WorkerId,
        command: Command,
    ) -> Result<Pending<Answer>, ControlError>;
    /// Events after a number, oldest first.
    ///
    /// # Errors
    /// [`ControlError::Journal`].
    fn events(
        &self,
        after: u64,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, ControlError>;
    /// The latest events, oldest first.
    ///
    /// # Errors
    /// [`ControlError::Journal`].
    fn last_events(
        &self,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, ControlError>;
    /// The number before the last so many events; the last number of all when none is wanted.
    ///
    /// # Errors
    /// [`ControlError::Journal`].
    fn before_last(&self, worker: Option<&WorkerId>, count: usize) -> Result<u64, ControlError>;
    /// The past, as the journal tells it.
    ///
    /// # Errors
    /// [`ControlError::Journal`] when there is none.
    fn past(&self) -> Result<Reader, ControlError>;
    /// Changes whenever anything does.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Turns true when the processes of an earlier life are known. Before that a
    /// snapshot tells what that life has written, without its processes.
    fn opened(&self) -> watch::Receiver<bool>;
    /// Rises when this master goes on after another has failed to replace it. That
    /// one may have put a socket of its own in the place of ours.
    fn regained(&self) -> watch::Receiver<u64>;
    /// The output of workers.
    fn spools(&self) -> Spools;
    /// Ends the master.
    ///
    /// # Errors
    /// [`ControlError`] when the loop does not take it.
    fn shutdown(&self, actor: Actor, mode: ShutdownMode, force: bool) -> Result<(), ControlError>;
    /// Replaces the master.
    ///
    /// # Errors
    /// [`ControlError`] when the loop does not take it.
    fn upgrade(
        &self,
        actor: Actor,
        executable: Option<PathBuf>,
        mass_stop: MassStop,
    ) -> Result<Pending<Result<(), Unreplaced>>, ControlError>;
    /// What is known about the master.
    fn facts(&self) -> Facts;
    /// Both clocks.
    fn now(&self) -> Now {
        hsu_sys::clock::now()
    }
}
