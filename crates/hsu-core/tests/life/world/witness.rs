//! The witness: properties of a whole life, which no single moment of a fleet shows.
//!
//! It sees what the operator sees (commands and answers) and what the world is asked
//! for, and keeps a list of everything that should not have happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hsu_core::answer::Answer;
use hsu_core::effect::Effect;
use hsu_core::fleet::Fleet;
use hsu_core::input::{Command, Input, ShutdownMode, Ticket};
use hsu_core::record::Resume;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::Action;
use hsu_model::restart::RestartPolicy;
use hsu_model::status::{BreakerState, Desired, WorkerState, WorkerStatus};
use hsu_model::time::Tick;
use hsu_model::worker::{Managed, Unit, WorkerSpec};

use super::keeper::Keeper;
use super::specs::{GRACE, restart_of};
use super::store::Store;

/// What the operator was told about one worker.
#[derive(Debug, Default)]
struct Wish {
    /// A stop was acknowledged, and nothing else was asked for since.
    is_stopped: bool,
    /// A kill without delay was asked for.
    is_forced: bool,
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    wishes: BTreeMap<WorkerId, Wish>,
    asked: BTreeMap<Ticket, (WorkerId, Command)>,
    pub(crate) answers: BTreeMap<Ticket, Answer>,
    before: BTreeMap<WorkerId, WorkerStatus>,
    /// Workers that a limit may end without a word.
    killed_by_limit: BTreeSet<WorkerId>,
    /// Runs whose end this master was told.
    over: BTreeSet<RunId>,
    /// When each run was asked to end.
    asked_to_end: BTreeMap<RunId, Tick>,
    ending: Option<ShutdownMode>,
    all_stopped: bool,
    pub(crate) violations: Vec<String>,
}

fn is_killed_by_limit(spec: &WorkerSpec) -> bool {
    let Unit::Managed(Managed { limits: Some(limits), .. }) = &spec.unit else {
        return false;
    };
    let mut steps = limits.rules.iter().flat_map(|rule| &rule.ladder);
    steps.any(|step| step.action == Action::ImmediateKill)
}

impl Witness {
    /// A witness of these workers.
    pub(crate) fn new(specs: &[Arc<WorkerSpec>]) -> Self {
        let wishes = specs.iter().map(|spec| (spec.id.clone(), Wish::default())).collect();
        let killed_by_limit = specs.iter().filter(|spec| is_killed_by_limit(spec));
        let killed_by_limit = killed_by_limit.map(|spec| spec.id.clone()).collect();
        Self { wishes, killed_by_limit, ..Self::default() }
    }

    /// Another master: whoever waited for the last one waits no more.
    pub(crate) fn on_boot(&mut self, resume: Resume) {
        if resume == Resume::Fresh {
            // To start a master anew is a wish for all of its workers.
            self.wishes.values_mut().for_each(|wish| *wish = Wish::default());
        }
        self.asked.clear();
        self.over.clear();
        self.asked_to_end.clear();
        self.ending = None;
        self.all_stopped = false;
    }

    fn object(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Somebody asks for something.
    pub(crate) fn on_command(&mut self, ticket: Ticket, worker: &WorkerId, command: Command) {
        self.asked.insert(ticket, (worker.clone(), command));
        let wish = self.wishes.entry(worker.clone()).or_default();
        if matches!(command, Command::Start | Command::Restart { .. }) {
            wish.is_stopped = false;
        }
        let forced = Command::Restart { force: true };
        if command == forced || command == (Command::Stop { force: true }) {
            wish.is_forced = true;
        }
    }

    /// Somebody is answered.
    pub(crate) fn on_answer(&mut self, ticket: Ticket, answer: &Answer) {
        if self.answers.insert(ticket, answer.clone()).is_some() {
            self.object(format!("L3: {ticket:?} is answered twice"));
        }
        let Some((worker, command)) = self.asked.remove(&ticket) else {
            return self.object(format!("L3: nobody waits for {ticket:?}"));
        };
        let stops = matches!(command, Command::Stop { .. } | Command::Disable);
        let done = matches!(answer, Answer::Done { .. });
        // A start that was asked for later takes the place of the stop.
        let started_since = self.asked.iter().any(|(later, (of, command))| {
            *later > ticket
                && *of == worker
                && matches!(command, Command::Start | Command::Restart { .. })
        });
        if stops && done && !started_since {
            self.wishes.entry(worker.clone()).or_default().is_stopped = true;
        }
        if let Answer::Done { state, message } = answer {
            let starts = matches!(command, Command::Start | Command::Restart { .. });
            if starts && *state == WorkerState::Stopped && !message.starts_with("started") {
                self.object(format!("{ticket:?} to start {worker} is answered: {message}"));
            }
            if stops && *state == WorkerState::Running {
                self.object(format!("{ticket:?} to stop {worker} is answered: {message}"));
            }
        }
    }

    /// The moment before a step.
    pub(crate) fn before(&mut self, fleet: &Fleet) {
        self.before = fleet.statuses().map(|status| (status.id.clone(), status)).collect();
    }

    /// What one step asked for.
    pub(crate) fn after(&mut self, now: Tick, input: &Input, effects: &[Effect]) {
        if let Input::Exited { run, .. } | Input::SpawnFailed { run, .. } = input {
            self.over.insert(*run);
        }
        if let Input::Shutdown { mode, .. } = input {
            self.ending = Some(*mode);
        }
        if *input == Input::ForceShutdown {
            self.wishes.values_mut().for_each(|wish| wish.is_forced = true);
        }
        for effect in effects {
            match effect {
                Effect::Spawn { worker, .. } => self.on_spawn(now, input, worker),
                Effect::Signal { run, .. } => {
                    self.asked_to_end.entry(*run).or_insert(now);
                    if self.over.contains(run) {
                        self.object(format!("I2: a signal to {run}, which is over"));
                    }
                    let commanded = matches!(input, Input::Command { .. });
                    let is_kept = self.before.values().any(|status| {
                        status.run == Some(*run)
                            && status.desired == Desired::Running
                            && status.enabled
                            && status.state == WorkerState::Running
                    });
                    if self.ending == Some(ShutdownMode::KeepWorkers) && is_kept && !commanded {
                        self.object(format!("I28: a signal to {run}, which is kept"));
                    }
                }
                Effect::KillTree { worker, run, .. } => self.on_kill(now, worker, *run),
                Effect::AllStopped if self.all_stopped => {
                    self.object("I28: the end is told twice".to_owned());
                }
                Effect::AllStopped => self.all_stopped = true,
                Effect::Reply { .. }
                | Effect::Event { .. }
                | Effect::Persist { .. }
                | Effect::Forget { .. }
                | Effect::Measure { .. }
                | Effect::Throttle { .. }
                | Effect::Alert { .. }
                | Effect::Check { .. }
                | Effect::Follow { .. }
                | Effect::Acknowledge { .. } => {}
                Effect::Search { .. }
                | Effect::Attach { .. }
                | Effect::Release { .. }
                | Effect::Service { .. } => {
                    self.object(format!("no worker is somebody else's: {effect:?}"));
                }
            }
        }
    }

    fn on_spawn(&mut self, now: Tick, input: &Input, worker: &WorkerId) {
        let wish = self.wishes.entry(worker.clone()).or_default();
        wish.is_forced = false;
        if wish.is_stopped {
            self.object(format!("I5: {worker} starts after its stop was acknowledged"));
        }
        if self.ending.is_some() {
            self.object(format!("I28: {worker} starts while the master ends"));
        }
        let commanded = matches!(input, Input::Command { .. });
        let Some(before) = self.before.get(worker).filter(|_| !commanded) else {
            return;
        };
        let is_early = before.next_attempt.is_none_or(|due| due > now);
        let is_open = before.breaker == BreakerState::Open;
        let rests = before.state == WorkerState::BackingOff;
        if is_open && is_early {
            self.object(format!("I8: {worker} starts although its breaker is open"));
        }
        if rests && is_early {
            self.object(format!("I7: {worker} starts before its rest is over"));
        }
    }

    fn on_kill(&mut self, now: Tick, worker: &WorkerId, run: RunId) {
        let Some(before) = self.before.get(worker) else {
            return;
        };
        let lives = before.run == Some(run) && before.process.is_some();
        let is_forced = self.wishes.get(worker).is_some_and(|wish| wish.is_forced)
            || self.killed_by_limit.contains(worker);
        if !lives || self.over.contains(&run) || is_forced || self.ending.is_some() {
            return;
        }
        let asked = self.asked_to_end.get(&run);
        if asked.is_none_or(|asked| now < asked.after(GRACE)) {
            self.object(format!("I9: {run} of {worker} is killed before its grace is over"));
        }
    }

    /// The keeper may forget an exit.
    pub(crate) fn on_acknowledged(&mut self, run: RunId, store: &Store) {
        let is_configured = self.before.values().any(|status| status.run >= Some(run));
        if is_configured && !store.exits.contains_key(&run) {
            self.object(format!("I3: the exit of {run} is forgotten and not accounted"));
        }
    }

    /// Something became durable.
    pub(crate) fn on_sync(&mut self, store: &Store) {
        if let Some((run, count)) = store.exits.iter().find(|(_, count)| **count > 1) {
            self.object(format!("I3: the exit of {run} is accounted {count} times"));
        }
    }

    /// All faults are over and time has passed: everything is as it shall be.
    pub(crate) fn at_rest(&mut self, fleet: &Fleet, specs: &[Arc<WorkerSpec>], keeper: &Keeper) {
        if let Some((ticket, asked)) = self.asked.first_key_value() {
            self.object(format!("L3: {ticket:?} for {asked:?} is never answered"));
        }
        for spec in specs {
            let live = keeper.live(&spec.id).map(|process| process.run);
            match fleet.status(&spec.id) {
                Some(status) => self.at_rest_worker(spec, &status, live),
                None if live.is_some() => self.object(format!("I23: {} runs, removed", spec.id)),
                None => {}
            }
        }
        if let Some(left) = keeper.leftovers.difference(&keeper.doubtful).next()
            && self.ending != Some(ShutdownMode::KeepWorkers)
        {
            self.object(format!("a leftover stays for ever: {left:?}"));
        }
        if self.ending.is_some() && !self.all_stopped {
            self.object("I28: the end is never told".to_owned());
        }
    }

    fn at_rest_worker(&mut self, spec: &WorkerSpec, status: &WorkerStatus, live: Option<RunId>) {
        let (id, state) = (&status.id, status.state);
        let wanted = status.desired == Desired::Running && status.enabled;
        let running = (state == WorkerState::Running).then_some(status.run).flatten();
        if self.ending == Some(ShutdownMode::KeepWorkers) {
            return;
        }
        if running != live {
            self.object(format!("I4: {id} is {state:?} {running:?}, and {live:?} lives"));
        }
        let policy = restart_of(spec).map(|restart| restart.policy);
        let last = status.last_exit.map(|last| last.exit);
        let may_end = match policy {
            Some(RestartPolicy::Never) => true,
            Some(RestartPolicy::OnFailure) => last.is_some_and(|exit| exit.is_success()),
            Some(RestartPolicy::Always | RestartPolicy::UnlessStopped) | None => false,
        };
        let is_right = match state {
            WorkerState::Running => wanted && self.ending.is_none(),
            WorkerState::Starting | WorkerState::Stopping => false,
            WorkerState::Registered => !wanted || self.ending.is_some(),
            WorkerState::Stopped => !wanted || may_end || self.ending.is_some(),
            WorkerState::Failed => may_end || status.reason.contains("could not be started"),
            WorkerState::BackingOff | WorkerState::Searching => false,
            WorkerState::Tripped => wanted,
        };
        if !is_right {
            self.object(format!("L1: {id} ends as {state:?}, wanted {wanted}: {}", status.reason));
        }
    }

    /// Whether the master was told to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }
}
