//! A simulated world around one fleet: a clock, a keeper with processes, a store.
//!
//! The world performs effects as the body does (a wish becomes durable before it is
//! carried out, an exit is acknowledged when its record is durable) and feeds what
//! follows back as inputs. A *prompt* world does all of that at once; a *patient* one
//! does only what it is told, so that a schedule decides about every order of events.
//! After each step the invariants of the fleet and of the [`witness`] hold.
//! Deliberately absent: randomness and the real clock.

use std::sync::Arc;
use std::time::Duration;

use hsu_core::answer::Answer;
use hsu_core::effect::Effect;
use hsu_core::fleet::{Fleet, Settings};
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::record::Resume;
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::restart::StartRate;
use hsu_model::status::{WorkerState, WorkerStatus};
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::WorkerSpec;

use keeper::{Keeper, Outcome};
use store::Store;
use witness::Witness;

pub(crate) mod keeper;
pub(crate) mod specs;
pub(crate) mod store;
pub(crate) mod witness;

/// Steps at one instant after which a fleet is taken to spin.
const SPIN: usize = 1000;

/// How the world answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Everything that can happen does, at once.
    Prompt,
    /// Nothing happens by itself.
    Patient,
}

/// What of the orders under way reaches the keeper when the master is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing.
    Orders,
    /// Everything.
    Nothing,
}

/// One fleet and everything around it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) keeper: Keeper,
    pub(crate) store: Store,
    pub(crate) witness: Witness,
    pub(crate) now: Tick,
    /// The random number of every step.
    pub(crate) entropy: u64,
    pace: Pace,
    settings: Settings,
    specs: Vec<Arc<WorkerSpec>>,
    next_ticket: u64,
    /// What this master was told by the keeper.
    heard: Vec<Input>,
    /// Looks that were asked for and not taken.
    pub(crate) looks: std::collections::VecDeque<(RunId, usize, u64)>,
    /// Every input and its effects.
    pub(crate) transcript: Vec<(Tick, Input, Vec<Effect>)>,
}

/// The settings of a master that never waits for a turn.
pub(crate) fn settings() -> Settings {
    Settings {
        start_rate: StartRate { per_second: f64::INFINITY, burst: 1 },
        force_shutdown_timeout: Duration::from_secs(60),
        next_run: 1,
    }
}

impl World {
    /// A world whose master has booted.
    pub(crate) fn new(settings: Settings, specs: Vec<WorkerSpec>, pace: Pace) -> Self {
        let mut world = Self::unsettled(settings, specs, pace);
        world.settle();
        world
    }

    /// A world whose master has not heard the keeper yet.
    pub(crate) fn unsettled(settings: Settings, specs: Vec<WorkerSpec>, pace: Pace) -> Self {
        let specs: Vec<_> = specs.into_iter().map(Arc::new).collect();
        let mut world = Self {
            fleet: Fleet::new(settings),
            keeper: Keeper::default(),
            store: Store::default(),
            witness: Witness::new(&specs),
            now: Tick(1_000_000_000),
            entropy: 0,
            pace,
            settings,
            specs,
            next_ticket: 0,
            heard: Vec::new(),
            looks: std::collections::VecDeque::new(),
            transcript: Vec::new(),
        };
        world.boot(Resume::Fresh);
        world
    }

    /// A prompt world with one worker.
    pub(crate) fn of(spec: WorkerSpec) -> Self {
        Self::new(settings(), vec![spec], Pace::Prompt)
    }

    fn boot(&mut self, resume: Resume) {
        let next_run = self.store.next_run.max(self.settings.next_run);
        self.fleet = Fleet::new(Settings { next_run, ..self.settings });
        for spec in &self.specs {
            self.fleet.add(Arc::clone(spec), self.store.records.get(&spec.id), resume);
        }
        let configured = |id: &WorkerId| self.specs.iter().any(|spec| spec.id == *id);
        for (id, record) in self.store.records.iter().filter(|(id, _)| !configured(id)) {
            self.fleet.depart(id.clone(), record);
        }
        self.witness.on_boot(resume);
        self.heard.clear();
        self.keeper.tell_inventory();
    }

    /// The master is killed, and the next one goes on from what is durable.
    pub(crate) fn crash(&mut self, loss: Loss) {
        self.replace(loss, Resume::Continue);
        self.settle();
    }

    /// The next master has another configuration.
    pub(crate) fn configure(&mut self, specs: Vec<WorkerSpec>) {
        self.specs = specs.into_iter().map(Arc::new).collect();
    }

    /// Another master takes up what the last one left; it has not heard the keeper yet.
    pub(crate) fn replace(&mut self, loss: Loss, resume: Resume) {
        self.store.crash();
        self.keeper.lose_master(loss == Loss::Nothing);
        self.boot(resume);
    }

    /// Gives one input to the fleet, checks everything, performs what follows.
    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        let now = Now { tick: self.now, wall: WallTime(i64::try_from(self.now.0).unwrap_or(0)) };
        let mut effects = Vec::new();
        self.witness.before(&self.fleet);
        self.fleet.step(now, self.entropy, input.clone(), &mut effects);
        self.transcript.push((self.now, input.clone(), effects.clone()));
        let broken = self.fleet.check().err();
        assert!(broken.is_none(), "{broken:?} after\n{}", self.story());
        self.witness.after(self.now, &input, &effects);
        self.perform(&input, &effects);
        self.assert_clean();
        effects
    }

    /// Fails with the story so far when a property does not hold.
    pub(crate) fn assert_clean(&self) {
        let found = (&self.witness.violations, &self.keeper.violations);
        assert!(found.0.is_empty() && found.1.is_empty(), "{found:?} after\n{}", self.story());
    }

    /// The transcript as text.
    pub(crate) fn story(&self) -> String {
        use std::fmt::Write as _;
        let mut story = String::new();
        for (at, input, effects) in &self.transcript {
            let _ = writeln!(story, "{:.3}s {input:?}", at.since(Tick(0)).as_secs_f64());
            for effect in effects {
                let _ = writeln!(story, "    {effect:?}");
            }
        }
        story
    }

    fn perform(&mut self, input: &Input, effects: &[Effect]) {
        let is_wish = matches!(input, Input::Command { .. });
        for effect in effects {
            match effect {
                Effect::Event { kind, .. } => self.store.note(kind),
                Effect::Persist { workers } => {
                    for worker in workers {
                        self.store.write(worker, self.fleet.export(worker));
                    }
                }
                Effect::Forget { worker, .. } => self.store.forget(worker),
                Effect::Check { run, check, sequence, .. } => {
                    self.looks.push_back((*run, *check, *sequence));
                }
                Effect::Acknowledge { .. } | Effect::Reply { .. } => {
                    self.store.hold(effect.clone());
                }
                Effect::Spawn { .. }
                | Effect::Signal { .. }
                | Effect::KillTree { .. }
                | Effect::Search { .. }
                | Effect::Attach { .. }
                | Effect::Release { .. }
                | Effect::Follow { .. }
                | Effect::Service { .. }
                | Effect::Measure { .. }
                | Effect::Throttle { .. }
                | Effect::Alert { .. }
                | Effect::AllStopped => {
                    if is_wish {
                        self.store.hold(effect.clone());
                    } else {
                        self.carry_out(effect.clone());
                    }
                }
            }
        }
        self.store.submit(self.fleet.next_run());
    }

    fn carry_out(&mut self, effect: Effect) {
        if let Effect::Reply { ticket, answer } = &effect {
            self.witness.on_answer(*ticket, answer);
        }
        self.keeper.order(effect);
    }

    /// Makes everything durable, and does what has waited for it.
    pub(crate) fn sync(&mut self) {
        for effect in self.store.sync() {
            if let Effect::Acknowledge { run } = effect {
                self.witness.on_acknowledged(run, &self.store);
            }
            self.carry_out(effect);
        }
        self.witness.on_sync(&self.store);
        self.assert_clean();
    }

    /// Hands the oldest message of the keeper to the master; whether there was one.
    pub(crate) fn deliver(&mut self) -> bool {
        let Some(message) = self.keeper.messages.pop_front() else {
            return false;
        };
        if !matches!(message, Input::Settled { .. }) {
            self.heard.push(message.clone());
        }
        self.step(message);
        true
    }

    /// Hands a message to the master that one has heard before.
    pub(crate) fn repeat(&mut self, which: usize) {
        let count = self.heard.len().max(1);
        if let Some(message) = self.heard.get(which % count).cloned() {
            self.step(message);
        }
    }

    /// Lets the oldest kill happen and be reported; whether there was one.
    pub(crate) fn kill(&mut self) -> bool {
        let Some(report) = self.keeper.perform_kill(self.now) else {
            return false;
        };
        self.assert_clean();
        self.step(report);
        true
    }

    /// Does whatever can be done at this instant, unless it is held back.
    pub(crate) fn settle(&mut self) {
        if self.pace == Pace::Patient {
            return;
        }
        for _ in 0..SPIN {
            self.sync();
            let ordered = self.keeper.obey(self.now);
            let spawned = !self.keeper.holds_spawns && self.keeper.finish_spawn(0, self.now);
            let killed = !self.keeper.holds_kills && self.kill();
            let heard = self.deliver();
            if !(ordered || spawned || killed || heard) {
                return self.assert_clean();
            }
        }
        assert!(self.keeper.messages.is_empty(), "the world spins:\n{}", self.story());
    }

    /// Does whatever can be done at this instant, once.
    pub(crate) fn rush(&mut self) {
        let pace = std::mem::replace(&mut self.pace, Pace::Prompt);
        self.settle();
        self.pace = pace;
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn advance(&mut self, span: Duration) {
        let target = self.now.after(span);
        let mut turns = 0;
        while let Some(due) = self.fleet.next_deadline().filter(|due| *due <= target) {
            turns = if due > self.now { 0 } else { turns + 1 };
            assert!(turns < SPIN, "L7: a deadline that is due stays due:\n{}", self.story());
            self.now = self.now.max(due);
            self.step(Input::Wake);
            self.settle();
        }
        self.now = target;
    }

    /// Asks something of a worker.
    pub(crate) fn command(&mut self, worker: &str, command: Command) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let (actor, worker) = (Actor::Operator { uid: 0 }, id(worker));
        self.witness.on_command(ticket, &worker, command);
        self.step(Input::Command { ticket, actor, worker, command });
        self.settle();
        ticket
    }

    /// Asks something of a worker; the answer, when there is one by now.
    pub(crate) fn ask(&mut self, worker: &str, command: Command) -> Option<Answer> {
        let ticket = self.command(worker, command);
        self.answer(ticket)
    }

    /// The answer to a command, when there is one by now.
    pub(crate) fn answer(&self, ticket: Ticket) -> Option<Answer> {
        self.witness.answers.get(&ticket).cloned()
    }

    /// Tells the master to end.
    pub(crate) fn shut_down(&mut self, mode: ShutdownMode) {
        self.step(Input::Shutdown { mode, actor: Actor::Signal(15) });
        self.settle();
    }

    /// The process of a worker ends by itself.
    pub(crate) fn exit(&mut self, worker: &str, exit: Exit) {
        let run = self.live_run(worker).expect("a process runs");
        self.keeper.end(run, exit, self.now);
        self.settle();
    }

    /// The run of the worker's process, while it lives.
    pub(crate) fn live_run(&self, worker: &str) -> Option<RunId> {
        self.keeper.live(&id(worker)).map(|process| process.run)
    }

    /// The status of a worker.
    pub(crate) fn status(&self, worker: &str) -> WorkerStatus {
        self.fleet.status(&id(worker)).expect("a known worker")
    }

    /// The state of a worker.
    pub(crate) fn state(&self, worker: &str) -> WorkerState {
        self.status(worker).state
    }

    /// How many processes were started so far.
    pub(crate) fn starts(&self) -> usize {
        self.keeper.started.len()
    }

    /// Every fact so far, durable or not.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &EventKind> {
        let effects = self.transcript.iter().flat_map(|(_, _, effects)| effects);
        effects.filter_map(
            |effect| if let Effect::Event { kind, .. } = effect { Some(kind) } else { None },
        )
    }

    /// Ends all faults and lets the world run until nothing is left to do.
    pub(crate) fn converge(&mut self) {
        self.pace = Pace::Prompt;
        self.keeper.become_kind(self.now);
        self.settle();
        for _ in 0..40 {
            self.advance(Duration::from_secs(30));
        }
        self.settle();
        let (policies, live) = (&self.specs, &self.keeper);
        self.witness.at_rest(&self.fleet, policies, live);
        self.assert_clean();
    }
}

/// What the keeper does with the next spawns.
impl World {
    /// The next spawn ends like this.
    pub(crate) fn next_spawn(&mut self, outcome: Outcome) {
        self.keeper.outcomes.push_back(outcome);
    }
}

/// A name.
pub(crate) fn id(worker: &str) -> WorkerId {
    WorkerId::new(worker).expect("an id")
}

/// Why the exit of a process that vanished is unknown.
pub(crate) const VANISHED: UnknownExit = UnknownExit::KeeperLost;
