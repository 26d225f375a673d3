//! The world: everything that is simulated, and the steps that it can take.
//!
//! A step is the smallest thing that one of its parts does by itself. Which of the possible
//! steps is next is the schedule's choice, so that every order of events can happen, and a
//! kill between any two. After each step of the fleet the invariants are judged.

use std::rc::Rc;
use std::sync::Arc;

use hsu_core::fleet::{Fleet, Settings};
use hsu_core::input::{Input, Ticket};
use hsu_core::record::{Resume, WorkerRecord};
use hsu_keeper::Role;
use hsu_keeper::table::slot::Slot;
use hsu_model::exit::UnknownExit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::{Now, Tick, WallTime};
use hsu_store::Life;

use super::chance::Chance;
use super::coverage::Coverage;
use super::disk::{Disk, Row};
use super::judge::Judge;
use super::keeper::{Keeper, Outcome};
use super::link::{Links, down, up};
use super::master::{Master, Shown};
use super::museum::Bug;
use super::nature::{Fault, Nature};
use super::os::{Hold, Os, What};
use super::outside::Outside;
use super::takeover::{Candidate, Old};
use super::trace::Trace;

/// When the host was started.
const BEGIN: Tick = Tick(1_000_000_000_000);
/// Steps at one instant after which the world is taken to spin.
pub(crate) const SPIN: usize = 4_000;

/// One world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) nature: Nature,
    pub(crate) chance: Chance,
    pub(crate) now: Tick,
    /// What the wall clock shows beyond the monotonic one.
    pub(crate) wall: i64,
    pub(crate) os: Os,
    pub(crate) disk: Disk,
    pub(crate) slots: Rc<[Slot]>,
    pub(crate) links: Links,
    pub(crate) keeper: Option<Keeper>,
    /// The master that has the state, and who has its lock.
    pub(crate) master: Option<Master>,
    pub(crate) holder: Option<Hold>,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) old: Option<Box<Old>>,
    /// Masters that have ended by themselves.
    pub(crate) failed: Vec<Hold>,
    pub(crate) boot: u32,
    pub(crate) next_ticket: u64,
    /// What this master was told, to be told again.
    pub(crate) heard: Vec<Input>,
    /// How the next starts end; they run when nothing is said.
    pub(crate) outcome: Outcome,
    /// Whether the next programs leave somebody behind, and what they make of signals.
    pub(crate) manners: Manners,
    /// Faults that have happened.
    pub(crate) happened: u32,
    pub(crate) outside: Outside,
    pub(crate) judge: Judge,
    pub(crate) coverage: Box<Coverage>,
    pub(crate) trace: Trace,
    pub(crate) bug: Option<Bug>,
    pub(crate) steps: u64,
    /// The row that has decayed when the next master reads it.
    pub(crate) rot: Option<u8>,
}

/// How the next programs behave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    pub(crate) escapes: bool,
    pub(crate) stubborn: bool,
    pub(crate) stuck: bool,
}

impl World {
    pub(crate) fn new(
        (chance, nature): (Chance, Nature),
        bug: Option<Bug>,
        coverage: Box<Coverage>,
        trace: Trace,
    ) -> Self {
        let slots = std::iter::repeat_with(Slot::default).take(nature.slots).collect();
        let mut world = Self {
            os: Os::new(nature.pids, nature.at_once),
            disk: Disk::default(),
            slots,
            links: Links::default(),
            keeper: None,
            master: None,
            holder: None,
            candidate: None,
            old: None,
            failed: Vec::new(),
            boot: 1,
            next_ticket: 0,
            heard: Vec::new(),
            outcome: Outcome::Runs,
            manners: Manners::default(),
            happened: 0,
            outside: Outside::default(),
            judge: Judge::new(&nature),
            coverage,
            trace,
            bug,
            steps: 0,
            rot: None,
            now: BEGIN,
            wall: 0,
            chance,
            nature,
        };
        world.trace.note(|| world.nature.tell());
        world.launch(Relaunched::No);
        world
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn now(&self) -> Now {
        let wall = i64::try_from(self.now.0).unwrap_or(0).saturating_add(self.wall);
        Now { tick: self.now, wall: WallTime(wall) }
    }

    /// The place of a worker in the configuration; one that is none of it has the next.
    pub(crate) fn index(&self, id: &WorkerId) -> usize {
        let known = self.nature.ids.iter().position(|known| known == id);
        known.unwrap_or(self.nature.ids.len())
    }

    pub(crate) fn happen(&mut self, fault: Fault) {
        self.happened |= fault.bit();
    }

    /// A master begins: by the keeper, or by whoever manages services here.
    pub(crate) fn launch(&mut self, relaunched: Relaunched) -> Option<Hold> {
        let parent = match relaunched {
            Relaunched::Yes => self.keeper.as_ref().map_or(super::os::INIT, |k| k.hold.pid),
            Relaunched::No => super::os::INIT,
        };
        let hold = self.os.fork(parent, What::Master, 0)?;
        if self.holder.is_some() {
            // The lock of the state is not to be had.
            self.fail_master(hold);
        } else {
            self.take_up(hold, relaunched == Relaunched::Yes);
        }
        Some(hold)
    }

    /// A master has the state from now on.
    pub(super) fn lock(&mut self, hold: Hold) {
        if self.holder.replace(hold).is_some() {
            self.judge.object("I30", || "two masters have the state".to_owned());
        }
    }

    /// A master has the state, and takes it up.
    pub(super) fn take_up(&mut self, hold: Hold, went_on: bool) {
        self.lock(hold);
        if let Some(id) = self.rot.take().and_then(|which| self.disk.rot(usize::from(which))) {
            let worker = self.index(&id);
            self.judge.on_rot(worker);
        }
        let file = &self.disk.cached;
        let same_boot = file.life.is_none_or(|(_, boot)| boot == self.boot);
        let in_order = file.life.is_none_or(|(life, _)| life == Life::Ended);
        let fresh = !went_on && (in_order || !same_boot);
        let resume = if fresh { Resume::Fresh } else { Resume::Continue };
        let next_run = file.next_run.max(self.nature.settings.next_run);
        let settings = Settings {
            next_run: if self.has(Bug::ReusesRuns) { 1 } else { next_run },
            ..self.nature.settings
        };
        let records = self.records();
        let fleet = self.revive(settings, &records, resume);
        let durable_event = file.last_event;
        let last_event = if self.has(Bug::ReusesEvents) { 0 } else { durable_event };
        let unbounded = hsu_store::Bounds { batches: 1 << 20, events: 1 << 20 };
        let bounds = if self.has(Bug::QueuesWithoutBound) { unbounded } else { self.nature.bounds };
        let mut master = Master::new(hold, fleet, bounds, last_event);
        master.unknown = if same_boot { UnknownExit::KeeperLost } else { UnknownExit::Reboot };
        master.bug = self.bug;
        self.judge.i27_numbers_after_boot(durable_event);
        self.disk.begin_life();
        self.heard.clear();
        let again = self.revive(settings, &records, resume);
        let specs = self.nature.specs.clone();
        self.judge.on_boot(&master, &records, resume, &specs, (settings, &again));
        self.trace.note(|| format!("a master begins as {hold:?}, {resume:?}"));
        self.master = Some(master);
        if self.has(Bug::StartsBeforeLooking) {
            self.step(Input::Settled { unknown: UnknownExit::KeeperLost });
        }
    }

    fn records(&self) -> Vec<(WorkerId, WorkerRecord)> {
        let record = |row: &Row| match row {
            Row::Record(record) => (**record).clone(),
            Row::Stone => super::disk::stone(),
        };
        self.disk.cached.workers.iter().map(|(id, row)| (id.clone(), record(row))).collect()
    }

    /// The fleet as the earlier life left it, or begun anew.
    fn revive(
        &self,
        settings: Settings,
        records: &[(WorkerId, WorkerRecord)],
        resume: Resume,
    ) -> Fleet {
        let mut fleet = Fleet::new(settings);
        for spec in &self.nature.specs {
            let record = records.iter().find(|(id, _)| *id == spec.id).map(|(_, record)| record);
            let spoiled = self.bug.and_then(|bug| bug.spoil_record(record));
            let spec =
                self.bug.and_then(|bug| bug.spoil_spec(spec)).unwrap_or_else(|| Arc::clone(spec));
            fleet.add(spec, spoiled.as_ref().or(record), resume);
        }
        for (id, record) in records {
            let is_configured = self.nature.specs.iter().any(|spec| spec.id == *id);
            if !is_configured && !self.has(Bug::ForgetsTheDeparted) {
                fleet.depart(id.clone(), record);
            }
        }
        fleet
    }

    /// Gives one input to the fleet of the master, and judges what follows.
    pub(crate) fn step(&mut self, input: Input) {
        let now = self.now();
        let Some(master) = &mut self.master else {
            return;
        };
        let mut seen = now;
        if self.bug == Some(Bug::LivesByTheWallClock) {
            seen.tick = Tick(u64::try_from(now.wall.0).unwrap_or(0));
        }
        let entropy = self.chance.next();
        self.steps += 1;
        self.judge.before(&master.fleet);
        self.coverage.mark(&master.fleet, &input, self.happened);
        let from = master.effects.len();
        let spoiled = self.bug.and_then(|bug| bug.spoil_input(&input, &master.fleet));
        let taken = spoiled.unwrap_or_else(|| input.clone());
        master.fleet.step(seen, entropy, taken, &mut master.effects);
        self.trace.note(|| format!("  by {}", super::schedule::source(&input)));
        self.trace.step(self.now, &input, &master.effects[from..]);
        if let Some(bug) = self.bug {
            bug.spoil_effects(&input, &mut master.effects, from);
        }
        self.judge.after(now.tick, &input, &master.effects[from..], &master.fleet);
        if let Err(broken) = master.fleet.check() {
            self.judge.object("I-state", || broken.0.to_owned());
        }
    }

    /// Performs effects until nothing follows, then sends everything on its way.
    pub(crate) fn settle(&mut self) {
        let now = self.now();
        loop {
            let Some(master) = &mut self.master else {
                return;
            };
            master.release(now);
            master.perform_all(now);
            self.do_deeds();
            let Some(input) = self.master.as_mut().and_then(|master| master.inputs.pop_front())
            else {
                break;
            };
            self.step(input);
        }
        self.show();
        if let Some(master) = &mut self.master {
            let number = master.submit();
            self.judge.i20_bounds(&master.backlog, self.nature.bounds);
            self.finish_word(number);
        }
        self.flush_master();
    }

    /// Lets the judge see what left the master.
    pub(crate) fn show(&mut self) {
        let Some(master) = &mut self.master else {
            return;
        };
        for shown in std::mem::take(&mut master.shown) {
            match shown {
                Shown::Answer(ticket, answer) => {
                    self.trace.note(|| format!("answer {ticket:?}: {answer:?}"));
                    self.judge.on_answer(ticket, &answer, self.disk.synced_number);
                }
                Shown::Fact(event) => self.judge.on_fact(&event, &self.os),
                Shown::Ordered { worker, run, durable } => {
                    self.judge.on_ordered(self.now, &worker, run, durable);
                }
            }
        }
    }

    pub(crate) fn flush_master(&mut self) {
        let Some(master) = &mut self.master else {
            return;
        };
        if let Some(link) = self.links.of_mut(master.hold)
            && master.is_connected
            && !master.outgoing.is_empty()
        {
            link.up.push_back(up(master.outgoing.drain(..)));
        }
    }

    pub(crate) fn flush_keeper(&mut self) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        for role in [Role::Master, Role::Candidate] {
            let outgoing = keeper.outgoing(role);
            if outgoing.is_empty() {
                continue;
            }
            match self.links.player(role) {
                Some(link) => link.down.push_back(down(outgoing.drain(..))),
                // Nobody plays the role: it is not told.
                None => outgoing.clear(),
            }
        }
    }

    /// The number of the next command.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// A process of a run begins to run its program.
    pub(crate) fn on_executed(&mut self, run: RunId, worker: usize) {
        self.judge.on_executed(run, worker, self.now, &self.os);
    }
}

/// Who starts a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relaunched {
    /// The keeper, after the loss of another.
    Yes,
    /// An operator, or whoever manages services.
    No,
}
