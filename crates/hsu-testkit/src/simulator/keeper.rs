//! The simulated keeper: the real table of runs, around it what the real one asks the kernel.
//!
//! Real: [`hsu_keeper::table`], [`hsu_keeper::masters`], every message. A model, by name: the
//! order of system calls around them (make a child, let it claim its place, note its end, reap
//! it), each of which is a step of its own, so that a kill falls between any two.

use std::collections::VecDeque;
use std::rc::Rc;

use hsu_keeper::masters::{Masters, Which};
use hsu_keeper::table::slot::{Held, Slot};
use hsu_keeper::table::{Reserved, Table};
use hsu_keeper::{FromKeeper, Role, SignalScope, SpawnRequest, Stage, ToKeeper};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;
use hsu_model::time::{Now, Tick};

use super::museum::Bug;
use super::os::{Birth, Hold, INIT, Os, Process, What};

/// No room for another process, as the kernel says it.
const EAGAIN: i32 = 11;
/// No such program.
const ENOENT: i32 = 2;
/// The table is full.
const ENOBUFS: i32 = 105;
/// How long a stranger that ended may stay unreaped before its status is given up.
const REAPED_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Whether a process is our child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    Child,
    Stranger,
    /// Its worker has named it.
    Named,
}

/// A process in a place.
#[derive(Clone, Copy, Debug)]
struct Holding {
    hold: Hold,
    kin: Kin,
    /// Its end is noted, and it is not reaped yet.
    is_noted: bool,
    overdue: Option<Tick>,
}

/// A start that is not over.
#[derive(Debug)]
struct Job {
    place: usize,
    run: RunId,
    worker: usize,
    child: Option<Hold>,
}

/// How the next start ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The program runs.
    Runs,
    /// There is no room for another process.
    NoRoom,
    /// The program is not there.
    NoProgram,
}

/// A keeper that lives.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) hold: Hold,
    pub(crate) table: Table<Rc<[Slot]>>,
    held: Vec<Option<Holding>>,
    jobs: VecDeque<Job>,
    /// For the master that serves, and for the candidate.
    pub(crate) outgoing: Vec<FromKeeper>,
    pub(crate) aside: Vec<FromKeeper>,
    pub(crate) masters: Masters,
    /// The processes of masters.
    pub(crate) serving: Option<Hold>,
    pub(crate) candidate: Option<Hold>,
    bug: Option<Bug>,
}

impl Keeper {
    /// A keeper begins, and takes over what an earlier one held.
    pub(crate) fn begin(
        hold: Hold,
        slots: &Rc<[Slot]>,
        os: &mut Os,
        now: Now,
        bug: Option<Bug>,
    ) -> Self {
        os.subreaper = Some(hold.pid);
        let mut table = Table::new(Rc::clone(slots));
        if bug == Some(Bug::ReusesHalfStarts) {
            slots.iter().filter(|slot| slot.held() == Held::Spawning).for_each(Slot::free);
        }
        let noted = |hold: Hold| {
            let is_it = |slot: &&Slot| slot.held() == Held::Live && slot.process().pid == hold.pid;
            let slot = slots.iter().find(is_it);
            let believed = slot.filter(|_| bug == Some(Bug::BelievesNumbers));
            believed.map_or(hold.start, |slot| slot.process().started_at)
        };
        let alive = table.adopt(now, |pid| os.open(pid).map(|hold| (hold, noted(hold))));
        let mut held = vec![None; slots.len()];
        for (place, hold) in alive {
            held[place] =
                Some(Holding { hold, kin: Kin::Stranger, is_noted: false, overdue: None });
        }
        Self {
            hold,
            table,
            held,
            jobs: VecDeque::new(),
            outgoing: Vec::new(),
            aside: Vec::new(),
            masters: Masters::default(),
            serving: None,
            candidate: None,
            bug,
        }
    }

    /// The process of a master.
    pub(crate) fn process(&self, which: Which) -> Option<Hold> {
        match which {
            Which::Serving => self.serving,
            Which::Candidate => self.candidate,
        }
    }

    /// What is told next to whoever plays a role.
    pub(crate) fn outgoing(&mut self, role: Role) -> &mut Vec<FromKeeper> {
        if role == Role::Candidate { &mut self.aside } else { &mut self.outgoing }
    }

    /// Whether an end is noted and not told: it does nothing else before.
    pub(crate) fn in_the_middle(&self) -> Option<usize> {
        self.held.iter().position(|held| held.is_some_and(|held| held.is_noted))
    }

    /// Starts under way, and those that wait.
    pub(crate) fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// A start is ordered.
    pub(crate) fn order(&mut self, request: &SpawnRequest, worker: usize, now: Now) {
        let run = request.run;
        match self.table.reserve(run, &request.worker, now) {
            Reserved::Place(place) => {
                self.jobs.push_back(Job { place, run, worker, child: None });
            }
            Reserved::Known => {}
            Reserved::Full => {
                let stage = Stage::Resources;
                self.outgoing.push(FromKeeper::SpawnFailed { run, stage, errno: ENOBUFS });
            }
        }
    }

    /// Makes the child of the oldest start, or tells what became of it.
    pub(crate) fn start(&mut self, os: &mut Os, outcome: Outcome) {
        let Some(job) = self.jobs.front_mut() else {
            return;
        };
        let (place, run) = (job.place, job.run);
        let Some(slot) = self.table.slot(place) else {
            return;
        };
        if job.child.is_none() && outcome != Outcome::NoRoom {
            job.child = os.fork(self.hold.pid, What::Worker(run), job.worker);
            if let Some(child) = job.child
                && let Some(process) = os.find_mut(child)
            {
                let can_execute = outcome == Outcome::Runs;
                process.birth = Some(Birth { place, claim: slot.claim(), can_execute });
                return;
            }
        }
        let Some(child) = job.child else {
            return self.fail(run, Stage::Resources, EAGAIN);
        };
        if os.find(child).is_some_and(|process| process.birth.is_some() && process.is_alive()) {
            // A child that shares our memory holds us up until its program runs.
            let slots = self.table.slot(place).map(|slot| claim(os, child, slot, self.bug));
            debug_assert!(slots.is_some(), "a start has a place");
            return;
        }
        self.deliver(os, child);
    }

    fn deliver(&mut self, os: &mut Os, child: Hold) {
        let Some(job) = self.jobs.pop_front() else {
            return;
        };
        let (place, run) = (job.place, job.run);
        let Some(slot) = self.table.slot(place) else {
            return;
        };
        if let Some(errno) = slot.failure() {
            os.reap(child);
            self.jobs.push_front(job);
            return self.fail(run, Stage::Execute, errno);
        }
        slot.occupy(child.start);
        let process = slot.process();
        self.outgoing.push(FromKeeper::Spawned { run, process, handle: None, is_enclosed: false });
        let held = Holding { hold: child, kin: Kin::Child, is_noted: false, overdue: None };
        self.held[place] = Some(held);
    }

    fn fail(&mut self, run: RunId, stage: Stage, errno: i32) {
        self.jobs.pop_front();
        self.table.fail(run);
        self.outgoing.push(FromKeeper::SpawnFailed { run, stage, errno });
    }

    /// The places whose process has ended, as far as this keeper can tell.
    pub(crate) fn ended(&self, os: &Os, now: Tick) -> impl Iterator<Item = usize> + '_ {
        let ends: Vec<_> = self
            .held
            .iter()
            .enumerate()
            .filter_map(|(place, held)| held.map(|held| (place, held)))
            .filter(|(_, held)| {
                let has_ended = os.find(held.hold).is_none_or(|process| !process.is_alive());
                let waits =
                    held.overdue.is_some_and(|due| due > now && os.find(held.hold).is_some());
                has_ended && !waits
            })
            .map(|(place, _)| place)
            .collect();
        ends.into_iter()
    }

    /// A child that has ended and is nobody's: an orphan of a run.
    pub(crate) fn orphan(&self, os: &Os) -> Option<Hold> {
        let is_ours = |hold: Hold| {
            self.held.iter().flatten().any(|held| held.hold == hold)
                || self.jobs.iter().any(|job| job.child == Some(hold))
        };
        let is_orphan = |process: &&Process| {
            process.parent == self.hold.pid && !process.is_alive() && !is_ours(process.hold)
        };
        let spoiled = self.bug == Some(Bug::LeavesZombies);
        os.processes.iter().find(is_orphan).filter(|_| !spoiled).map(|process| process.hold)
    }

    /// When a stranger that has ended is given up.
    pub(crate) fn next_look(&self) -> Option<Tick> {
        self.held.iter().filter_map(|held| held.and_then(|held| held.overdue)).min()
    }

    /// Notes the end of a process; it is reaped and told in the next step.
    pub(crate) fn note_end(&mut self, place: usize, os: &mut Os, now: Now, tells_others: bool) {
        let Some(held) = self.held.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let is_ours = |process: &Process| process.parent == self.hold.pid;
        if held.kin == Kin::Named && os.find(held.hold).is_some_and(is_ours) {
            held.kin = Kin::Child;
        }
        let exit = match held.kin {
            Kin::Child => os.find(held.hold).and_then(|process| process.zombie),
            Kin::Stranger | Kin::Named => {
                if os.find(held.hold).is_some() {
                    let due = *held.overdue.get_or_insert_with(|| now.tick.after(REAPED_WITHIN));
                    if now.tick < due {
                        return;
                    }
                }
                os.exit_of_gone(held.hold).filter(|_| tells_others)
            }
        };
        held.is_noted = true;
        let unseen = match self.bug {
            Some(Bug::InventsExits) => Exit::Code(1),
            _ if held.kin == Kin::Named => Exit::Unknown(UnknownExit::NotOurChild),
            _ => Exit::Unknown(UnknownExit::KeeperLost),
        };
        let exit = exit.unwrap_or(unseen);
        if let Some(slot) = self.table.slot(place) {
            slot.end(exit, now);
        }
    }

    /// Reaps a process whose end is noted, and tells it.
    pub(crate) fn tell_end(&mut self, place: usize, os: &mut Os) {
        let Some(held) = self.held.get_mut(place).and_then(Option::take) else {
            return;
        };
        if held.kin == Kin::Child && self.bug != Some(Bug::LeavesZombies) {
            os.reap(held.hold);
        }
        let run = self.table.slot(place).map(Slot::run);
        self.outgoing.extend(self.table.tell_end(place));
        if self.bug == Some(Bug::DropsExits) && self.serving.is_none() {
            run.into_iter().for_each(|run| self.table.forget(run));
        }
    }

    /// A signal to a run.
    pub(crate) fn signal(&mut self, run: RunId, signal: i32, _: SignalScope, os: &mut Os) {
        let place = self.table.place(run);
        if let Some(held) = place.and_then(|place| self.held.get(place).copied().flatten()) {
            let by_number = self.bug == Some(Bug::SignalsByNumber);
            let hold = if by_number { os.open(held.hold.pid) } else { Some(held.hold) };
            if let Some(hold) = hold {
                os.signal(hold, signal);
            }
        }
    }

    /// Holds the process that a worker has named in place of the one that is held.
    fn follow(&mut self, role: Role, run: RunId, process: ProcessKey, os: &mut Os) {
        let hold = Hold { pid: process.pid, start: process.started_at };
        let is_it = os.open(process.pid).is_none_or(|of| of == hold);
        let place = if is_it { self.table.follow(run, process) } else { None };
        if let Some(held) = place.and_then(|place| self.held.get_mut(place)) {
            *held = Some(Holding { hold, kin: Kin::Named, is_noted: false, overdue: None });
            os.succeed(run, hold);
        }
        let is_held = place.is_some();
        self.outgoing(role).push(FromKeeper::Followed { run, process, is_held });
    }

    /// Everything that is held, oldest run first.
    pub(crate) fn tell_inventory(&mut self, role: Role) {
        let all: Vec<_> = self.table.inventory().map(|(_, message)| message).collect();
        self.outgoing(role).extend(all);
        self.outgoing(role).push(FromKeeper::InventoryEnd);
    }

    /// What a message asks for that is not a start.
    pub(crate) fn obey(&mut self, role: Role, message: &ToKeeper, os: &mut Os) {
        match message {
            ToKeeper::Signal { run, signal, scope } => self.signal(*run, *signal, *scope, os),
            ToKeeper::Acknowledge { run } => self.table.forget(*run),
            ToKeeper::Inventory => self.tell_inventory(role),
            ToKeeper::Follow { run, process, .. } => self.follow(role, *run, *process, os),
            // Masters come and go in `roles`; the pump has a world of its own.
            ToKeeper::Hello { .. }
            | ToKeeper::Spawn(_)
            | ToKeeper::Pong
            | ToKeeper::Upgrade { .. }
            | ToKeeper::Yielded
            | ToKeeper::Ready
            | ToKeeper::Goodbye { .. }
            | ToKeeper::Drained { .. }
            | ToKeeper::Have { .. }
            | ToKeeper::Keep { .. }
            | ToKeeper::Discard { .. } => {}
        }
    }
}

/// The last thing that a child does before it executes its program.
pub(crate) fn claim(os: &mut Os, child: Hold, slot: &Slot, bug: Option<Bug>) {
    let Some(process) = os.find_mut(child) else {
        return;
    };
    let Some(birth) = process.birth else {
        return;
    };
    let is_taken = slot.take(birth.claim, child.pid, child.start);
    if !is_taken && bug != Some(Bug::StartsUnrecorded) {
        // A keeper has withdrawn this start: it ends, and nobody hears of it.
        return os.end(child, Exit::Code(127));
    }
    if birth.can_execute {
        process.birth = None;
        return os.act(child);
    }
    slot.fail(ENOENT);
    os.end(child, Exit::Code(127));
}

/// Whether a process is a child that nobody who shares its memory waits for.
pub(crate) fn is_left_alone(process: &Process, keeper: Option<&Keeper>) -> bool {
    let parent = keeper.map_or(INIT, |keeper| keeper.hold.pid);
    process.birth.is_some()
        && process.is_alive()
        && (keeper.is_none()
            || process.parent != parent
            || keeper.is_some_and(|keeper| {
                !keeper.jobs.iter().any(|job| job.child == Some(process.hold))
            }))
}
