//! The handle: the running master, for every other thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hsu_core::answer::Answer;
use hsu_core::input::{Command, ShutdownMode};
use hsu_logs::query::Spools;
use hsu_model::event::{Actor, Event};
use hsu_model::id::WorkerId;
use hsu_model::limits::LimitKind;
use hsu_model::time::WallTime;
use hsu_store::{Reader, UsageRecord};
use hsu_sys::limits::{Mechanism, Survey};
use tokio::sync::{oneshot, watch};

use crate::board::{Board, Snapshot};
use crate::control::{Control, ControlError, Facts, Pending, Unreplaced};
use crate::mass_stop::MassStop;
use crate::request::{Request, Requests, Undelivered};
use crate::usage_board::{UsageBoard, Used};

/// The running master.
#[derive(Debug)]
pub struct Handle {
    pub(crate) requests: Requests,
    pub(crate) board: Arc<Board>,
    pub(crate) reader: Reader,
    pub(crate) spools: Spools,
    pub(crate) keeper: Arc<AtomicU32>,
    pub(crate) started_at: WallTime,
    pub(crate) config: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) usage: Arc<UsageBoard>,
    pub(crate) records: PathBuf,
    pub(crate) survey: Survey,
}

impl Handle {
    fn send(&self, request: Request) -> Result<(), ControlError> {
        self.requests.send(request).map_err(|undelivered| match undelivered {
            Undelivered::Busy => ControlError::Busy,
            Undelivered::Ended => ControlError::Ending,
        })
    }
}

fn journal(error: &hsu_store::StoreError) -> ControlError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    ControlError::Journal(format!("{error}{}", cause.unwrap_or_default()))
}

impl Control for Handle {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.board.snapshot()
    }

    fn used(&self) -> Vec<(WorkerId, Used)> {
        self.usage.all()
    }

    fn used_by(&self, worker: &WorkerId) -> Option<Used> {
        self.usage.of(worker)
    }

    fn usage_records(
        &self,
        worker: &WorkerId,
        since: WallTime,
    ) -> std::io::Result<Vec<UsageRecord>> {
        hsu_store::usage_records(&self.records, worker, since)
    }

    fn survey(&self) -> Survey {
        self.survey.clone()
    }

    fn mechanisms(&self, worker: &WorkerId) -> Vec<(LimitKind, Mechanism)> {
        self.usage.standing(worker)
    }

    fn command(
        &self,
        actor: Actor,
        worker: WorkerId,
        command: Command,
    ) -> Result<Pending<Answer>, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Command { actor, worker, command, reply })?;
        Ok(answer)
    }

    fn events(
        &self,
        after: u64,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, ControlError> {
        self.reader.events(after, worker, limit).map_err(|error| journal(&error))
    }

    fn last_events(
        &self,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, ControlError> {
        self.reader.last_events(worker, limit).map_err(|error| journal(&error))
    }

    fn before_last(&self, worker: Option<&WorkerId>, count: usize) -> Result<u64, ControlError> {
        self.reader.before_last(worker, count).map_err(|error| journal(&error))
    }

    fn past(&self) -> Result<Reader, ControlError> {
        Ok(self.reader.clone())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.board.changes()
    }

    fn opened(&self) -> watch::Receiver<bool> {
        self.board.opened()
    }

    fn regained(&self) -> watch::Receiver<u64> {
        self.board.regained()
    }

    fn spools(&self) -> Spools {
        self.spools.clone()
    }

    fn shutdown(&self, actor: Actor, mode: ShutdownMode, force: bool) -> Result<(), ControlError> {
        self.send(Request::Shutdown { actor, mode, force })
    }

    fn upgrade(
        &self,
        actor: Actor,
        executable: Option<PathBuf>,
        mass_stop: MassStop,
    ) -> Result<Pending<Result<(), Unreplaced>>, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Upgrade { actor, executable, mass_stop, reply })?;
        Ok(answer)
    }

    fn facts(&self) -> Facts {
        Facts {
            pid: std::process::id(),
            keeper: self.keeper.load(Ordering::Relaxed),
            started_at: self.started_at,
            config: self.config.clone(),
            state: self.state.clone(),
            degraded: self.board.degraded(),
            replaced: self.board.replaced(),
            stuck: self.board.stuck(),
        }
    }
}
