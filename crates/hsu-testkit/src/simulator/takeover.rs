//! Taking over: a candidate, and the master that gives way to it.
//!
//! A model, by name, of `hsu-runtime/src/boot.rs` (a candidate waits until the state is free)
//! and `hsu-runtime/src/body/replacement.rs` (the other one lets go of it, ends or goes on).

use std::time::Duration;

use hsu_core::input::ShutdownMode;
use hsu_keeper::{FromKeeper, GoodbyeMode, Program, Role, ToKeeper, VERSION};
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::Exit;
use hsu_model::process::BootId;
use hsu_model::time::Tick;
use hsu_store::{Batch, Life};

use super::judge::Shelf;
use super::link::up;
use super::master::Master;
use super::museum::Bug;
use super::nature::Fault;
use super::os::Hold;
use super::steps::Step;
use super::world::World;

/// How long a candidate looks for the keeper.
const FOUND_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits for the state.
const PROCEED_WITHIN: Duration = Duration::from_secs(4);

/// A master that shall take over, and has not the state yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) hold: Hold,
    /// When it gives up.
    pub(crate) until: Tick,
}

impl Candidate {
    pub(super) fn new(hold: Hold, now: Tick) -> Self {
        Self { hold, until: now.after(FOUND_WITHIN) }
    }
}

/// What a master has that finds the state free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Regained {
    /// The state, as it left it.
    AsItWas,
    /// Nothing of what it had.
    Not,
}

/// A master that has given way, and may have to go on.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) master: Master,
    shelf: Shelf,
    /// Where the state stood when it let go of it.
    left: (Option<Life>, u64),
    /// What an operator asked of it meanwhile.
    pub(crate) asked: Option<ShutdownMode>,
}

impl World {
    /// What those who have not the state can do.
    pub(super) fn possible_of_others(&self, steps: &mut Vec<Step>) {
        if let Some(candidate) = self.candidate.as_ref().filter(|other| self.is_up(other.hold)) {
            match self.links.of(candidate.hold) {
                Some(link) if !link.down.is_empty() => steps.push(Step::CandidateHears),
                Some(link) if link.no_keeper => steps.push(Step::CandidateFails),
                Some(_) => {}
                None if self.keeper.is_some() => steps.push(Step::CandidateConnects),
                None => {}
            }
            if candidate.until <= self.now {
                steps.push(Step::CandidateFails);
            }
        }
        if let Some(old) = self.old.as_ref().filter(|old| self.is_up(old.master.hold)) {
            match self.links.of(old.master.hold) {
                Some(link) if !link.down.is_empty() => steps.push(Step::OldHears),
                Some(link) if link.no_keeper => steps.push(Step::OldMisses),
                Some(_) | None => {}
            }
        }
    }

    /// An operator asks for another master.
    pub(crate) fn ask_for_another(&mut self) {
        if !self.master_listens() || self.candidate.is_some() || self.old.is_some() {
            return;
        }
        let now = self.now();
        if let Some(master) = &mut self.master
            && master.stopping.is_none()
            && master.is_settled
            && !master.is_candidate
            && !std::mem::replace(&mut master.is_to_be_replaced, true)
        {
            let kind = EventKind::Commanded { verb: "upgrade".to_owned() };
            master.record(now, None, Actor::Operator { uid: 0 }, kind);
            master.outgoing.push(ToKeeper::Upgrade { program: Program::default() });
            self.happen(Fault::Upgrade);
            self.settle();
        }
    }

    pub(super) fn candidate_connects(&mut self) {
        if let Some(candidate) = &mut self.candidate {
            candidate.until = self.now.after(PROCEED_WITHIN);
            let (role, version, relaunch) = (Role::Candidate, VERSION, Program::default());
            self.links.open(candidate.hold);
            if let Some(link) = self.links.of_mut(candidate.hold) {
                link.up.push_back(up([ToKeeper::Hello { role, version, relaunch }]));
            }
        }
    }

    pub(super) fn candidate_hears(&mut self) {
        let Some(hold) = self.candidate.as_ref().map(|candidate| candidate.hold) else { return };
        if self.read(hold).iter().any(|message| matches!(message, FromKeeper::Proceed)) {
            self.candidate_proceeds(hold);
        }
    }

    /// What a master reads at once.
    pub(super) fn read(&mut self, hold: Hold) -> Vec<FromKeeper> {
        let datagram = self.links.of_mut(hold).and_then(|link| link.down.pop_front());
        let mut messages = Vec::new();
        let read = FromKeeper::read_all(&datagram.unwrap_or_default(), &mut messages);
        debug_assert!(read.is_ok(), "a datagram of ours is well-formed");
        messages
    }

    fn candidate_proceeds(&mut self, hold: Hold) {
        if self.holder.is_some() && !self.has(Bug::TakesWhatIsHeld) {
            // The lock of the state is not to be had.
            return self.fail_master(hold);
        }
        self.candidate = None;
        // What decays is found by the next master that is launched.
        let rot = self.rot.take();
        self.take_up(hold, true);
        self.rot = rot;
        if let Some(master) = &mut self.master {
            master.is_candidate = true;
            master.is_connected = true;
            master.outgoing.push(ToKeeper::Inventory);
        }
        self.flush_master();
    }

    pub(super) fn candidate_fails(&mut self) {
        if let Some(candidate) = &self.candidate {
            self.fail_master(candidate.hold);
        }
    }

    /// The master that serves lets go of the state.
    pub(super) fn give_way(&mut self) {
        self.settle();
        let Some(master) = self.master.as_mut().filter(|master| master.stopping.is_none()) else {
            // Nobody would know that it was told to end: the candidate waits in vain.
            return;
        };
        let life = Some((Life::Left, BootId::default()));
        master.backlog.push(Batch { life, ..Batch::default() });
        // What is on its way, and then everything else.
        self.disk_ends();
        self.disk_begins();
        self.disk_ends();
        let Some(master) = &mut self.master else { return };
        if !master.backlog.is_empty() {
            let life = Some((Life::Lasts, BootId::default()));
            master.backlog.push(Batch { life, ..Batch::default() });
            return;
        }
        // The thread for chores hurries, and reports when somebody listens again.
        while self.master.as_ref().is_some_and(|master| !master.kills.is_empty()) {
            self.kills();
        }
        let Some(mut master) = self.master.take() else { return };
        self.holder = None;
        master.succession.hearing = None;
        master.outgoing.push(ToKeeper::Yielded);
        let shelf = self.judge.on_yielded();
        let left = self.disk.cached.bookmark();
        self.old = Some(Box::new(Old { master, shelf, left, asked: None }));
        self.drop_words();
        self.flush_old();
    }

    fn flush_old(&mut self) {
        if let Some(old) = &mut self.old
            && let Some(link) = self.links.of_mut(old.master.hold)
            && !old.master.outgoing.is_empty()
        {
            link.up.push_back(up(old.master.outgoing.drain(..)));
        }
    }

    pub(super) fn old_hears(&mut self) {
        let Some(hold) = self.old.as_ref().map(|old| old.master.hold) else { return };
        for message in self.read(hold) {
            self.take_message(hold, message);
            if self.links.of(hold).is_none() {
                // It has begun anew, and hears nothing of this any more.
                break;
            }
        }
        self.flush_old();
        self.settle();
    }

    /// A master that has given way is told something: only what is about masters counts.
    pub(super) fn old_takes(&mut self, message: &FromKeeper) {
        match message {
            FromKeeper::Ping => {
                self.old.iter_mut().for_each(|old| old.master.outgoing.push(ToKeeper::Pong));
            }
            FromKeeper::Resume => {
                self.take_back();
            }
            FromKeeper::Fenced => self.be_replaced(),
            FromKeeper::UpgradeFailed { .. } => {
                self.old.iter_mut().for_each(|old| old.master.is_to_be_replaced = false);
            }
            _ => {}
        }
    }

    /// The keeper was lost, and with it whoever would tell how the upgrade ends.
    pub(super) fn old_misses(&mut self) {
        let now = self.now();
        let Some(old) = &mut self.old else { return };
        let hold = old.master.hold;
        self.links.close(hold);
        old.master.is_connected = false;
        old.master.is_to_be_replaced = false;
        old.master.roll.lose();
        if self.take_back() == Regained::AsItWas
            && let Some(master) = &mut self.master
        {
            let kind = EventKind::RoleLost { role: "keeper".into(), reason: String::new() };
            master.record(now, None, Actor::Master, kind);
        }
        self.settle();
    }

    /// The state is the old one's again, unless another has it or has written it.
    fn take_back(&mut self) -> Regained {
        let Some(old) = &self.old else { return Regained::Not };
        let (hold, left, asked) = (old.master.hold, old.left, old.asked);
        if self.holder.is_some() && !self.has(Bug::ResumesTooSoon) {
            self.be_replaced();
            return Regained::Not;
        }
        let found = self.disk.cached.bookmark();
        if found == left || self.has(Bug::TrustsItsMemory) {
            self.go_on();
            self.keep_word(asked);
            return Regained::AsItWas;
        }
        let is_over = found.1 > left.1;
        match found.0 {
            Some(Life::Ended) if is_over => self.follow_into_the_end(hold, GoodbyeMode::Stop),
            Some(Life::Left) if is_over && asked != Some(ShutdownMode::StopWorkers) => {
                self.follow_into_the_end(hold, GoodbyeMode::Keep);
            }
            Some(Life::Ended | Life::Left | Life::Lasts) | None => {
                self.begin_anew(hold);
                self.keep_word(asked);
            }
        }
        Regained::Not
    }

    /// The same process reads what another has written.
    fn begin_anew(&mut self, hold: Hold) {
        self.old = None;
        self.links.close(hold);
        self.judge.masters_lost += 1;
        self.take_up(hold, true);
    }

    /// What was asked of the old one meanwhile is done.
    fn keep_word(&mut self, asked: Option<ShutdownMode>) {
        if let Some(mode) = asked {
            self.begin_end(mode);
        }
    }

    /// The other one ended in order: so does this one.
    fn follow_into_the_end(&mut self, hold: Hold, mode: GoodbyeMode) {
        if let Some(link) = self.links.of_mut(hold) {
            link.up.push_back(up([ToKeeper::Goodbye { mode }]));
        }
        self.old = None;
        self.os.end(hold, Exit::Code(0));
        self.os.reap(hold);
        self.links.lose_master(hold);
    }

    /// The state is as the old one has left it.
    fn go_on(&mut self) {
        let Some(old) = self.old.take() else { return };
        let Old { mut master, shelf, .. } = *old;
        self.lock(master.hold);
        self.disk.begin_life();
        self.heard.clear();
        let life = Some((Life::Lasts, BootId::default()));
        master.backlog.push(Batch { life, ..Batch::default() });
        master.roll.lose();
        master.roll.doubt();
        master.outgoing.push(ToKeeper::Inventory);
        self.judge.on_regained(shelf, &master.fleet, self.disk.cached.last_event);
        self.master = Some(master);
    }

    /// The other master serves: the old one ends, and whoever asked for that is told.
    pub(super) fn be_replaced(&mut self) {
        let hold = self.old.as_ref().map(|old| old.master.hold);
        let hold = hold.or_else(|| self.master.as_ref().map(|master| master.hold));
        if let Some(hold) = hold {
            if self.has(Bug::WritesWhenFenced) {
                self.commit(hold, 0, &mut Batch::default());
            }
            if self.holder == Some(hold) {
                self.judge.object("I30", || "who has the state is fenced".to_owned());
            }
            (self.old, self.master) = (None, self.master.take().filter(|it| it.hold != hold));
            self.os.end(hold, Exit::Code(0));
            self.os.reap(hold);
            self.links.lose_master(hold);
        }
    }
}
