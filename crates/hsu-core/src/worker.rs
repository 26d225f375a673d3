//! One worker: its state, and what each input makes of it.
//!
//! The functions here change one worker and append effects; which worker an
//! input is for, deadlines and the start rate are the fleet's. A worker has at
//! most one run that is not over, and every exit is accounted exactly once.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::event::{Actor, EventKind};
use hsu_model::execution::{Fingerprint, Stop};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::restart::Restart;
use hsu_model::status::{Desired, LastExit, WorkerState, WorkerStatus};
use hsu_model::time::{Now, Tick, WallTime};
use hsu_model::worker::{Departure, Unit, WorkerSpec};

use crate::answer::{Answer, Refusal};
use crate::breaker::Breaker;
use crate::effect::Effect;
use crate::health::Monitor;
use crate::input::{Command, Ticket};
use crate::limits::Sentence;
use crate::rate::Limiter;
use crate::reason::Reason;
use crate::record::{Resume, Transition, WorkerRecord};

mod command;
mod exit;
mod health;
mod start;
mod stop;
mod succession;
mod told;

/// Changes of state that are remembered. The journal holds all of them.
pub(crate) const HISTORY: usize = 16;

/// What a worker is doing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Never started.
    Registered,
    /// A spawn was asked for.
    Starting { run: RunId },
    /// A process runs.
    Running(Running),
    /// A process was asked to end, or killed.
    Stopping(Stopping),
    /// The process has ended; what it left behind is being killed.
    /// `kills` reports are awaited: the last one tells what is left.
    Clearing { run: RunId, then: Then, exit: hsu_model::exit::Exit, kills: u32 },
    /// Ended as wanted.
    Stopped,
    /// Rests before the next attempt.
    BackingOff { due: Tick, admitted: Admitted },
    /// Gave up.
    Tripped,
    /// Could not be started, or ended for good with a failure.
    Failed,
    /// Was running or starting when the last master ended; the keeper will tell.
    Unsettled { run: RunId, was: WorkerState, started: Option<(Tick, WallTime)> },
}

/// Whether the start rate has been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// Not yet.
    No,
    /// Yes, and the due time is the turn it got.
    Yes,
}

/// A process that runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Running {
    pub(crate) run: RunId,
    pub(crate) process: ProcessKey,
    pub(crate) started: (Tick, WallTime),
    /// When the run has lasted long enough to forget earlier failures.
    pub(crate) stable_at: Option<Tick>,
}

/// A process that shall end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stopping {
    pub(crate) run: RunId,
    pub(crate) process: ProcessKey,
    pub(crate) started: (Tick, WallTime),
    pub(crate) ladder: Ladder,
    pub(crate) then: Then,
    /// Kills that were asked for and are not reported yet.
    pub(crate) kills: u32,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ladder {
    /// Asked to end; killed at this time.
    Asked { kill_at: Tick },
    /// Killed; reported as unkillable at this time.
    Killed { report_at: Tick },
    /// Killed and reported.
    Unkillable,
}

/// What follows a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    Stay,
    /// It is started again.
    StartAgain,
    /// Its failed checks or exceeded limits decide as an exit would.
    Decide(crate::restart::Cause),
}

/// What the master is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It learns what an earlier life left. Nothing is started: it may run already.
    Settling,
    /// It does what it is for.
    Serving,
    /// It ends, and its workers go on.
    Leaving,
    /// It ends, and stops its workers.
    Stopping,
    /// It ends, and kills its workers.
    Killing,
}

impl Phase {
    /// Whether no worker shall run any more.
    pub(crate) fn stops_workers(self) -> bool {
        matches!(self, Self::Stopping | Self::Killing)
    }

    /// Whether the master is ending.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Leaving | Self::Stopping | Self::Killing)
    }
}

/// The command that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) ticket: Ticket,
    pub(crate) command: Command,
}

/// What a worker needs from its fleet for one input.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) entropy: u64,
    pub(crate) limiter: &'a mut Limiter,
    pub(crate) looks: &'a mut Limiter,
    pub(crate) next_run: &'a mut u64,
    pub(crate) phase: Phase,
    pub(crate) actor: Actor,
    pub(crate) out: &'a mut Vec<Effect>,
}

/// One worker.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) spec: Arc<WorkerSpec>,
    pub(crate) desired: Desired,
    pub(crate) enabled: Option<bool>,
    pub(crate) state: State,
    pub(crate) reason: Reason,
    pub(crate) breaker: Breaker,
    pub(crate) attempts: u32,
    pub(crate) restarts: u64,
    pub(crate) latest_run: Option<RunId>,
    pub(crate) accounted: Option<RunId>,
    /// The latest run that an earlier master accounted for: what it left behind may live.
    pub(crate) uncleared: Option<RunId>,
    pub(crate) last_exit: Option<LastExit>,
    pub(crate) survivors: Vec<u32>,
    pub(crate) history: VecDeque<Transition>,
    /// The command that is under way.
    pub(crate) pending: Option<Pending>,
    /// Who disabled it, and waits for the end of its process with the command under way.
    pub(crate) disabling: Vec<Ticket>,
    /// The next start is a restart that was asked for or follows an exit.
    pub(crate) counts_as_restart: bool,
    /// What the present run tells of itself; none when nobody listens.
    pub(crate) told: Option<told::Told>,
    /// What the latest run was started as; none is not known.
    pub(crate) started_as: Option<Fingerprint>,
    /// The latest run that said that it is ready.
    pub(crate) ready_run: Option<RunId>,
    /// A run that the kernel ended for want of memory, and what follows.
    pub(crate) blamed: Option<(RunId, Sentence)>,
    /// What its checks say of the run that goes on.
    pub(crate) monitor: Monitor,
}

impl Worker {
    pub(crate) fn new(spec: Arc<WorkerSpec>) -> Self {
        Self {
            monitor: Monitor::new(&spec.health),
            spec,
            desired: Desired::Running,
            enabled: None,
            state: State::Registered,
            reason: Reason::Configured,
            breaker: Breaker::Closed,
            attempts: 0,
            restarts: 0,
            latest_run: None,
            accounted: None,
            uncleared: None,
            last_exit: None,
            survivors: Vec::new(),
            history: VecDeque::new(),
            pending: None,
            disabling: Vec::new(),
            counts_as_restart: false,
            told: None,
            started_as: None,
            ready_run: None,
            blamed: None,
        }
    }

    pub(crate) fn id(&self) -> &WorkerId {
        &self.spec.id
    }

    pub(crate) fn is_enabled(&self) -> bool {
        // Whatever an operator said of it is kept for the day it is configured again.
        !matches!(self.spec.unit, Unit::Departed(_)) && self.enabled.unwrap_or(self.spec.enabled)
    }

    pub(crate) fn restart(&self) -> Option<&Restart> {
        match &self.spec.unit {
            Unit::Managed(managed) => Some(&managed.restart),
            Unit::Departed(_) | _ => None,
        }
    }

    pub(crate) fn stop_settings(&self) -> Stop {
        match &self.spec.unit {
            Unit::Managed(managed) => managed.stop,
            Unit::Departed(departure) => departure.stop,
            Unit::Unmanaged(_) | _ => Stop::default(),
        }
    }

    /// What it takes to end it once it is not configured any more.
    fn departure(&self) -> Departure {
        let pid_file = match &self.spec.unit {
            Unit::Managed(managed) => managed.pid_file.clone(),
            Unit::Departed(departure) => departure.pid_file.clone(),
            Unit::Unmanaged(_) | _ => String::new(),
        };
        Departure { stop: self.stop_settings(), pid_file }
    }

    /// Why it shall not run.
    pub(crate) fn why_unwanted(&self) -> Reason {
        match self.spec.unit {
            Unit::Departed(_) => Reason::Unconfigured,
            Unit::Managed(_) | _ => Reason::Unwanted,
        }
    }

    /// Whether it is not configured any more, and nothing of it is left to be ended.
    pub(crate) fn has_departed(&self) -> bool {
        matches!(self.spec.unit, Unit::Departed(_)) && self.run().is_none()
    }

    /// The state that people see.
    pub(crate) fn visible(&self) -> WorkerState {
        match &self.state {
            State::Registered => WorkerState::Registered,
            State::Starting { .. } => WorkerState::Starting,
            State::Running(_) => WorkerState::Running,
            State::Stopping(_) | State::Clearing { .. } => WorkerState::Stopping,
            State::Stopped => WorkerState::Stopped,
            State::BackingOff { .. } => WorkerState::BackingOff,
            State::Tripped => WorkerState::Tripped,
            State::Failed => WorkerState::Failed,
            State::Unsettled { was, .. } => *was,
        }
    }

    /// The run that is not over.
    pub(crate) fn run(&self) -> Option<RunId> {
        match &self.state {
            State::Starting { run }
            | State::Clearing { run, .. }
            | State::Unsettled { run, .. } => Some(*run),
            State::Running(running) => Some(running.run),
            State::Stopping(stopping) => Some(stopping.run),
            State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => None,
        }
    }

    pub(crate) fn process(&self) -> Option<(ProcessKey, (Tick, WallTime))> {
        match &self.state {
            State::Running(running) => Some((running.process, running.started)),
            State::Stopping(stopping) => Some((stopping.process, stopping.started)),
            State::Starting { .. }
            | State::Clearing { .. }
            | State::Unsettled { .. }
            | State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => None,
        }
    }

    /// The run whose process runs and shall go on, and since when.
    pub(crate) fn running_since(&self) -> Option<(RunId, Tick)> {
        if let State::Running(running) = &self.state {
            Some((running.run, running.started.0))
        } else {
            None
        }
    }

    /// When the process of the run that is not over started, as far as it is known.
    pub(crate) fn started(&self) -> Option<(Tick, WallTime)> {
        match &self.state {
            State::Unsettled { started, .. } => *started,
            State::Running(Running { started, .. }) | State::Stopping(Stopping { started, .. }) => {
                Some(*started)
            }
            State::Starting { .. }
            | State::Clearing { .. }
            | State::Registered
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed => None,
        }
    }

    /// What it is started as from now on.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.spec.unit {
            Unit::Managed(managed) => Some(managed.execution.fingerprint()),
            Unit::Unmanaged(_) | Unit::Departed(_) | _ => None,
        }
    }

    /// Whether its process was started as something else than the configuration says now.
    pub(crate) fn is_outdated(&self) -> bool {
        let differs = |was| self.fingerprint().is_some_and(|now| now.differs_from(was));
        matches!(self.state, State::Running(_)) && self.started_as.is_some_and(differs)
    }

    /// Whether an operator and the configuration let it run.
    pub(crate) fn is_wanted(&self) -> bool {
        self.desired == Desired::Running && self.is_enabled()
    }

    /// When the worker wants to be woken, for its state or for a check.
    pub(crate) fn deadline(&self) -> Option<Tick> {
        self.own_deadline().into_iter().chain(self.next_look()).min()
    }

    /// When something is due that its state has set.
    pub(crate) fn own_deadline(&self) -> Option<Tick> {
        match &self.state {
            State::Running(running) => {
                let told = self.told.as_ref().and_then(told::Told::deadline);
                running.stable_at.into_iter().chain(told).min()
            }
            State::Stopping(stopping) => match stopping.ladder {
                Ladder::Asked { kill_at } => Some(kill_at),
                Ladder::Killed { report_at } => Some(report_at),
                Ladder::Unkillable => None,
            },
            State::BackingOff { due, .. } => Some(*due),
            State::Tripped => match self.breaker {
                Breaker::Open { trial_at } => trial_at,
                Breaker::Closed | Breaker::HalfOpen => None,
            },
            State::Registered
            | State::Starting { .. }
            | State::Clearing { .. }
            | State::Stopped
            | State::Failed
            | State::Unsettled { .. } => None,
        }
    }

    /// Enters a state: history, event and record in one place.
    pub(crate) fn enter(&mut self, context: &mut Context<'_>, state: State, reason: Reason) {
        let from = self.visible();
        self.state = state;
        let to = self.visible();
        if from != to {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            let (at, words) = (context.now.wall, reason.to_string());
            self.history.push_back(Transition { at, from, to, reason: words.as_str().into() });
            let kind = EventKind::StateChanged { from, to, reason: words };
            self.tell(context, kind);
        }
        self.reason = reason;
        self.persist(context);
    }

    /// Puts a fact about this worker into the journal.
    pub(crate) fn tell(&self, context: &mut Context<'_>, kind: EventKind) {
        let actor = context.actor.clone();
        context.out.push(Effect::Event { worker: Some(self.id().clone()), actor, kind });
    }

    pub(crate) fn persist(&self, context: &mut Context<'_>) {
        context.out.push(Effect::Persist { workers: vec![self.id().clone()] });
    }

    pub(crate) fn set_breaker(&mut self, context: &mut Context<'_>, breaker: Breaker) {
        let changed = self.breaker.state() != breaker.state();
        self.breaker = breaker;
        if changed {
            self.tell(context, EventKind::Breaker { to: breaker.state() });
        }
    }

    /// Answers the command that is under way.
    pub(crate) fn resolve(&mut self, context: &mut Context<'_>, answer: Answer) {
        for ticket in self.disabling.drain(..) {
            context.out.push(Effect::Reply { ticket, answer: answer.clone() });
        }
        if let Some(Pending { ticket, .. }) = self.pending.take() {
            context.out.push(Effect::Reply { ticket, answer });
        }
    }

    pub(crate) fn done(&self, message: impl Into<String>) -> Answer {
        Answer::Done { state: self.visible(), message: message.into() }
    }

    pub(crate) fn failed(reason: impl Into<String>) -> Answer {
        Answer::Refused(Refusal::Failed { reason: reason.into() })
    }

    /// Everything about it, for people.
    pub(crate) fn status(&self) -> WorkerStatus {
        let process = self.process();
        WorkerStatus {
            id: self.id().clone(),
            enabled: self.is_enabled(),
            desired: self.desired,
            state: self.visible(),
            ready: matches!(self.state, State::Running(_)) && self.is_ready(),
            told: self.told_status(),
            health: self.health_status(),
            run: self.latest_run,
            process: process.map(|(key, _)| key),
            started_at: process.map(|(_, started)| started),
            restarts: self.restarts,
            attempts: self.attempts,
            breaker: self.breaker.state(),
            last_exit: self.last_exit,
            next_attempt: match (&self.state, self.breaker) {
                (State::BackingOff { due, .. }, _) => Some(*due),
                (State::Tripped, Breaker::Open { trial_at }) => trial_at,
                _ => None,
            },
            reason: self.reason.to_string(),
            survivors: self.survivors.clone(),
            attached: Vec::new(),
        }
    }

    /// Everything durable about it.
    pub(crate) fn export(&self) -> WorkerRecord {
        WorkerRecord {
            desired: self.desired,
            enabled: self.enabled,
            removed: false,
            state: self.durable_state(),
            reason: self.reason.to_string(),
            run: self.latest_run,
            accounted: self.accounted,
            started: self.started(),
            restarts: self.restarts,
            counts_as_restart: self.counts_as_restart,
            attempts: self.attempts,
            breaker: self.breaker,
            next_attempt: if let State::BackingOff { due, .. } = &self.state {
                Some(*due)
            } else {
                None
            },
            last_exit: self.last_exit,
            history: self.history.clone(),
            departure: self.departure(),
            attached: None,
            started_as: self.started_as,
            ready_run: self.ready_run,
            // The fleet knows.
            raised: Vec::new(),
        }
    }

    /// What is kept of one that has departed until its exits are forgotten by the keeper too:
    /// it is as one that was never started, but no exit of it counts again.
    pub(crate) fn last_record(&self) -> WorkerRecord {
        let new = Self::new(Arc::clone(&self.spec)).export();
        WorkerRecord { run: self.latest_run, accounted: self.accounted, ..new }
    }

    /// What the end of the master stopped is started by the next one, whatever
    /// became of this one before it had stopped everything; and what only the configuration
    /// disabled, by the first one that finds it enabled.
    fn durable_state(&self) -> WorkerState {
        let is_disabled = self.desired == Desired::Running && !self.is_enabled();
        let was_disabled =
            is_disabled && matches!(self.reason, Reason::Ended(_) | Reason::Unwanted);
        match self.state {
            State::Stopped if self.reason == Reason::Shutdown || was_disabled => {
                WorkerState::Registered
            }
            State::Registered
            | State::Starting { .. }
            | State::Running(_)
            | State::Stopping(_)
            | State::Clearing { .. }
            | State::Stopped
            | State::BackingOff { .. }
            | State::Tripped
            | State::Failed
            | State::Unsettled { .. } => self.visible(),
        }
    }

    pub(crate) fn transitions(&self) -> impl Iterator<Item = Transition> + '_ {
        self.history.iter().cloned()
    }

    /// Goes on where a record ends.
    pub(crate) fn import(&mut self, record: &WorkerRecord, resume: Resume) {
        self.enabled = record.enabled;
        self.restarts = record.restarts;
        self.latest_run = record.run;
        self.accounted = record.accounted;
        self.uncleared = record.accounted;
        self.last_exit = record.last_exit;
        self.started_as = record.started_as;
        self.ready_run = record.ready_run;
        let unless_stopped = self.restart().is_some_and(|restart| {
            restart.policy == hsu_model::restart::RestartPolicy::UnlessStopped
        });
        if resume == Resume::Continue || unless_stopped {
            self.desired = record.desired;
        }
        if resume == Resume::Continue {
            self.counts_as_restart = record.counts_as_restart;
            self.attempts = record.attempts;
            self.breaker = record.breaker;
            self.state = match record.state {
                // What somebody else starts has no records of this kind.
                WorkerState::Registered | WorkerState::Searching => State::Registered,
                WorkerState::Stopped => State::Stopped,
                WorkerState::Tripped => State::Tripped,
                WorkerState::Failed => State::Failed,
                WorkerState::BackingOff => State::BackingOff {
                    due: record.next_attempt.unwrap_or_default(),
                    admitted: Admitted::No,
                },
                was @ (WorkerState::Starting | WorkerState::Running | WorkerState::Stopping) => {
                    let started = record.started;
                    let unsettled = |run| State::Unsettled { run, was, started };
                    record.run.map_or(State::Registered, unsettled)
                }
            };
            self.reason = Reason::Earlier(record.reason.clone());
        }
    }

    /// The time that a run has lasted.
    pub(crate) fn lasted(&self, until: Tick) -> Duration {
        self.started().map_or(Duration::ZERO, |(started, _)| until.since(started))
    }
}
