//! The fleet: every worker, one clock, one list of deadlines.
//!
//! [`Fleet::step`] finds the worker that an input is about, lets it change, and
//! keeps the deadlines in order. What concerns more than one worker (the start
//! rate, the end of the master, run numbers) lives here.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::restart::StartRate;
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::{Departure, WorkerSpec};

use crate::attachment::Watched;
use crate::effect::Effect;
use crate::health::{self, Question};
use crate::input::{Input, ShutdownMode};
use crate::limits::{Limited, Watches};
use crate::rate::Limiter;
use crate::record::{Resume, WorkerRecord};
use crate::restart::Cause;
use crate::scatter::scatter;
use crate::worker::{Context, Phase, Worker};

mod check;
mod ending;
mod glance;
mod judging;
mod ordering;
mod watching;

use ending::{Ending, Haste};

pub use check::Broken;
pub use glance::{Glance, Grip, Sight};

/// What the whole fleet is declared to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How many automatic restarts all workers together may have.
    pub start_rate: StartRate,
    /// How long the stop of everything may take before it is forced.
    pub force_shutdown_timeout: core::time::Duration,
    /// The first run number that was never used.
    pub next_run: u64,
}

/// Every worker.
#[derive(Debug)]
pub struct Fleet {
    settings: Settings,
    workers: BTreeMap<WorkerId, Worker>,
    runs: BTreeMap<RunId, WorkerId>,
    /// Those that somebody else starts.
    watched: BTreeMap<WorkerId, Watched>,
    watched_runs: BTreeMap<RunId, WorkerId>,
    /// Those among them that are not configured any more.
    unwatched: Vec<WorkerId>,
    /// Those that an operator removed: what is still told of their processes is stale.
    let_go: BTreeSet<WorkerId>,
    limiter: Limiter,
    /// Takes turns among the looks of all checks.
    looks: Limiter,
    next_run: u64,
    deadlines: BTreeSet<(Tick, WorkerId)>,
    /// The runs whose usage is looked at.
    watches: Watches,
    /// Whether everything that an earlier life left is known.
    settled: bool,
    ending: Option<Ending>,
}

impl Fleet {
    /// A fleet without workers.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            workers: BTreeMap::new(),
            runs: BTreeMap::new(),
            watched: BTreeMap::new(),
            watched_runs: BTreeMap::new(),
            unwatched: Vec::new(),
            let_go: BTreeSet::new(),
            limiter: Limiter::new(settings.start_rate),
            looks: Limiter::new(health::LOOKS),
            next_run: settings.next_run.max(1),
            deadlines: BTreeSet::new(),
            watches: Watches::default(),
            settled: false,
            ending: None,
        }
    }

    /// Adds a worker, going on where its record ends. Call it before the first step.
    ///
    /// A worker that an operator removed stays away while the life of the master goes on.
    pub fn add(&mut self, spec: Arc<WorkerSpec>, record: Option<&WorkerRecord>, resume: Resume) {
        if record.is_some_and(|record| record.removed) && resume == Resume::Continue {
            return;
        }
        if self.add_watched(&spec, record, resume) {
            return;
        }
        let mut worker = Worker::new(spec);
        // Of a worker that somebody else started nothing goes on in one that we start.
        if let Some(record) = record.filter(|record| record.attached.is_none()) {
            worker.import(record, resume);
        }
        let id = worker.id().clone();
        if let (Some(record), Some(limits)) = (record, worker.spec.limits()) {
            self.watches.recall(&id, limits, &record.raised);
        }
        self.workers.insert(id.clone(), worker);
        self.index(&id, None, None);
    }

    /// Adds a worker that is not configured any more: what runs of it is ended as it
    /// was to be ended, then it is forgotten. Call it before the first step.
    pub fn depart(&mut self, id: WorkerId, record: &WorkerRecord) {
        if record.attached.is_some() || record.removed {
            // Its processes are somebody else's, and go on; or an operator has removed it, and
            // nobody asks any more how its last run ended.
            return self.unwatched.push(id);
        }
        let spec = WorkerSpec::departed(id.clone(), record.departure.clone());
        let mut worker = Worker::new(Arc::new(spec));
        worker.import(record, Resume::Continue);
        self.workers.insert(id.clone(), worker);
        self.index(&id, None, None);
    }

    /// Takes one input and appends what follows from it.
    pub fn step(&mut self, now: Now, entropy: u64, input: Input, out: &mut Vec<Effect>) {
        if !self.believes(&input) {
            return;
        }
        match input {
            Input::Command { ticket, actor, worker, command } => {
                self.command(now, entropy, ticket, actor, worker, command, out);
            }
            Input::Spawned { run, process } => {
                self.with_run(now, entropy, run, out, |w, c| w.on_spawned(c, run, process));
            }
            Input::SpawnFailed { run, error, transient } => {
                self.with_run(now, entropy, run, out, |w, c| {
                    w.on_spawn_failed(c, run, error, transient);
                });
            }
            Input::Exited { worker, run, exit, at, wall } => {
                self.exited(now, entropy, (worker, run, exit), (at, wall), out);
            }
            Input::Adopted { worker, run, process, started } => {
                self.adopted(now, entropy, (worker, run), (process, started), out);
            }
            Input::Pending { worker, run } => self.pending(now, entropy, (worker, run), out),
            Input::Survivors { worker, run, pids } => {
                self.with(now, entropy, &worker, Actor::Master, out, |w, c| {
                    w.on_survivors(c, run, pids);
                });
            }
            watched @ (Input::Sighted { .. }
            | Input::Attached { .. }
            | Input::AttachFailed { .. }
            | Input::Serviced { .. }) => self.step_watched(now, entropy, watched, out),
            Input::Settled { unknown } => self.settle(now, entropy, unknown, out),
            Input::HealthFailed { run, severity } => {
                self.find(now, entropy, run, Cause::Health(severity), out);
            }
            Input::Checked { run, check, sequence, finding, took } => {
                let question = Question { check, sequence };
                let answer = health::Answer { run, question, finding, took };
                self.checked(now, entropy, answer, out);
            }
            Input::ResourceViolation { run, severity } => {
                self.find(now, entropy, run, Cause::Resource(severity), out);
            }
            Input::Told { run, said } => {
                self.with_run(now, entropy, run, out, |w, c| {
                    c.actor = Actor::Worker;
                    w.on_told(c, run, said);
                });
            }
            Input::Followed { worker, run, process, error } => {
                self.with(now, entropy, &worker, Actor::Worker, out, |w, c| {
                    w.on_followed(c, run, process, error);
                });
            }
            Input::Used { run, usage } => self.on_used(now, entropy, (run, usage), out),
            Input::HeldBack { run, toll } => {
                self.on_held_back(now, entropy, (run, toll), out);
            }
            Input::LimitFailed { worker, reason } => {
                out.push(judging::limit_failed(worker, reason));
            }
            Input::Wake => self.wake(now, entropy, out),
            Input::Shutdown { mode, actor } => self.shut_down(now, entropy, mode, &actor, out),
            Input::ForceShutdown => self.force(now, entropy, out),
        }
        self.finish_ending(out);
    }

    /// Whether a report can be true: one that gives a run of one worker to another is not, and
    /// the two would share a process. A number that is believed is never given again.
    fn believes(&mut self, input: &Input) -> bool {
        match input {
            Input::Exited { worker, run, .. }
            | Input::Adopted { worker, run, .. }
            | Input::Pending { worker, run } => {
                let is_theirs = self.worker_of(*run).is_none_or(|owner| owner == worker);
                if is_theirs {
                    self.see_run(*run);
                }
                is_theirs
            }
            Input::Spawned { run, .. } => {
                self.see_run(*run);
                true
            }
            Input::Command { .. }
            | Input::SpawnFailed { .. }
            | Input::Survivors { .. }
            | Input::Sighted { .. }
            | Input::Attached { .. }
            | Input::AttachFailed { .. }
            | Input::Serviced { .. }
            | Input::Settled { .. }
            | Input::HealthFailed { .. }
            | Input::Checked { .. }
            | Input::ResourceViolation { .. }
            | Input::Told { .. }
            | Input::Followed { .. }
            | Input::Used { .. }
            | Input::HeldBack { .. }
            | Input::LimitFailed { .. }
            | Input::Wake
            | Input::Shutdown { .. }
            | Input::ForceShutdown => true,
        }
    }

    fn pending(
        &mut self,
        now: Now,
        entropy: u64,
        (worker, run): (WorkerId, RunId),
        out: &mut Vec<Effect>,
    ) {
        self.meet(&worker);
        self.with(now, entropy, &worker, Actor::Master, out, |w, c| w.on_pending(c, run));
    }

    fn adopted(
        &mut self,
        now: Now,
        entropy: u64,
        (worker, run): (WorkerId, RunId),
        (process, started): (ProcessKey, (Tick, WallTime)),
        out: &mut Vec<Effect>,
    ) {
        // Nobody else would ever stop what an earlier life left.
        self.meet(&worker);
        let known = self.with(now, entropy, &worker, Actor::Master, out, |w, c| {
            w.on_adopted(c, run, process, started);
        });
        if !known {
            // It was removed after its run was over: the report is stale.
            out.push(Effect::KillTree { worker, run, whole: true });
        }
    }

    fn exited(
        &mut self,
        now: Now,
        entropy: u64,
        (worker, run, exit): (WorkerId, RunId, Exit),
        (at, wall): (Tick, WallTime),
        out: &mut Vec<Effect>,
    ) {
        if self.was_watched(&worker, run) {
            // A stale report: the process was let go, or its end is known.
            return;
        }
        let watched = self.with_watched_run(now, entropy, run, out, |w, c| {
            w.on_exited(c, run, exit, at, wall);
        });
        let known = watched
            || self.with(now, entropy, &worker, Actor::Worker, out, |w, c| {
                w.on_exited(c, run, exit, at, wall);
            });
        if !known {
            // A worker that is not configured any more: nobody waits for it. Another run of
            // it may be found alive, and gets its grace.
            out.push(Effect::KillTree { worker, run, whole: false });
            out.push(Effect::Acknowledge { run });
        }
    }

    fn settle(&mut self, now: Now, entropy: u64, unknown: UnknownExit, out: &mut Vec<Effect>) {
        let is_first = !core::mem::replace(&mut self.settled, true);
        if is_first {
            self.settle_watched(now, entropy, unknown, out);
        }
        let mut entropy = entropy;
        for id in self.ids() {
            self.with(now, entropy, &id, Actor::Master, out, |w, c| w.settle(c, unknown));
            entropy = scatter(entropy);
        }
    }

    fn checked(&mut self, now: Now, entropy: u64, answer: health::Answer, out: &mut Vec<Effect>) {
        let run = answer.run;
        if self.watched_runs.contains_key(&run) {
            self.with_watched_run(now, entropy, run, out, |w, c| w.on_checked(c, answer));
        } else {
            self.with_run(now, entropy, run, out, |w, c| w.on_checked(c, answer));
        }
    }

    fn find(&mut self, now: Now, entropy: u64, run: RunId, cause: Cause, out: &mut Vec<Effect>) {
        let watched = self.with_watched_run(now, entropy, run, out, |watched, context| {
            watched.on_finding(context, run, cause);
        });
        if !watched {
            self.with_run(now, entropy, run, out, |worker, context| {
                worker.on_finding(context, run, cause);
            });
        }
    }

    /// When [`Input::Wake`] is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let first = self.deadlines.first().map(|(due, _)| *due);
        let look = self.watches.next();
        let force = match self.ending {
            // Nothing is waited for any more.
            Some(Ending { told: true, .. }) => return None,
            Some(Ending { haste: Haste::Until(due), .. }) => Some(due),
            Some(Ending { haste: Haste::Now, .. }) | None => None,
        };
        first.into_iter().chain(force).chain(look).min()
    }

    /// A run number that the keeper knows is never given again, even when the record
    /// that it was given once was lost.
    fn see_run(&mut self, run: RunId) {
        self.next_run = self.next_run.max(run.0.saturating_add(1));
    }

    fn phase(&self) -> Phase {
        match self.ending {
            Some(Ending { mode: ShutdownMode::KeepWorkers, .. }) => Phase::Leaving,
            Some(Ending { haste: Haste::Until(_), .. }) => Phase::Stopping,
            Some(Ending { haste: Haste::Now, .. }) => Phase::Killing,
            None if self.settled => Phase::Serving,
            None => Phase::Settling,
        }
    }

    fn ids(&self) -> Vec<WorkerId> {
        self.workers.keys().cloned().collect()
    }

    /// Lets one worker change; whether it is known.
    fn with(
        &mut self,
        now: Now,
        entropy: u64,
        id: &WorkerId,
        actor: Actor,
        out: &mut Vec<Effect>,
        change: impl FnOnce(&mut Worker, &mut Context<'_>),
    ) -> bool {
        let phase = self.phase();
        let Some(worker) = self.workers.get_mut(id) else {
            return false;
        };
        let (run, deadline) = (worker.run(), worker.deadline());
        let mut context = Context {
            now,
            entropy,
            limiter: &mut self.limiter,
            looks: &mut self.looks,
            next_run: &mut self.next_run,
            phase,
            actor,
            out,
        };
        change(worker, &mut context);
        let has_departed = worker.has_departed();
        self.watch(now, id);
        self.index(id, run, deadline);
        if has_departed && self.settled {
            self.forget(id, out);
        }
        true
    }

    /// A worker that runs, although neither the configuration nor a record names it.
    fn meet(&mut self, id: &WorkerId) {
        if self.settled || self.workers.contains_key(id) {
            return;
        }
        let spec = WorkerSpec::departed(id.clone(), Departure::default());
        let worker = Worker::new(Arc::new(spec));
        self.workers.insert(id.clone(), worker);
    }

    /// Nothing is left of a worker that is not configured any more.
    fn forget(&mut self, id: &WorkerId, out: &mut Vec<Effect>) {
        let last = self.take_out(id).map(|worker| Box::new(worker.last_record()));
        let actor = Actor::Configuration;
        out.push(Effect::Event { worker: Some(id.clone()), actor, kind: EventKind::Removed });
        out.push(Effect::Forget { worker: id.clone(), last });
    }

    fn take_out(&mut self, id: &WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(id)?;
        if let Some(due) = worker.deadline() {
            self.deadlines.remove(&(due, id.clone()));
        }
        if let Some(run) = worker.run() {
            self.watches.end(run);
        }
        Some(worker)
    }

    fn with_run(
        &mut self,
        now: Now,
        entropy: u64,
        run: RunId,
        out: &mut Vec<Effect>,
        change: impl FnOnce(&mut Worker, &mut Context<'_>),
    ) {
        // A stale report: the run it names is already over.
        let Some(id) = self.runs.get(&run).cloned() else {
            return;
        };
        self.with(now, entropy, &id, Actor::Master, out, change);
    }

    /// Keeps runs and deadlines in step with a worker that may have changed.
    fn index(&mut self, id: &WorkerId, old_run: Option<RunId>, old_deadline: Option<Tick>) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let (run, deadline) = (worker.run(), worker.deadline());
        if let Some(old) = old_run
            && run != old_run
        {
            self.runs.remove(&old);
            self.watches.end(old);
        }
        if let Some(run) = run {
            self.see_run(run);
            self.runs.insert(run, id.clone());
        }
        if let Some(old) = old_deadline
            && deadline != old_deadline
        {
            self.deadlines.remove(&(old, id.clone()));
        }
        if let Some(due) = deadline {
            self.deadlines.insert((due, id.clone()));
        }
    }

    fn wake(&mut self, now: Now, entropy: u64, out: &mut Vec<Effect>) {
        let is_due = |due: &&(Tick, WorkerId)| due.0 <= now.tick;
        let due: Vec<_> =
            self.deadlines.iter().take_while(is_due).map(|(_, id)| id.clone()).collect();
        let mut entropy = entropy;
        for id in due {
            if !self.with_watched(now, entropy, &id, Actor::Master, out, Watched::on_due) {
                self.with(now, entropy, &id, Actor::Master, out, Worker::on_due);
            }
            entropy = scatter(entropy);
        }
        self.watches.wake(now.tick, out);
        if let Some(Ending { haste: Haste::Until(due), .. }) = self.ending
            && due <= now.tick
        {
            self.tell_force(out);
            self.force(now, entropy, out);
        }
    }
}
