//! The simulated disk under the store: commits, what of them survives a kill, and what a
//! loss of power.
//!
//! A model, by name: that a transaction is there as a whole or not at all is SQLite's
//! promise and is tried on the real files by the tests of `hsu-store`. What is real here is
//! the order in which batches become durable ([`hsu_store::Backlog`]). A commit survives
//! SIGKILL of the master; without a sync, a loss of power takes any tail of them.

use std::collections::BTreeMap;
use std::rc::Rc;

use hsu_core::breaker::Breaker;
use hsu_core::record::WorkerRecord;
use hsu_model::event::{Actor, EventKind};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::status::{Desired, WorkerState};
use hsu_model::worker::Departure;
use hsu_store::{Batch, Change, Durability, Life};

use super::master::Writing;
use super::museum::Bug;
use super::world::World;

/// Run numbers that are set aside together.
const RUN_BLOCK: u64 = 16;
/// How long a slow disk takes for a sync at most, in milliseconds.
const SLOWEST: usize = 60_000;
/// The rest after the disk took nothing, in milliseconds.
const REST: u64 = 400;

/// A row of the table of workers.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    /// Everything durable about a worker.
    Record(Rc<WorkerRecord>),
    /// An operator removed it.
    Stone,
}

/// Everything that a file holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) workers: BTreeMap<WorkerId, Row>,
    pub(crate) last_event: u64,
    pub(crate) next_run: u64,
    /// Run numbers below this are set aside, so that a loss of power gives none twice.
    reserved: u64,
    /// How far the latest life of the master came, and the boot it was of.
    pub(crate) life: Option<(Life, u32)>,
    /// How often the exit of each run was accounted, by run.
    pub(crate) exits: Vec<u8>,
    /// The commands that operators gave, by their number among the events.
    pub(crate) commands: u32,
}

/// One commit, small enough to keep until it is synced.
#[derive(Clone, Debug)]
struct Commit {
    number: u64,
    workers: Vec<(WorkerId, Option<Row>)>,
    last_event: u64,
    next_run: u64,
    reserved: u64,
    life: Option<(Life, u32)>,
    exits: Vec<RunId>,
    commands: u32,
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What a process that reads finds.
    pub(crate) cached: File,
    synced: File,
    unsynced: Vec<Commit>,
    /// The number of the latest batch of the present master that is committed, and synced.
    pub(crate) committed: u64,
    pub(crate) synced_number: u64,
    pub(crate) is_full: bool,
    pub(crate) is_slow: bool,
    pub(crate) fails_once: bool,
}

impl File {
    fn apply(&mut self, commit: &Commit) {
        for (worker, row) in &commit.workers {
            match row {
                Some(row) => drop(self.workers.insert(worker.clone(), row.clone())),
                None => drop(self.workers.remove(worker)),
            }
        }
        self.last_event = self.last_event.max(commit.last_event);
        self.next_run = self.next_run.max(commit.next_run);
        self.reserved = self.reserved.max(commit.reserved);
        self.life = commit.life.or(self.life);
        self.commands += commit.commands;
        for run in &commit.exits {
            let place = usize::try_from(run.0).unwrap_or(0);
            if self.exits.len() <= place {
                self.exits.resize(place + 1, 0);
            }
            self.exits[place] = self.exits[place].saturating_add(1);
        }
    }

    /// How far the latest life came, and the latest event: whether somebody else has written.
    pub(crate) fn bookmark(&self) -> (Option<Life>, u64) {
        (self.life.map(|(life, _)| life), self.last_event)
    }

    /// How often the exit of a run is accounted.
    pub(crate) fn accounted(&self, run: RunId) -> u8 {
        usize::try_from(run.0).ok().and_then(|place| self.exits.get(place)).copied().unwrap_or(0)
    }
}

impl Disk {
    /// Why a write fails at present.
    pub(crate) fn refuses(&mut self) -> Option<&'static str> {
        if std::mem::take(&mut self.fails_once) {
            return Some("input/output error");
        }
        self.is_full.then_some("no space left on device")
    }

    /// A transaction is committed.
    pub(crate) fn commit(&mut self, number: u64, batch: &mut Batch, boot: u32) {
        let workers = std::mem::take(&mut batch.workers);
        let exits = batch.events.iter().filter_map(|event| match event.kind {
            EventKind::Exited { run, .. } => Some(run),
            _ => None,
        });
        let is_command = |event: &&hsu_model::event::Event| {
            matches!(event.kind, EventKind::Commanded { .. })
                && matches!(event.actor, Actor::Operator { .. })
        };
        let commands = batch.events.iter().filter(is_command).count();
        let next_run = batch.next_run.unwrap_or(0);
        let needs_block = next_run >= self.cached.reserved && next_run > 0;
        let commit = Commit {
            number,
            workers: workers.into_iter().map(|(id, change)| (id, row(change))).collect(),
            last_event: batch.events.last().map_or(0, |event| event.sequence),
            next_run,
            reserved: if needs_block { next_run + RUN_BLOCK } else { 0 },
            life: batch.life.map(|(life, _)| (life, boot)),
            exits: exits.collect(),
            commands: u32::try_from(commands).unwrap_or(0),
        };
        self.cached.apply(&commit);
        self.committed = number;
        self.unsynced.push(commit);
        if batch.durability == Durability::Synced || needs_block {
            self.sync();
        }
    }

    fn sync(&mut self) {
        for commit in self.unsynced.drain(..) {
            self.synced.apply(&commit);
            self.synced_number = commit.number;
        }
    }

    /// Power is lost: of what was not synced a beginning is left.
    pub(crate) fn lose_power(&mut self, kept: usize) {
        let count = self.unsynced.len();
        let kept = if count == 0 { 0 } else { kept % (count + 1) };
        for commit in self.unsynced.drain(..kept) {
            self.synced.apply(&commit);
        }
        self.unsynced.clear();
        if self.synced.life.is_some_and(|(life, _)| life != Life::Ended) {
            self.synced.next_run = self.synced.next_run.max(self.synced.reserved);
        }
        self.cached = self.synced.clone();
    }

    /// Another master counts its batches from the beginning.
    pub(crate) fn begin_life(&mut self) {
        self.committed = 0;
        self.synced_number = 0;
        for commit in &mut self.unsynced {
            commit.number = 0;
        }
    }

    /// A row decays; the seal over it tells, and it is put aside.
    pub(crate) fn rot(&mut self, which: usize) -> Option<WorkerId> {
        self.sync();
        let count = self.cached.workers.len().max(1);
        let id = self.cached.workers.keys().nth(which % count)?.clone();
        self.cached.workers.remove(&id);
        self.synced.workers.remove(&id);
        Some(id)
    }

    /// All faults are over.
    pub(crate) fn heal(&mut self) {
        self.is_full = false;
        self.is_slow = false;
        self.fails_once = false;
    }
}

/// What a worker leaves that an operator removed, as the store reads it.
pub(crate) fn stone() -> WorkerRecord {
    WorkerRecord {
        desired: Desired::Stopped,
        enabled: None,
        removed: true,
        state: WorkerState::Registered,
        reason: String::new(),
        run: None,
        accounted: None,
        started: None,
        restarts: 0,
        counts_as_restart: false,
        attempts: 0,
        breaker: Breaker::Closed,
        next_attempt: None,
        last_exit: None,
        history: std::collections::VecDeque::new(),
        departure: Departure::default(),
        attached: None,
        started_as: None,
        ready_run: None,
        raised: Vec::new(),
    }
}

fn row(change: Change) -> Option<Row> {
    match change {
        Change::Record(record) => Some(Row::Record(Rc::from(record))),
        Change::Removed => Some(Row::Stone),
        Change::Forgotten => None,
    }
}

impl World {
    /// A write begins.
    pub(crate) fn disk_begins(&mut self) {
        let slow = self.disk.is_slow;
        let wait = if slow { self.chance.below(SLOWEST) } else { 0 };
        let done_at = self.now.after(std::time::Duration::from_millis(wait as u64));
        let Some(master) = &mut self.master else {
            return;
        };
        if let Some((number, batch)) = master.backlog.take_all() {
            master.writing = Some(Writing { number, batch, done_at });
        }
    }

    /// A write is over.
    pub(crate) fn disk_ends(&mut self) {
        let Some(master) = &mut self.master else {
            return;
        };
        let Some(Writing { number, mut batch, .. }) = master.writing.take() else {
            return;
        };
        match self.disk.refuses() {
            Some(_) if self.bug == Some(Bug::TrustsAFailedSync) => master.backlog.confirm(number),
            Some(_) if self.bug == Some(Bug::DropsAFailedBatch) => {
                master.backlog.put_back(number, Batch::default(), "dropped");
            }
            Some(reason) => {
                master.backlog.put_back(number, batch, reason);
                master.rest_until = self.now.after(std::time::Duration::from_millis(REST));
            }
            None => {
                master.backlog.confirm(number);
                let writer = master.hold;
                self.commit(writer, number, &mut batch);
                self.judge.on_commit(&self.disk.cached, &batch);
            }
        }
    }
}
