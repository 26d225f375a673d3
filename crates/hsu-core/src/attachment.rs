//! Attachment: the life of a worker that somebody else starts.
//!
//! Its process is looked for, attached when exactly the right one fits, watched until
//! it ends or is let go, and looked for again. It belongs to somebody else: the end of
//! the master, of the worker's configuration or of its permission to run lets go of it
//! and ends nothing. Which process is taken is in [`seen`], what an operator may ask
//! for in [`command`], how well it does in [`health`], and what is done when it does not
//! in [`mending`].

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use hsu_model::discovery::{Hint, Manager, Matches, ProgramId, Rights, Unmanaged};
use hsu_model::event::EventKind;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::status::{Desired, LastExit, WorkerState, WorkerStatus};
use hsu_model::time::{Tick, WallTime};
use hsu_model::worker::{Departure, Unit, WorkerSpec};

use crate::answer::{Answer, Refusal};
use crate::breaker::Breaker;
use crate::effect::Effect;
use crate::fleet::Grip;
use crate::health::Monitor;
use crate::input::{Command, Ticket};
use crate::reason::Reason;
use crate::record::{Resume, Transition, WorkerRecord};
use crate::worker::{Context, HISTORY, Ladder};

mod command;
mod health;
mod limits;
mod mending;
mod seen;

use mending::Mending;

/// A process that is taken for the worker's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attached {
    pub(crate) process: ProcessKey,
    program: ProgramId,
    /// When it started; none until it is held.
    started: Option<(Tick, WallTime)>,
    hold: Hold,
}

/// How far the hold on a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Asked for.
    Asked(Source),
    /// It is this process, whatever becomes of the PID.
    Held,
    /// The same, and it shall end.
    Ending(Ladder),
}

/// Where the word of a process comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A search saw it.
    Search,
    /// The record of an earlier master names it.
    Record,
}

/// The command that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    ticket: Ticket,
    command: Command,
    /// When nobody waits for it any more; none while the service manager is asked.
    until: Option<Tick>,
    /// The latest run when it was asked for: a later one is what was asked for.
    before: Option<RunId>,
}

/// A worker that somebody else starts.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) spec: Arc<WorkerSpec>,
    desired: Desired,
    enabled: Option<bool>,
    reason: Reason,
    attached: BTreeMap<RunId, Attached>,
    /// The state that was told last.
    shown: WorkerState,
    /// Whether the search was asked for.
    searching: bool,
    /// What was told last of why no process is taken.
    told: Option<alloc::string::String>,
    /// What was told last of why a process that fits cannot be held.
    unheld: Option<alloc::string::String>,
    latest_run: Option<RunId>,
    last_exit: Option<LastExit>,
    restarts: u64,
    history: VecDeque<Transition>,
    pending: Option<Pending>,
    /// What its checks say of the process that stands for it.
    pub(crate) monitor: Monitor,
    mending: Mending,
    /// Failures in a row that its manager was asked for.
    attempts: u32,
    breaker: Breaker,
    /// The run of which was said that it is not restarted.
    refused: Option<RunId>,
    /// Since when it does its job.
    well_since: Option<Tick>,
}

impl Watched {
    /// A worker of which nothing is known yet; none when it is one that we start.
    pub(crate) fn new(spec: Arc<WorkerSpec>) -> Option<Self> {
        if !matches!(spec.unit, Unit::Unmanaged(_)) {
            return None;
        }
        Some(Self {
            monitor: Monitor::new(&spec.health),
            spec,
            desired: Desired::Running,
            enabled: None,
            reason: Reason::Configured,
            attached: BTreeMap::new(),
            shown: WorkerState::Registered,
            searching: false,
            told: None,
            unheld: None,
            latest_run: None,
            last_exit: None,
            restarts: 0,
            history: VecDeque::new(),
            pending: None,
            mending: Mending::Idle,
            attempts: 0,
            breaker: Breaker::Closed,
            refused: None,
            well_since: None,
        })
    }

    pub(crate) fn id(&self) -> &WorkerId {
        &self.spec.id
    }

    fn unit(&self) -> Option<&Unmanaged> {
        match &self.spec.unit {
            Unit::Unmanaged(unit) => Some(unit),
            Unit::Managed(_) | Unit::Departed(_) | _ => None,
        }
    }

    fn rights(&self) -> Option<&Rights> {
        self.unit().map(|unit| &unit.rights)
    }

    /// How long it may take to end, and another one to be there.
    fn grace(&self) -> core::time::Duration {
        self.rights().map_or(Rights::DEFAULT_TIMEOUT, |rights| rights.graceful_timeout)
    }

    fn manager(&self) -> &Manager {
        self.rights().map_or(&Manager::Unknown, |rights| &rights.manager)
    }

    fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(self.spec.enabled)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.desired == Desired::Running && self.is_enabled()
    }

    /// The state that people see.
    pub(crate) fn visible(&self) -> WorkerState {
        let mut state = match (self.is_wanted(), self.searching) {
            (true, true) => WorkerState::Searching,
            (true, false) => WorkerState::Registered,
            (false, _) => WorkerState::Stopped,
        };
        for attached in self.attached.values() {
            match attached.hold {
                Hold::Asked(_) => {}
                Hold::Held => return WorkerState::Running,
                Hold::Ending(_) => state = WorkerState::Stopping,
            }
        }
        state
    }

    /// Its runs that are not over, those included that are only asked for.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (RunId, ProcessKey)> + '_ {
        self.attached.iter().map(|(run, attached)| (*run, attached.process))
    }

    /// The same, and how far the hold on each has come.
    pub(crate) fn all_runs(&self) -> impl Iterator<Item = (RunId, ProcessKey, Grip)> + '_ {
        let grip = |attached: &Attached| match attached.hold {
            Hold::Asked(_) => Grip::Asked,
            Hold::Held => Grip::Held,
            Hold::Ending(_) => Grip::Ending,
        };
        self.attached.iter().map(move |(run, a)| (*run, a.process, grip(a)))
    }

    fn held(&self) -> impl Iterator<Item = (RunId, &Attached)> {
        let held = |attached: &Attached| !matches!(attached.hold, Hold::Asked(_));
        self.attached.iter().filter(move |(_, a)| held(a)).map(|(run, a)| (*run, a))
    }

    /// Whether a run of it, or a later one, was attached.
    pub(crate) fn has_known(&self, run: RunId) -> bool {
        self.latest_run.is_some_and(|latest| run <= latest)
    }

    /// Whether a process is held.
    pub(crate) fn is_attached(&self) -> bool {
        self.held().next().is_some()
    }

    /// When the worker wants to be woken.
    pub(crate) fn deadline(&self) -> Option<Tick> {
        let others = [self.mending_due(), self.next_look()];
        others.into_iter().flatten().chain(self.next_step()).min()
    }

    /// When the end of a process, or what a command waits for, is due.
    fn next_step(&self) -> Option<Tick> {
        let ladders = self.attached.values().filter_map(|attached| match attached.hold {
            Hold::Ending(Ladder::Asked { kill_at }) => Some(kill_at),
            Hold::Ending(Ladder::Killed { report_at }) => Some(report_at),
            Hold::Ending(Ladder::Unkillable) | Hold::Asked(_) | Hold::Held => None,
        });
        ladders.chain(self.pending.and_then(|pending| pending.until)).min()
    }

    /// Tells what has changed since the last time: state, history, event and record.
    pub(crate) fn settle_change(&mut self, context: &mut Context<'_>) {
        let (from, to) = (self.shown, self.visible());
        if from == to {
            return;
        }
        self.shown = to;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let (at, reason) = (context.now.wall, self.reason.to_string());
        self.history.push_back(Transition { at, from, to, reason: reason.as_str().into() });
        self.tell(context, EventKind::StateChanged { from, to, reason });
        self.persist(context);
    }

    fn tell(&self, context: &mut Context<'_>, kind: EventKind) {
        let actor = context.actor.clone();
        context.out.push(Effect::Event { worker: Some(self.id().clone()), actor, kind });
    }

    fn persist(&self, context: &mut Context<'_>) {
        context.out.push(Effect::Persist { workers: vec![self.id().clone()] });
    }

    /// Answers the command that is under way.
    fn resolve(&mut self, context: &mut Context<'_>, answer: Answer) {
        if let Some(Pending { ticket, .. }) = self.pending.take() {
            context.out.push(Effect::Reply { ticket, answer });
        }
    }

    /// Who waits for an answer.
    pub(crate) fn waits(&self) -> Option<Ticket> {
        self.pending.map(|pending| pending.ticket)
    }

    pub(crate) fn done(&self, message: &str) -> Answer {
        Answer::Done { state: self.visible(), message: message.into() }
    }

    fn conflict(&self, operation: &'static str, hint: &'static str) -> Answer {
        Answer::Refused(Refusal::Conflict { state: self.visible(), operation, hint })
    }

    /// When its oldest process started.
    pub(crate) fn started_at(&self) -> Option<(Tick, WallTime)> {
        self.held().next()?.1.started
    }

    /// Everything about it, for people.
    pub(crate) fn status(&self) -> WorkerStatus {
        // The oldest run stands for all of them.
        let first = self.held().next();
        WorkerStatus {
            told: None,
            health: self.health_status(),
            id: self.id().clone(),
            enabled: self.is_enabled(),
            desired: self.desired,
            state: self.visible(),
            ready: self.visible() == WorkerState::Running && self.is_ready(),
            run: first.map_or(self.latest_run, |(run, _)| Some(run)),
            process: first.map(|(_, attached)| attached.process),
            started_at: self.started_at(),
            restarts: self.restarts,
            attempts: self.attempts,
            breaker: self.breaker.state(),
            last_exit: self.last_exit,
            next_attempt: self.mending_due(),
            reason: self.reason.to_string(),
            survivors: self.survivors(),
            attached: self.held().map(|(_, attached)| attached.process).collect(),
        }
    }

    fn survivors(&self) -> Vec<u32> {
        let stuck = |a: &&Attached| a.hold == Hold::Ending(Ladder::Unkillable);
        self.attached.values().filter(stuck).map(|attached| attached.process.pid).collect()
    }

    /// Everything durable about it.
    pub(crate) fn export(&self) -> WorkerRecord {
        let hints = self.held().map(|(run, attached)| Hint {
            run,
            process: attached.process,
            program: attached.program,
        });
        // Until an earlier master's word is verified, it is handed on as it was.
        let unverified = self.attached.iter().filter_map(|(run, attached)| {
            let asked = attached.hold == Hold::Asked(Source::Record);
            let (process, program) = (attached.process, attached.program);
            asked.then_some(Hint { run: *run, process, program })
        });
        WorkerRecord {
            started_as: None,
            ready_run: None,
            raised: Vec::new(),
            desired: self.desired,
            enabled: self.enabled,
            removed: false,
            state: self.visible(),
            reason: self.reason.to_string(),
            run: self.latest_run,
            accounted: self.last_exit.map(|last| last.run),
            started: None,
            restarts: self.restarts,
            counts_as_restart: false,
            attempts: self.attempts,
            breaker: self.breaker,
            next_attempt: None,
            last_exit: self.last_exit,
            history: self.history.clone(),
            departure: Departure::default(),
            attached: Some(hints.chain(unverified).collect()),
        }
    }

    pub(crate) fn transitions(&self) -> impl Iterator<Item = Transition> + '_ {
        self.history.iter().cloned()
    }

    /// Goes on where a record ends. Processes that it names are hints: each is verified
    /// before it is believed, whichever way the master was started.
    pub(crate) fn import(&mut self, record: &WorkerRecord, resume: Resume) {
        self.enabled = record.enabled;
        self.restarts = record.restarts;
        (self.attempts, self.breaker) = (record.attempts, record.breaker);
        self.latest_run = record.run;
        self.last_exit = record.last_exit;
        if resume == Resume::Continue {
            self.desired = record.desired;
        }
        self.shown = record.state;
        let hints = record.attached.as_deref().unwrap_or_default();
        let many = self.unit().is_some_and(|unit| unit.discovery.matches == Matches::Many);
        // Which of several it is that it shall have, when it may have one by now, nobody knows.
        for hint in hints.iter().filter(|_| many || hints.len() == 1) {
            let Hint { run, process, program } = *hint;
            let hold = Hold::Asked(Source::Record);
            self.attached.insert(run, Attached { process, program, started: None, hold });
        }
    }
}
