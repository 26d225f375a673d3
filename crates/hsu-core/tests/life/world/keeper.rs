//! The simulated keeper and its processes: obeys orders, tells what became of them.
//!
//! Orders and messages are queues, so that a schedule decides how late they are. What
//! the real keeper promises holds here too: an exit is told until it is acknowledged,
//! an inventory names everything that is held, oldest run first, and a spawn that is
//! under way goes on when the master is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hsu_core::effect::Effect;
use hsu_core::input::Input;
use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::{Tick, WallTime};

use super::VANISHED;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

/// How a spawn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a process of this temper.
    Process(Temper),
    /// With an error; whether another attempt may succeed.
    Fails { transient: bool },
}

/// What a process makes of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Ends when it is told to.
    Obedient,
    /// Ends when it is told to, and leaves a process behind.
    Messy,
    /// Ends by a kill only.
    Stubborn,
    /// Not even a kill ends it.
    Stuck,
}

/// A process that lives.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) worker: WorkerId,
    pub(crate) run: RunId,
    pub(crate) key: ProcessKey,
    pub(crate) started: Tick,
    pub(crate) temper: Temper,
    /// Stopped by a signal: it sees the next one when it goes on.
    pub(crate) frozen: bool,
    pending: Option<i32>,
}

/// A kill that was asked for.
#[derive(Clone, Debug)]
struct Kill {
    worker: WorkerId,
    run: RunId,
    whole: bool,
}

/// Everything the keeper holds, and everything that is on its way.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    /// Orders of the master that have not been read.
    pub(crate) orders: VecDeque<Effect>,
    /// Messages that the master has not read.
    pub(crate) messages: VecDeque<Input>,
    /// Spawns under way.
    pub(crate) workshop: Vec<(RunId, WorkerId)>,
    kills: VecDeque<Kill>,
    pub(crate) processes: BTreeMap<RunId, Process>,
    ended: BTreeMap<RunId, Input>,
    /// What ended runs left behind.
    pub(crate) leftovers: BTreeSet<(WorkerId, RunId)>,
    /// Leftovers whose kill may have been lost with a master, more often than it is repeated.
    pub(crate) doubtful: BTreeSet<(WorkerId, RunId)>,
    /// What the next spawns come to; obedient processes when nothing is said.
    pub(crate) outcomes: VecDeque<Outcome>,
    pub(crate) holds_spawns: bool,
    pub(crate) holds_kills: bool,
    /// Every process that was started: when, whose, which run.
    pub(crate) started: Vec<(Tick, WorkerId, RunId)>,
    /// Every signal that reached a process.
    pub(crate) signals: Vec<(Tick, RunId, i32)>,
    known_runs: BTreeSet<RunId>,
    pub(crate) all_stopped: usize,
    pub(crate) violations: Vec<String>,
}

impl Keeper {
    /// Takes an order of the master.
    pub(crate) fn order(&mut self, effect: Effect) {
        match effect {
            Effect::KillTree { worker, run, whole } => {
                self.kills.push_back(Kill { worker, run, whole });
            }
            Effect::AllStopped => self.all_stopped += 1,
            Effect::Spawn { .. }
            | Effect::Signal { .. }
            | Effect::Acknowledge { .. }
            | Effect::Follow { .. } => self.orders.push_back(effect),
            Effect::Reply { .. }
            | Effect::Event { .. }
            | Effect::Persist { .. }
            | Effect::Check { .. }
            | Effect::Forget { .. }
            // No worker of this world is started by somebody else.
            | Effect::Search { .. }
            | Effect::Attach { .. }
            | Effect::Release { .. }
            | Effect::Service { .. }
            | Effect::Measure { .. }
            | Effect::Throttle { .. }
            | Effect::Alert { .. } => {}
        }
    }

    /// Does what the oldest order says; whether there was one.
    pub(crate) fn obey(&mut self, now: Tick) -> bool {
        let Some(order) = self.orders.pop_front() else {
            return false;
        };
        if let Effect::Spawn { worker, run } = order {
            if !self.known_runs.insert(run) {
                self.violations.push(format!("I27: {run} is spawned twice"));
            }
            self.workshop.push((run, worker));
        } else if let Effect::Signal { run, signal, .. } = order {
            self.signal(run, signal, now);
        } else if let Effect::Acknowledge { run } = order {
            self.ended.remove(&run);
        } else if let Effect::Follow { worker, run, process } = order {
            let held = self.processes.get_mut(&run).map(|held| held.key = process);
            let error = held.is_none().then(|| "it has ended".to_owned());
            self.tell(Input::Followed { worker, run, process, error });
        }
        true
    }

    fn tell(&mut self, message: Input) {
        self.messages.push_back(message);
    }

    /// Ends one of the spawns under way; whether there was one.
    pub(crate) fn finish_spawn(&mut self, which: usize, now: Tick) -> bool {
        if self.workshop.is_empty() {
            return false;
        }
        let (run, worker) = self.workshop.remove(which % self.workshop.len());
        let outcome = self.outcomes.pop_front().unwrap_or(Outcome::Process(Temper::Obedient));
        match outcome {
            Outcome::Process(temper) => {
                if let Some(other) = self.live(&worker) {
                    let other = other.run;
                    self.violations.push(format!("I1: {run} starts beside {other} of {worker}"));
                }
                let pid = u32::try_from(run.0).unwrap_or(u32::MAX).saturating_add(100);
                let key = ProcessKey { pid, started_at: now.0 };
                let (frozen, pending) = (false, None);
                let process = Process {
                    worker: worker.clone(),
                    run,
                    key,
                    started: now,
                    temper,
                    frozen,
                    pending,
                };
                self.processes.insert(run, process);
                self.started.push((now, worker, run));
                self.tell(Input::Spawned { run, process: key });
            }
            Outcome::Fails { transient } => {
                // It never was: a master that forgot it may use the number.
                self.known_runs.remove(&run);
                let error = "it cannot be".to_owned();
                self.tell(Input::SpawnFailed { run, error, transient });
            }
        }
        true
    }

    /// The process of a worker.
    pub(crate) fn live(&self, worker: &WorkerId) -> Option<&Process> {
        self.processes.values().find(|process| process.worker == *worker)
    }

    fn signal(&mut self, run: RunId, signal: i32, now: Tick) {
        let Some(process) = self.processes.get_mut(&run) else {
            return;
        };
        self.signals.push((now, run, signal));
        match signal {
            SIGSTOP => process.frozen = true,
            SIGCONT => process.frozen = false,
            _ => process.pending = Some(signal),
        }
        let ends = !process.frozen
            && process.pending == Some(SIGTERM)
            && matches!(process.temper, Temper::Obedient | Temper::Messy);
        if ends {
            self.end(run, Exit::Signal { number: SIGTERM, core: false }, now);
        }
    }

    /// A process that lives listens to nothing but a kill from now on.
    pub(crate) fn harden(&mut self, run: RunId) {
        self.retemper(run, Temper::Stubborn);
    }

    /// Changes what a process that lives makes of signals.
    pub(crate) fn retemper(&mut self, run: RunId, temper: Temper) {
        if let Some(process) = self.processes.get_mut(&run) {
            process.temper = temper;
        }
    }

    /// The keeper and its processes are gone, and another one knows nothing of them.
    pub(crate) fn forget_everything(&mut self) {
        self.processes.clear();
        self.workshop.clear();
        self.ended.clear();
    }

    /// A process ends.
    pub(crate) fn end(&mut self, run: RunId, exit: Exit, now: Tick) {
        let Some(process) = self.processes.remove(&run) else {
            return;
        };
        let worker = process.worker;
        if process.temper == Temper::Messy {
            self.leftovers.insert((worker.clone(), run));
        }
        let wall = WallTime(i64::try_from(now.0).unwrap_or(0));
        let message = Input::Exited { worker, run, exit, at: now, wall };
        self.ended.insert(run, message.clone());
        self.tell(message);
    }

    /// Lets the oldest kill happen; its report.
    pub(crate) fn perform_kill(&mut self, now: Tick) -> Option<Input> {
        let Kill { worker, run, whole } = self.kills.pop_front()?;
        let hit = |owner: &WorkerId, of: RunId| *owner == worker && (whole || of == run);
        let victims: Vec<_> = self
            .processes
            .values()
            .filter(|process| hit(&process.worker, process.run))
            .map(|process| (process.run, process.key.pid, process.temper))
            .collect();
        let mut pids = Vec::new();
        for (victim, pid, temper) in victims {
            if victim != run {
                self.violations.push(format!("I2: the kill of {run} hits {victim} of {worker}"));
            }
            if temper == Temper::Stuck {
                pids.push(pid);
            } else {
                self.end(victim, Exit::Signal { number: SIGKILL, core: false }, now);
            }
        }
        self.leftovers.retain(|(owner, of)| !hit(owner, *of));
        Some(Input::Survivors { worker, run, pids })
    }

    /// Tells everything that is held, oldest run first.
    pub(crate) fn tell_inventory(&mut self) {
        let mut all = self.ended.clone();
        for process in self.processes.values() {
            let (worker, run, key) = (process.worker.clone(), process.run, process.key);
            let wall = WallTime(i64::try_from(process.started.0).unwrap_or(0));
            let started = (process.started, wall);
            all.insert(run, Input::Adopted { worker, run, process: key, started });
        }
        for (run, worker) in &self.workshop {
            all.insert(*run, Input::Pending { worker: worker.clone(), run: *run });
        }
        for message in all.into_values() {
            self.tell(message);
        }
        self.messages.push_back(Input::Settled { unknown: VANISHED });
    }

    /// The master is lost, and with it all that was on its way to it.
    pub(crate) fn lose_master(&mut self, orders_arrive: bool) {
        if orders_arrive {
            while self.obey(Tick(0)) {}
        }
        self.orders.clear();
        self.messages.clear();
        self.kills.clear();
        self.doubtful.extend(self.leftovers.iter().cloned());
        self.all_stopped = 0;
    }

    /// Ends all faults: what was stubborn or stuck listens from now on.
    pub(crate) fn become_kind(&mut self, now: Tick) {
        self.outcomes.clear();
        self.holds_spawns = false;
        self.holds_kills = false;
        let mut over = Vec::new();
        for process in self.processes.values_mut() {
            process.frozen = false;
            if process.temper == Temper::Stuck || process.pending == Some(SIGTERM) {
                over.push(process.run);
            }
            process.temper = Temper::Obedient;
        }
        for run in over {
            self.end(run, Exit::Signal { number: SIGKILL, core: false }, now);
        }
    }
}
