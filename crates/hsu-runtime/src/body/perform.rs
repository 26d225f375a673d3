//! Effects: what the core asked for, done.

use std::path::PathBuf;

use hsu_core::effect::{Effect, Scope};
use hsu_core::gate::Held;
use hsu_core::input::{Command, Input, Ticket};
use hsu_core::record::WorkerRecord;
use hsu_keeper::{SignalScope, ToKeeper};
use hsu_model::event::{Actor, EventKind};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::Now;
use hsu_model::worker::Unit;
use hsu_store::{Change, Durability};
use hsu_sys::limits::Prepared;
use hsu_sys::tree::Kill;
use tracing::warn;

use super::limits::add_limits;
use super::{Body, Ending};
use crate::board::Entry;
use crate::chores::Chore;
use hsu_core::input::ShutdownMode;

/// So many orders of a burst go to the keeper together.
const TOGETHER: usize = 32;

impl Body {
    /// Performs every effect that is there. What the keeper does goes to it first, in
    /// order: the books are written while it works.
    pub(super) fn perform_all(&mut self, now: Now) {
        let mut effects = std::mem::take(&mut self.effects);
        for (count, effect) in effects.extract_if(.., |effect| is_order(effect)).enumerate() {
            self.perform(now, effect);
            if count % TOGETHER == TOGETHER - 1 {
                self.holding.flush();
            }
        }
        self.holding.flush();
        for effect in effects.drain(..) {
            self.perform(now, effect);
        }
        // The list keeps its memory for the next round.
        self.effects = effects;
    }

    /// Makes an operator's wish durable first; what it asks for waits until it is.
    /// When the disk takes nothing, an order that only ends something does not wait for it.
    pub(super) fn perform_wish(
        &mut self,
        now: Now,
        worker: WorkerId,
        (ticket, command): (Ticket, Command),
    ) {
        let effects = std::mem::take(&mut self.effects);
        let (books, deeds): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(Effect::is_bookkeeping);
        for effect in books {
            self.perform(now, effect);
        }
        self.batch.durability = Durability::Synced;
        let before = self.store.submitted();
        let number = self.submit(now);
        let changed = Some(number).filter(|number| *number > before);
        if command.outruns_the_disk() {
            self.gate.order_to_end(ticket, changed);
        }
        if changed.is_none() || !command.outruns_the_disk() {
            self.books.order(number, ticket);
        }
        self.gate.wish(worker, number, deeds);
        self.hurry_ends(now);
        if self.store.health().is_some() {
            self.hurry_orders(now);
        }
    }

    /// The disk takes nothing: what only ends something is done all the same.
    pub(super) fn hurry_orders(&mut self, now: Now) {
        for effect in self.gate.hurry_orders() {
            self.perform(now, effect);
        }
    }

    /// A master that stops its workers waits with no signal and no kill for the disk.
    pub(super) fn hurry_ends(&mut self, now: Now) {
        if self.stopping == Some(ShutdownMode::StopWorkers) {
            for end in self.gate.hurry_ends() {
                self.perform(now, end);
            }
        }
    }

    /// Does what has waited for batches that are durable by now.
    pub(super) fn release_durable(&mut self) {
        let now = hsu_sys::clock::now();
        let durable = self.store.durable();
        self.watch_state(now);
        for held in self.gate.release(durable) {
            match held {
                Held::Effect(effect) => self.perform(now, effect),
                Held::Acknowledge(run) => self.holding.queue(ToKeeper::Acknowledge { run }),
                // Without a keeper that hears it the next master forgets it.
                Held::Forget(worker) if self.holding.link().is_some() => {
                    self.batch.workers.push((worker, Change::Forgotten));
                }
                Held::Forget(_) => {}
            }
        }
        self.release_words();
    }

    pub(super) fn perform(&mut self, now: Now, effect: Effect) {
        if let Some(number) = self.gate.awaits(&effect, self.store.durable()) {
            return self.gate.hold(number, effect);
        }
        match effect {
            Effect::Spawn { worker, run } => self.spawn_when_clear(worker, run),
            Effect::Search { worker, wanted } => self.search(worker, wanted),
            Effect::Attach { worker, run, process, program } => {
                self.attach(now, worker, run, process, program);
            }
            Effect::Release { run } => self.release_attached(run),
            Effect::Service { worker, verb } => self.ask_manager(worker, verb),
            Effect::Follow { worker, run, process } => self.follow(worker, run, process),
            Effect::Signal { run, signal, scope } if self.discovery.holds(run) => {
                self.signal_attached(run, signal, scope);
            }
            Effect::Signal { run, signal, scope } => {
                let scope = match scope {
                    Scope::Process => SignalScope::Process,
                    Scope::Tree => SignalScope::Group,
                };
                self.holding.queue(ToKeeper::Signal { run, signal, scope });
            }
            // What lives beside other runs of its worker decides nothing when it is gone.
            Effect::KillTree { worker, run, whole: false }
                if self.clearing.is_clear(&worker, run) => {}
            Effect::KillTree { worker, run, whole } => {
                let process = self.live.get(&run).map(|live| live.process);
                let is_enclosed = self.clearing.is_enclosed(&worker, run);
                self.clearing.kills.begin(&worker);
                let kill = Kill { worker, run, process, whole, is_enclosed };
                self.chores.add(Chore::KillTree(kill));
            }
            Effect::Check { worker, run, check, sequence } => {
                self.look(worker, run, check, sequence);
            }
            Effect::Reply { ticket, answer } => {
                let reason = self.store.health();
                let reason = reason.as_deref().unwrap_or("the state is not written yet");
                let answer = self.gate.tell(ticket, answer, self.store.durable(), reason);
                self.answer(ticket, answer);
            }
            Effect::Event { worker, actor, kind } => self.record(now, worker, actor, kind),
            Effect::Persist { workers } => {
                for worker in workers {
                    let record = self.fleet.export(&worker).map(Box::new);
                    let change = record.map_or(Change::Removed, Change::Record);
                    self.batch.workers.push((worker.clone(), change));
                    self.changed.insert(worker);
                }
            }
            Effect::Forget { worker, last } => self.forget(worker, last),
            Effect::Acknowledge { run } => self.batch.acknowledged.push(run),
            Effect::Measure { worker, run, limits } => self.measure(worker, run, limits),
            Effect::Throttle { worker, run, limits, rule, how } => {
                self.throttle(worker, run, limits, rule, how);
            }
            Effect::Alert { worker, limit, text, alert } => {
                self.alert(now, worker, (limit, text), alert);
            }
            Effect::AllStopped => {
                self.ending = Some(match self.stopping {
                    Some(ShutdownMode::KeepWorkers) => Ending::KeptWorkers,
                    Some(ShutdownMode::StopWorkers) | None => Ending::Stopped,
                });
            }
        }
    }

    /// Nothing is left of a worker; its record stays until the keeper knows that, too.
    fn forget(&mut self, worker: WorkerId, last: Option<Box<WorkerRecord>>) {
        self.changed.insert(worker.clone());
        if let Some(last) = last {
            self.batch.workers.push((worker.clone(), Change::Record(last)));
            self.departed.push(worker);
        } else {
            self.batch.workers.push((worker, Change::Forgotten));
        }
    }

    pub(super) fn spawn(&mut self, worker: WorkerId, run: RunId) {
        if !self.prepare_limits(&worker, run) {
            self.spawn_prepared(worker, run, None);
        }
    }

    /// Asks the keeper, with what the limits of the worker need.
    pub(super) fn spawn_prepared(
        &mut self,
        worker: WorkerId,
        run: RunId,
        prepared: Option<Prepared>,
    ) {
        let Some(spec) = self.fleet.spec(&worker).cloned() else {
            return self.fail_spawn(run, "the worker is not configured any more".to_owned());
        };
        let Unit::Managed(managed) = &spec.unit else {
            return self.fail_spawn(run, "only managed workers can be started".to_owned());
        };
        if let Err(error) = self.equip(&worker, managed) {
            // Whoever is in the way may go away.
            let error = error.to_string();
            return self.inputs.push_back(Input::SpawnFailed { run, error, transient: true });
        }
        let ear = self.notify_path(&worker);
        let cgroup = self.clearing.ask_birth(&worker, run);
        match self.launcher.request(&worker, run, managed, &ear, cgroup.as_deref()) {
            Ok(mut request) => {
                if let (Some(prepared), Some(limits)) = (prepared, &managed.limits) {
                    add_limits(&mut request, prepared, limits.shares.nice);
                }
                self.roll.ask(run);
                self.holding.spawn(request);
            }
            Err(error) => {
                self.clearing.not_born(run);
                self.fail_spawn(run, error.to_string());
            }
        }
    }

    /// Whatever is missing does not appear by itself: no other attempt.
    fn fail_spawn(&mut self, run: RunId, error: String) {
        self.inputs.push_back(Input::SpawnFailed { run, error, transient: false });
    }

    /// Puts a fact into the journal, and does the small work that belongs to it.
    pub(crate) fn record(
        &mut self,
        now: Now,
        worker: Option<WorkerId>,
        actor: Actor,
        kind: EventKind,
    ) {
        if let Some(worker) = &worker {
            self.teller.tell(now.tick, worker, &kind);
            self.keep_pid_file(worker, &kind);
            self.clear_shelf(worker, &kind);
            self.changed.insert(worker.clone());
        } else if let EventKind::MasterStopping { reason } = &kind {
            warn!("the master is ending: {reason}");
        }
        let event = self.stamper.stamp(now.wall, worker, actor, kind);
        self.batch.events.push(event);
    }

    fn keep_pid_file(&self, worker: &WorkerId, kind: &EventKind) {
        let path = self.fleet.spec(worker).and_then(|spec| match &spec.unit {
            Unit::Managed(managed) => Some(&managed.pid_file),
            Unit::Departed(departure) => Some(&departure.pid_file),
            Unit::Unmanaged(_) | _ => None,
        });
        let Some(path) = path.filter(|path| !path.is_empty()).map(PathBuf::from) else { return };
        // Nothing else changes the process.
        if let EventKind::Spawned { pid, .. }
        | EventKind::Adopted { pid, .. }
        | EventKind::MainProcess { pid, .. } = kind
        {
            self.chores.add(Chore::PidFile { path, pid: Some(*pid) });
        } else if let EventKind::Exited { .. } = kind {
            self.chores.add(Chore::PidFile { path, pid: None });
        }
    }

    /// Sends what the round changed to the store; the number of the batch.
    pub(super) fn submit(&mut self, now: Now) -> u64 {
        self.write_statuses(now);
        if self.batch.is_empty() {
            return self.store.submitted();
        }
        self.batch.next_run = Some(self.fleet.next_run());
        let batch = std::mem::take(&mut self.batch);
        let acknowledged = batch.acknowledged.clone();
        let number = self.store.submit(batch);
        for run in acknowledged {
            self.gate.acknowledge_after(number, run);
        }
        for worker in std::mem::take(&mut self.departed) {
            self.gate.forget_after(number, worker);
        }
        number
    }

    /// Puts the status of changed workers on the board.
    pub(super) fn post(&mut self) {
        if !self.changed.is_empty() {
            let changed = std::mem::take(&mut self.changed);
            let (fleet, books) = (&self.fleet, &self.books);
            let entries = changed.into_iter().map(|id| {
                let status = || books.status(&id).or_else(|| fleet.status(&id).map(Into::into));
                let outdated = fleet.is_outdated(&id);
                let entry = fleet.spec(&id).cloned().zip(status());
                (id, entry.map(|(spec, status)| Entry { spec, status, outdated }))
            });
            self.board.post(entries);
        }
        if self.settled && !self.candidate {
            self.board.open();
        }
    }
}

/// Whether an effect is for other processes. Kills are among them, because the starts that
/// follow wait for them.
fn is_order(effect: &Effect) -> bool {
    match effect {
        Effect::Spawn { .. }
        | Effect::Signal { .. }
        | Effect::KillTree { .. }
        | Effect::Search { .. }
        | Effect::Attach { .. }
        | Effect::Release { .. }
        | Effect::Follow { .. }
        | Effect::Service { .. } => true,
        Effect::Reply { .. }
        | Effect::Check { .. }
        | Effect::Event { .. }
        | Effect::Persist { .. }
        | Effect::Forget { .. }
        | Effect::Acknowledge { .. }
        | Effect::Measure { .. }
        | Effect::Throttle { .. }
        | Effect::Alert { .. }
        | Effect::AllStopped => false,
    }
}
