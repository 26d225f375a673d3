//! The body: one loop that owns the fleet, its clock and its hands.
//!
//! The loop sleeps until the keeper, a request, a signal or a deadline wakes it,
//! turns each into an input of the pure core, and performs the effects. Nothing
//! in it waits for a disk, a client or a worker. Who decides what: `hsu-core`.
//! Where a process really starts: `hsu-keeper`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::Receiver;

use hsu_core::effect::Effect;
use hsu_core::fleet::Fleet;
use hsu_core::gate::Gate;
use hsu_core::input::{Input, ShutdownMode, Ticket};
use hsu_core::parting::Parting;
use hsu_core::roll::Roll;
use hsu_discovery::following::Following;
use hsu_logs::plan::LogPlan;
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::UnknownExit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::BootId;
use hsu_model::process::ProcessKey;
use hsu_model::time::{Now, Tick};
use hsu_store::{Batch, Life, Store};
use hsu_sys::reactor::{MasterSignal, Reactor, Wait};
use hsu_sys::tree::Birthplaces;
use hsu_sys::{clock, process::ProcessHandle};
use tracing::{error, info, warn};

use crate::board::Board;
use crate::chores::Chores;
use crate::journal::Stamper;
use crate::launch::Launcher;
use crate::listening::Listening;
use crate::request::{Request, Requests};
use engine::Logging;
use hsu_sys::lock::MasterLock;
use replacement::Replacement;

mod books;
mod clearing;
mod discovery;
mod engine;
mod following;
mod health;
mod hearing;
mod holding;
pub(crate) mod limits;
mod outputs;
mod perform;
mod replacement;
mod requests;
mod rest;
mod shelf;
mod succession;
mod telling;
mod told;
mod watchdog;

pub(crate) use holding::Holding;
use holding::Tended;
use requests::Replies;
use telling::Teller;
use watchdog::Watchdog;

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The workers were stopped.
    Stopped,
    /// The workers go on, held by the keeper.
    KeptWorkers,
    /// Another master has taken over.
    Replaced,
    /// Another master may have written the state and was lost: this one begins anew, with
    /// what it was asked meanwhile.
    OutOfDate(Option<ShutdownMode>),
    /// The workers were to be stopped, and no keeper was there to tell whether they are.
    Unheard,
}

/// A process that lives, as far as the master knows.
#[derive(Debug)]
pub(crate) struct Live {
    /// Its worker.
    pub(crate) worker: WorkerId,
    /// The process.
    pub(crate) process: ProcessKey,
    /// Our own hold on it: tells the exit status when the keeper cannot.
    pub(crate) handle: Option<ProcessHandle>,
}

/// The loop and everything it owns.
#[derive(Debug)]
pub struct Body {
    pub(crate) reactor: Reactor,
    pub(crate) requests: Receiver<Request>,
    /// Where other threads of ours send theirs.
    pub(crate) told: Requests,
    pub(crate) fleet: Fleet,
    pub(crate) holding: Holding,
    pub(crate) launcher: Launcher,
    pub(crate) chores: Chores,
    pub(crate) limiting: limits::Limiting,
    pub(crate) store: Store,
    pub(crate) stamper: Stamper,
    pub(crate) board: Arc<Board>,
    pub(crate) live: BTreeMap<RunId, Live>,
    pub(crate) replies: Replies,
    pub(crate) books: books::Books,
    /// Inputs that came of performing effects.
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) effects: Vec<Effect>,
    /// Workers whose status may differ from the board.
    pub(crate) changed: BTreeSet<WorkerId>,
    /// What the current round wants durable.
    pub(crate) batch: Batch,
    /// Workers that the store forgets once the keeper has forgotten their exits.
    pub(crate) departed: Vec<WorkerId>,
    /// What waits until a batch is durable.
    pub(crate) gate: Gate,
    /// Ends of processes that may not be the ends of their runs.
    pub(crate) parting: Parting,
    succession: succession::Succession,
    /// What this master is called in the environment of its workers.
    name: String,
    /// Kills under way, and the starts that wait for them.
    pub(crate) clearing: clearing::Clearing,
    /// Starts that the keeper has not answered, and what its inventory says of them.
    pub(crate) roll: Roll,
    /// Processes that get a cgroup of their own when they have lived for a while.
    pub(crate) contain_at: VecDeque<(Tick, RunId)>,
    /// The keeper's PID, for whoever looks for leftovers among its children.
    pub(crate) trees_keeper: Arc<AtomicU32>,
    /// Why the exit of a process that vanished before this master is unknown.
    pub(crate) unknown: UnknownExit,
    /// Processes that somebody else started, looked for and held.
    pub(crate) discovery: discovery::Discovering,
    /// Reads their log files, once any is named.
    pub(crate) following: Option<Following>,
    pub(crate) replacement: Replacement,
    pub(crate) lock: Option<MasterLock>,
    pub(crate) folder: PathBuf,
    pub(crate) runtime: PathBuf,
    pub(crate) logs: LogPlan,
    pub(crate) engine: Option<Logging>,
    /// Takes looks at workers, once any is to be taken.
    pub(crate) health: health::Health,
    /// Processes of an earlier life that were taken over at the start.
    pub(crate) adopted: u32,
    pub(crate) settled: bool,
    /// Another master waits for this one to take over.
    pub(crate) candidate: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) stopping: Option<ShutdownMode>,
    /// How long a stop of all workers may take.
    patience: std::time::Duration,
    /// When the run duration is over.
    pub(crate) deadline: Option<Tick>,
    pub(crate) boot: BootId,
    /// What outlives the processes of workers.
    shelf: shelf::Shelf,
    /// What was heard and is not done yet. Dropped before the thread that waits for it.
    words: told::Words,
    /// Who is listened to.
    listening: Listening,
    teller: Teller,
    watchdog: Watchdog,
}

/// What a body is made of; the rest of it begins empty.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) reactor: Reactor,
    pub(crate) requests: Receiver<Request>,
    pub(crate) told: Requests,
    pub(crate) fleet: Fleet,
    pub(crate) holding: Holding,
    pub(crate) launcher: Launcher,
    pub(crate) chores: Chores,
    pub(crate) limiting: limits::Limiting,
    pub(crate) store: Store,
    pub(crate) stamper: Stamper,
    pub(crate) board: Arc<Board>,
    pub(crate) keeper: Arc<AtomicU32>,
    pub(crate) birthplaces: Birthplaces,
    pub(crate) unknown: UnknownExit,
    pub(crate) lock: MasterLock,
    pub(crate) folder: PathBuf,
    pub(crate) runtime: PathBuf,
    pub(crate) logs: LogPlan,
    pub(crate) candidate: bool,
    pub(crate) deadline: Option<Tick>,
    /// How long a stop of all workers may take.
    pub(crate) patience: std::time::Duration,
    pub(crate) boot: BootId,
    /// Tells masters of one host apart.
    pub(crate) name: String,
}

impl Body {
    pub(crate) fn assemble(parts: Parts) -> Self {
        Self {
            reactor: parts.reactor,
            requests: parts.requests,
            told: parts.told.clone(),
            fleet: parts.fleet,
            holding: parts.holding,
            launcher: parts.launcher,
            chores: parts.chores,
            limiting: parts.limiting,
            store: parts.store,
            stamper: parts.stamper,
            board: parts.board,
            live: BTreeMap::new(),
            replies: Replies::default(),
            books: books::Books::default(),
            inputs: VecDeque::new(),
            effects: Vec::new(),
            changed: BTreeSet::new(),
            batch: Batch::default(),
            departed: Vec::new(),
            gate: Gate::default(),
            parting: Parting::default(),
            succession: succession::Succession::default(),
            name: parts.name.clone(),
            clearing: clearing::Clearing::new(parts.birthplaces),
            roll: Roll::default(),
            contain_at: VecDeque::new(),
            trees_keeper: parts.keeper,
            unknown: parts.unknown,
            discovery: discovery::Discovering::default(),
            following: None,
            replacement: Replacement::default(),
            lock: Some(parts.lock),
            folder: parts.folder,
            runtime: parts.runtime,
            logs: parts.logs,
            engine: None,
            health: health::Health::new(parts.name),
            adopted: 0,
            settled: false,
            candidate: parts.candidate,
            ending: None,
            stopping: None,
            patience: parts.patience,
            deadline: parts.deadline,
            boot: parts.boot,
            shelf: shelf::Shelf::default(),
            listening: Listening::new(parts.told),
            words: told::Words::default(),
            teller: Teller::default(),
            watchdog: Watchdog::of_this_process(),
        }
    }

    /// Ends before the first turn of the loop: what the start needs is not to be had.
    pub fn give_up(mut self) {
        self.holding.give_up();
    }

    /// Runs until the master has to end.
    ///
    /// # Errors
    /// The kernel's error when the loop cannot even sleep.
    pub fn run(mut self) -> std::io::Result<Ending> {
        self.settle(clock::now());
        loop {
            if let Some(ending) = self.ending {
                if self.is_quiet() {
                    return Ok(self.end(ending));
                }
                self.store.hurry();
            }
            let due = if self.replacement.given_way {
                // Nothing is decided, so nothing else is due.
                self.watchdog.next_deadline()
            } else {
                self.next_deadline()
            };
            let timeout = due.map(|due| due.since(clock::now().tick));
            let mut ready = self.reactor.wait(&Wait {
                link: self.holding.link(),
                write: self.holding.wants_to_write(),
                timeout,
            })?;
            let now = clock::now();
            if self.replacement.given_way {
                // A wish to end is known before it is decided how this master goes on.
                self.refuse_requests();
                self.replacement.signals.append(&mut ready.signals);
            }
            if ready.readable {
                self.hear_keeper(now);
            }
            if self.replacement.given_way || self.ending == Some(Ending::Replaced) {
                self.refuse_requests();
                self.replacement.signals.extend(ready.signals);
                self.watchdog.tend(now);
                self.holding.flush();
                continue;
            }
            let kept = std::mem::take(&mut self.replacement.signals);
            for signal in kept.into_iter().chain(ready.signals) {
                self.on_signal(now, signal);
            }
            self.take_requests(now);
            if self.fleet.next_deadline().is_some_and(|due| due <= now.tick) {
                self.step(now, Input::Wake);
            }
            if self.deadline.is_some_and(|due| due <= now.tick) {
                self.deadline = None;
                info!("the run duration is over");
                self.shut_down(now, ShutdownMode::StopWorkers, false, Actor::Master);
            }
            self.contain_due(now);
            self.part_due(now);
            self.watchdog.tend(now);
            match self.holding.tend(now) {
                Tended::Same => {}
                // Asked of a keeper that may be gone: the inventory tells. What is
                // asked from here on is not in it, and not in doubt.
                Tended::Found => self.roll.doubt(),
                Tended::Hangs => self.end_keeper(),
                Tended::Unreachable => self.end_unheard(),
            }
            self.settle(now);
        }
    }

    /// Gives one input to the core; its effects are performed by [`Body::settle`].
    pub(crate) fn step(&mut self, now: Now, input: Input) {
        self.fleet.step(now, clock::entropy(), input, &mut self.effects);
    }

    /// Performs effects until nothing follows, then sends everything on its way.
    fn settle(&mut self, now: Now) {
        loop {
            self.perform_all(now);
            let Some(input) = self.inputs.pop_front() else {
                break;
            };
            self.step(now, input);
        }
        let number = self.submit(now);
        self.words.hold(number);
        self.release_words();
        self.holding.flush();
        self.post();
    }

    fn next_deadline(&self) -> Option<Tick> {
        let contain = self.contain_at.front().map(|(due, _)| *due);
        let own = [self.deadline, contain, self.parting.deadline(), self.watchdog.next_deadline()];
        let rooms = [self.fleet.next_deadline(), self.holding.next_deadline()];
        own.into_iter().chain(rooms).flatten().min()
    }

    /// Whether nothing is on its way to the store any more, or nothing can be: a
    /// full disk keeps no master from ending, and what is not acknowledged is told
    /// to the next one.
    fn is_quiet(&self) -> bool {
        (self.gate.is_empty() && self.batch.is_empty()) || self.store.health().is_some()
    }

    fn on_signal(&mut self, now: Now, signal: MasterSignal) {
        match signal {
            MasterSignal::Terminate | MasterSignal::Interrupt => {
                let number = if signal == MasterSignal::Terminate { 15 } else { 2 };
                // A second one forces.
                let force = self.stopping.is_some();
                self.shut_down(now, ShutdownMode::StopWorkers, force, Actor::Signal(number));
            }
            MasterSignal::Hangup => warn!(
                "SIGHUP ignored: a running configuration is not replaced in place yet \
                 (hint: `hsu-master-cli master upgrade` starts a master on the changed file, \
                 and no worker is disturbed)"
            ),
            MasterSignal::Quit => self.dump(now),
            MasterSignal::Child => hsu_sys::process::reap_children(),
        }
    }

    /// The first wish to stop says how; a later one can only force it.
    pub(crate) fn shut_down(&mut self, now: Now, mode: ShutdownMode, force: bool, actor: Actor) {
        if self.stopping.is_none() {
            self.stopping = Some(mode);
            let reason = match mode {
                ShutdownMode::StopWorkers => "the workers are stopped",
                ShutdownMode::KeepWorkers => "the workers go on without a master",
            };
            info!(%actor, "the master is ending: {reason}");
            hsu_sys::notify::stopping();
            let kind = EventKind::MasterStopping { reason: reason.to_owned() };
            let event = self.stamper.stamp(now.wall, None, actor.clone(), kind);
            self.batch.events.push(event);
            self.holding.end_by(now.tick.after(self.patience));
            self.step(now, Input::Shutdown { mode, actor: actor.clone() });
            self.hurry_ends(now);
        }
        if force {
            warn!(%actor, "forced: whatever still runs is killed");
            self.step(now, Input::ForceShutdown);
        }
    }

    /// Ends without word from a keeper. The next master finds what is left.
    fn end_unheard(&mut self) {
        if self.ending.is_none() {
            let socket = self.holding.plan().socket();
            error!(
                "no keeper was reached at {} in time: the master ends without knowing whether all \
                 workers have (hint: start it again with the same configuration, and it finds \
                 what is left)",
                socket.display()
            );
            self.ending = Some(Ending::Unheard);
        }
    }

    /// Writes the state of every worker to the master's log.
    fn dump(&self, now: Now) {
        for status in self.fleet.statuses() {
            info!(
                worker = %status.id,
                state = status.state.as_str(),
                pid = status.process.map(|process| process.pid),
                restarts = status.restarts,
                breaker = status.breaker.as_str(),
                next_attempt_seconds = status.next_attempt.map(|due| seconds(due.since(now.tick))),
                "{}",
                status.reason
            );
        }
    }

    /// Says goodbye to the keeper and closes the books.
    fn end(mut self, ending: Ending) -> Ending {
        self.holding.say_goodbye(ending);
        if ending != Ending::Stopped {
            self.limiting.leave();
        }
        if let Some(engine) = self.engine.take() {
            engine.stop(engine::FLUSH_WITHIN);
        }
        if ending == Ending::Replaced {
            self.finish_upgrade();
        }
        // Who has given way leaves the state as the other one wrote it.
        if !self.replacement.given_way && ending != Ending::Replaced {
            let is_over = ending == Ending::Stopped;
            self.store.mark(if is_over { Life::Ended } else { Life::Left }, self.boot);
        }
        if let Err(error) = self.store.close() {
            error!(%error, "the state could not be closed in order");
        }
        ending
    }

    /// A command's answer, when somebody waits for it.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: hsu_core::answer::Answer) {
        self.replies.answer(ticket, answer);
    }
}

/// A span in seconds, to the millisecond.
fn seconds(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}
