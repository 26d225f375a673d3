//! The simulated master: the real fleet, gate, roll and backlog, around them the body's order.
//!
//! Real: what decides ([`hsu_core::fleet`]), what waits for the disk ([`hsu_core::gate`]), for
//! kills ([`hsu_core::clearing`]) and for an inventory ([`hsu_core::roll`]), and the batches
//! ([`hsu_store::Backlog`]). A model, by name: the turn of the loop in `hsu-runtime`, which
//! performs effects one by one as here.

use std::collections::{BTreeMap, VecDeque};

use hsu_core::clearing::Clearing;
use hsu_core::effect::{Effect, Scope};
use hsu_core::fleet::Fleet;
use hsu_core::gate::{Gate, Held};
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::roll::Roll;
use hsu_keeper::{GoodbyeMode, Program, SignalScope, SpawnRequest, ToKeeper};
use hsu_model::event::{Actor, Event, EventKind};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::{BootId, ProcessKey};
use hsu_model::time::{Now, Tick};
use hsu_store::{Backlog, Batch, Bounds, Change, Durability, Life};

use super::hands::Hands;
use super::museum::Bug;
use super::nature::CANARY;
use super::os::Hold;
use super::succession::Succession;

/// What lives, as far as the master knows.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) worker: WorkerId,
    pub(crate) process: ProcessKey,
}

/// A kill that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) worker: WorkerId,
    pub(crate) run: RunId,
    pub(crate) whole: bool,
}

/// A write under way.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) number: u64,
    pub(crate) batch: Batch,
    pub(crate) done_at: Tick,
}

/// What performing one effect showed to the outside.
#[derive(Debug)]
pub(crate) enum Shown {
    /// An answer left the house.
    Answer(Ticket, hsu_core::answer::Answer),
    /// A fact was put into the journal.
    Fact(Event),
    /// The keeper is asked to start a run, while so much was durable.
    Ordered {
        /// Of this worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// The latest batch that was durable.
        durable: u64,
    },
}

/// A master that lives.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) hold: Hold,
    pub(crate) fleet: Fleet,
    pub(crate) gate: Gate,
    pub(crate) roll: Roll,
    pub(crate) succession: Succession,
    pub(crate) clearing: Clearing,
    pub(crate) backlog: Backlog,
    pub(crate) batch: Batch,
    /// Workers that the store forgets once the keeper has forgotten their exits.
    pub(crate) departed: Vec<WorkerId>,
    pub(crate) live: BTreeMap<RunId, Live>,
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) next_event: u64,
    pub(crate) kills: VecDeque<Kill>,
    pub(crate) reports: VecDeque<(WorkerId, RunId, Vec<u32>)>,
    pub(crate) writing: Option<Writing>,
    /// When the disk is tried again after it took nothing.
    pub(crate) rest_until: Tick,
    pub(crate) is_connected: bool,
    /// When it may start another keeper.
    pub(crate) outgoing: Vec<ToKeeper>,
    pub(crate) stopping: Option<ShutdownMode>,
    pub(crate) ending: Option<GoodbyeMode>,
    pub(crate) unknown: hsu_model::exit::UnknownExit,
    pub(crate) adopted: u32,
    pub(crate) is_settled: bool,
    /// Whether another one waits for it to take over.
    pub(crate) is_candidate: bool,
    /// Whether somebody waits for another one to take over from it.
    pub(crate) is_to_be_replaced: bool,
    pub(crate) hands: Hands,
    pub(crate) shown: Vec<Shown>,
    pub(crate) bug: Option<Bug>,
}

impl Master {
    pub(crate) fn new(hold: Hold, fleet: Fleet, bounds: Bounds, last_event: u64) -> Self {
        let mut master = Self {
            hold,
            fleet,
            gate: Gate::default(),
            roll: Roll::default(),
            succession: Succession::default(),
            clearing: Clearing::default(),
            backlog: Backlog::new(bounds),
            batch: Batch::default(),
            departed: Vec::new(),
            live: BTreeMap::new(),
            inputs: VecDeque::new(),
            effects: Vec::new(),
            next_event: last_event + 1,
            kills: VecDeque::new(),
            reports: VecDeque::new(),
            writing: None,
            rest_until: Tick(0),
            is_connected: false,
            outgoing: Vec::new(),
            stopping: None,
            ending: None,
            unknown: hsu_model::exit::UnknownExit::KeeperLost,
            adopted: 0,
            is_settled: false,
            is_candidate: false,
            is_to_be_replaced: false,
            hands: Hands::default(),
            shown: Vec::new(),
            bug: None,
        };
        let life = Some((Life::Lasts, BootId::default()));
        master.backlog.push(Batch { life, ..Batch::default() });
        master
    }

    /// Performs every effect that is there, in order.
    pub(crate) fn perform_all(&mut self, now: Now) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.perform(now, effect);
        }
        self.effects = effects;
    }

    /// Makes an operator's wish durable first; what it asks for waits until it is.
    /// When the disk takes nothing, an order that only ends something does not wait for it.
    pub(crate) fn perform_wish(
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
        if self.bug != Some(Bug::SkipsTheSync) {
            self.batch.durability = Durability::Synced;
        }
        let before = self.backlog.submitted();
        let number = self.submit();
        if command.outruns_the_disk() {
            self.gate.order_to_end(ticket, Some(number).filter(|number| *number > before));
        }
        let is_let_through = |effect: &Effect| match effect {
            Effect::Reply { .. } => self.bug == Some(Bug::AnswersEarly),
            Effect::Spawn { .. } => self.bug == Some(Bug::StartsEarly),
            _ => false,
        };
        let (early, deeds): (Vec<_>, Vec<_>) = deeds.into_iter().partition(is_let_through);
        self.gate.wish(worker, number, deeds);
        self.hurry_ends(now);
        self.hurry_orders(now);
        for effect in early {
            self.carry_out(now, effect);
        }
    }

    /// When the disk takes nothing, what only ends something is done all the same.
    fn hurry_orders(&mut self, now: Now) {
        if self.backlog.health().is_some() {
            for effect in self.gate.hurry_orders() {
                self.perform(now, effect);
            }
        }
    }

    /// A master that stops its workers waits with no signal and no kill for the disk.
    pub(crate) fn hurry_ends(&mut self, now: Now) {
        if self.stopping == Some(ShutdownMode::StopWorkers) {
            for end in self.gate.hurry_ends() {
                self.perform(now, end);
            }
        }
    }

    /// Does what has waited for batches that are durable by now.
    pub(crate) fn release(&mut self, now: Now) -> Vec<RunId> {
        let mut acknowledged = Vec::new();
        self.hurry_orders(now);
        for held in self.gate.release(self.backlog.durable()) {
            match held {
                Held::Effect(effect) => self.perform(now, effect),
                Held::Acknowledge(run) => {
                    acknowledged.push(run);
                    self.outgoing.push(ToKeeper::Acknowledge { run });
                }
                // Without a keeper that hears it the next master forgets it.
                Held::Forget(worker) if self.is_connected => {
                    self.batch.workers.push((worker, Change::Forgotten));
                }
                Held::Forget(_) => {}
            }
        }
        acknowledged
    }

    pub(crate) fn perform(&mut self, now: Now, effect: Effect) {
        if let Some(number) = self.gate.awaits(&effect, self.backlog.durable()) {
            return self.gate.hold(number, effect);
        }
        self.carry_out(now, effect);
    }

    fn carry_out(&mut self, now: Now, effect: Effect) {
        let Some(effect) = self.hands.take(now.tick, effect) else {
            return;
        };
        match effect {
            Effect::Spawn { worker, run } => {
                let waits = self.bug != Some(Bug::StartsBesideTheKill);
                if !(waits && self.clearing.keeps(&worker, run)) {
                    self.spawn(worker, run);
                }
            }
            Effect::Signal { run, signal, scope } => {
                let scope = match scope {
                    Scope::Process => SignalScope::Process,
                    Scope::Tree => SignalScope::Group,
                };
                self.outgoing.push(ToKeeper::Signal { run, signal, scope });
            }
            Effect::KillTree { worker, run, whole } => {
                self.clearing.begin(&worker);
                self.kills.push_back(Kill { worker, run, whole });
            }
            Effect::Reply { ticket, answer } => {
                let answer = self.gate.tell(ticket, answer, self.backlog.durable(), "full");
                self.shown.push(Shown::Answer(ticket, answer));
            }
            Effect::Event { worker, actor, kind } => self.record(now, worker, actor, kind),
            Effect::Persist { workers } => {
                for worker in workers {
                    let record = self.fleet.export(&worker).map(Box::new);
                    let change = record.map_or(Change::Removed, Change::Record);
                    self.batch.workers.push((worker, change));
                }
            }
            Effect::Forget { worker, last: Some(last) } => {
                self.batch.workers.push((worker.clone(), Change::Record(last)));
                self.departed.push(worker);
            }
            Effect::Forget { worker, last: None } => {
                self.batch.workers.push((worker, Change::Forgotten));
            }
            Effect::Acknowledge { run } if self.bug == Some(Bug::ForgetsEarly) => {
                self.outgoing.push(ToKeeper::Acknowledge { run });
            }
            Effect::Acknowledge { run } => self.batch.acknowledged.push(run),
            // These are the hands'.
            Effect::Search { .. }
            | Effect::Attach { .. }
            | Effect::Release { .. }
            | Effect::Follow { .. }
            | Effect::Service { .. }
            | Effect::Check { .. }
            | Effect::Measure { .. }
            | Effect::Throttle { .. }
            | Effect::Alert { .. } => {}
            Effect::AllStopped => {
                self.ending = Some(match self.stopping {
                    Some(ShutdownMode::KeepWorkers) => GoodbyeMode::Keep,
                    Some(ShutdownMode::StopWorkers) | None => GoodbyeMode::Stop,
                });
            }
        }
    }

    /// A kill of something that belongs to this worker is over.
    pub(crate) fn on_kill_reported(&mut self, now: Now, worker: &WorkerId) {
        for run in self.clearing.end(worker) {
            self.perform(now, Effect::Spawn { worker: worker.clone(), run });
        }
    }

    fn spawn(&mut self, worker: WorkerId, run: RunId) {
        if self.fleet.spec(&worker).is_none() {
            let error = "the worker is not configured any more".to_owned();
            return self.inputs.push_back(Input::SpawnFailed { run, error, transient: false });
        }
        self.roll.ask(run);
        let durable = self.backlog.durable();
        self.shown.push(Shown::Ordered { worker: worker.clone(), run, durable });
        // A spawn that meets no keeper is settled by the inventory: it is not repeated.
        if self.is_connected || self.bug == Some(Bug::RepeatsOrders) {
            let text = |text: &str| std::ffi::CString::new(text).unwrap_or_default();
            let program = Program {
                executable: text("/bin/web"),
                args: vec![text("web")],
                env: vec![text(CANARY)],
                cwd: text("/"),
            };
            self.outgoing.push(ToKeeper::Spawn(Box::new(SpawnRequest {
                run,
                worker,
                program,
                identity: None,
                cgroup: None,
                ready_descriptor: None,
                entrances: Vec::new(),
                umask: None,
                nice: None,
                rlimits: Vec::new(),
                capture: hsu_keeper::Capture { stdout: true, stderr: false },
            })));
        }
    }

    /// Puts a fact into the journal.
    pub(crate) fn record(
        &mut self,
        now: Now,
        worker: Option<WorkerId>,
        actor: Actor,
        kind: EventKind,
    ) {
        let event = Event { sequence: self.next_event, at: now.wall, worker, actor, kind };
        self.next_event += 1;
        self.shown.push(Shown::Fact(event.clone()));
        self.batch.events.push(event);
    }

    /// Sends what the round changed to the store; the number of the batch.
    pub(crate) fn submit(&mut self) -> u64 {
        if self.batch.is_empty() {
            return self.backlog.submitted();
        }
        self.batch.next_run = Some(self.fleet.next_run());
        let batch = std::mem::take(&mut self.batch);
        let acknowledged = batch.acknowledged.clone();
        let number = self.backlog.push(batch);
        for run in acknowledged {
            self.gate.acknowledge_after(number, run);
        }
        for worker in std::mem::take(&mut self.departed) {
            self.gate.forget_after(number, worker);
        }
        number
    }

    /// Whether something that has waited for the disk need not wait any longer.
    pub(crate) fn may_release(&self) -> bool {
        self.gate.first().is_some_and(|number| number <= self.backlog.durable())
    }

    /// Whether nothing is on its way to the store any more, or nothing can be.
    pub(crate) fn is_quiet(&self) -> bool {
        (self.gate.is_empty() && self.batch.is_empty()) || self.backlog.health().is_some()
    }
}
