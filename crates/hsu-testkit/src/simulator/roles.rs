//! Who plays which role: the keeper's hands around [`hsu_keeper::masters`].
//!
//! Real is who is started, asked, ended and told what. A model, by name: that processes of
//! masters are made, die and are missed, and which connection is whose.

use hsu_keeper::masters::{Action, Blow, Loss, Which};
use hsu_keeper::{FromKeeper, Program, Role, ToKeeper, VERSION};
use hsu_model::exit::Exit;
use hsu_model::time::Tick;

use super::keeper::{Keeper, Outcome};
use super::museum::Bug;
use super::nature::Fault;
use super::os::{Hold, INIT, SIGKILL, What};
use super::schedule::{Cut, Part};
use super::steps::Step;
use super::takeover::Candidate;
use super::world::{Relaunched, World};

/// How a master ends that meets what it cannot go on with.
const FAILS: Exit = Exit::Code(1);

impl World {
    /// What the keeper can hear and see of masters at this instant.
    pub(super) fn possible_of_roles(&self, keeper: &Keeper, steps: &mut Vec<Step>) {
        steps.extend(self.links.heard().map(Step::KeeperHears));
        for which in [Which::Serving, Which::Candidate] {
            let is_missed = |hold: Hold| {
                let is_heard = self.links.of(hold).is_none_or(|link| link.up.is_empty());
                is_heard && self.os.find(hold).is_none_or(|process| !process.is_alive())
            };
            if keeper.process(which).is_some_and(is_missed) {
                steps.push(Step::KeeperMisses(which));
            }
        }
    }

    /// When the keeper has to do something about masters.
    pub(super) fn masters_due(&self) -> Option<Tick> {
        let keeper = self.keeper.as_ref()?;
        // Whoever is up answers at once, so that nothing comes of asking.
        let hangs = |hold: Hold| self.os.find(hold).is_some_and(|process| process.frozen);
        let question = keeper.masters.next_question();
        let question = question.filter(|_| keeper.serving.is_some_and(hangs));
        keeper.masters.next_deed().into_iter().chain(question).min()
    }

    /// A master starts a keeper, and has said hello before that begins.
    pub(super) fn start_keeper(&mut self, starter: Hold) {
        let now = self.now();
        if let Some(hold) = self.os.fork(INIT, What::Keeper, 0) {
            let mut keeper = Keeper::begin(hold, &self.slots, &mut self.os, now, self.bug);
            keeper.masters.welcome(now.tick, Program::default());
            keeper.serving = Some(starter);
            self.keeper = Some(keeper);
        }
    }

    pub(super) fn keeper_hears(&mut self, place: usize) {
        let Some((master, datagram)) = self.links.take(place) else {
            return;
        };
        let mut messages = Vec::new();
        let read = ToKeeper::read_all(&datagram, &mut messages);
        debug_assert!(read.is_ok(), "a datagram of ours is well-formed");
        for message in messages {
            self.keeper_obeys(master, message);
            if self.links.of(master).is_none_or(|link| link.no_keeper) {
                // Whatever else it said is void.
                break;
            }
        }
        self.flush_keeper();
    }

    fn keeper_obeys(&mut self, master: Hold, message: ToKeeper) {
        let now = self.now();
        let role = self.links.of(master).and_then(|link| link.role);
        if let ToKeeper::Acknowledge { run } = &message {
            self.judge.on_acknowledged(*run, &self.disk.cached);
        }
        if let ToKeeper::Follow { run, .. } = &message {
            self.judge.on_named(*run);
        }
        let worker = match &message {
            ToKeeper::Spawn(request) => self.index(&request.worker),
            _ => 0,
        };
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        match (role, message) {
            (None, ToKeeper::Hello { role, relaunch, .. }) => self.welcome(master, role, relaunch),
            (Some(role), _) if !keeper.masters.obeys(role) => {}
            (Some(_), ToKeeper::Spawn(request)) => keeper.order(&request, worker, now),
            (Some(Role::Master), ToKeeper::Pong) => keeper.masters.on_pong(now.tick),
            (Some(_), ToKeeper::Upgrade { program }) => {
                let action = keeper.masters.upgrade(program);
                self.carry_out([action]);
            }
            (Some(Role::Master), ToKeeper::Yielded) => {
                let action = keeper.masters.proceed();
                self.carry_out([action]);
            }
            (Some(Role::Candidate), ToKeeper::Ready) => {
                let actions = keeper.masters.hand_over(now.tick);
                self.carry_out(actions);
            }
            (Some(Role::Master), ToKeeper::Goodbye { mode }) => {
                let actions = keeper.masters.on_goodbye(now.tick, mode);
                self.carry_out(actions);
            }
            (Some(role), other) => keeper.obey(role, &other, &mut self.os),
            (None, _) => self.links.hang_up_on(master),
        }
    }

    /// A master says hello, or one that shall take over.
    fn welcome(&mut self, master: Hold, role: Role, relaunch: Program) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        if role == Role::Candidate && keeper.candidate != Some(master) {
            return self.links.hang_up_on(master);
        }
        self.links.hang_up(role, Some(master));
        if let Some(link) = self.links.of_mut(master) {
            link.role = Some(role);
        }
        let pid = keeper.hold.pid;
        keeper.outgoing(role).push(FromKeeper::Welcome { version: VERSION, keeper: pid });
        if role == Role::Candidate {
            let action = keeper.masters.welcome_candidate(relaunch);
            self.carry_out(action);
        } else {
            keeper.masters.welcome(self.now, relaunch);
            keeper.serving = Some(master);
        }
    }

    /// The keeper sees that a master is gone, whose last words it has heard.
    pub(super) fn keeper_misses(&mut self, which: Which) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        let hold = match which {
            Which::Serving => keeper.serving.take(),
            Which::Candidate => keeper.candidate.take(),
        };
        let Some(hold) = hold else { return };
        self.links.hang_up_on(hold);
        if self.bug == Some(Bug::LeavesTheMasterLost) {
            return;
        }
        let failed = self.failed.contains(&hold);
        self.judge.on_master_missed(failed.then_some(self.now));
        let is_rested = failed && self.bug != Some(Bug::RelaunchesAtOnce);
        let loss = if is_rested { Loss::ByItself } else { Loss::Killed };
        let actions = keeper.masters.ended(self.now, which, loss);
        self.carry_out(actions);
        self.flush_keeper();
    }

    /// Something is due about masters.
    pub(super) fn keeper_tends(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            let actions = keeper.masters.tend(self.now);
            self.carry_out(actions);
            self.flush_keeper();
        }
    }

    fn carry_out(&mut self, actions: impl IntoIterator<Item = Action>) {
        for action in actions {
            self.trace.note(|| format!("  {action:?}"));
            let Some(keeper) = &mut self.keeper else {
                return;
            };
            match action {
                Action::Tell(..) if self.bug == Some(Bug::TakesWhatIsHeld) => {
                    keeper.outgoing(Role::Candidate).push(FromKeeper::Proceed);
                }
                Action::Tell(role, message) => keeper.outgoing(role).push(message),
                Action::Start(which, ..) => {
                    let started = self.start_master(which);
                    let now = self.now;
                    let more = self.keeper.as_mut().map(|k| k.masters.started(now, which, started));
                    self.carry_out(more.flatten());
                }
                Action::End(Which::Candidate, _) if self.bug == Some(Bug::ResumesTooSoon) => {
                    keeper.outgoing(Role::Master).push(FromKeeper::Resume);
                }
                Action::End(which, blow) => {
                    if let Some(hold) = keeper.process(which) {
                        self.strike(hold, blow);
                    }
                }
                Action::Promote => {
                    keeper.serving = keeper.candidate.take();
                    self.flush_keeper();
                    self.links.hang_up(Role::Master, None);
                    if let Some(link) = self.links.player(Role::Candidate) {
                        link.role = Some(Role::Master);
                    }
                }
                Action::Inventory => keeper.tell_inventory(Role::Master),
                Action::ForgetEnded => {
                    let is_exit =
                        |(_, told): (usize, FromKeeper)| matches!(told, FromKeeper::Exited { .. });
                    self.judge.exits_forgotten |= keeper.table.inventory().any(is_exit);
                    keeper.table.forget_ended();
                }
            }
        }
    }

    fn start_master(&mut self, which: Which) -> Result<(), String> {
        if self.outcome == Outcome::NoRoom {
            return Err("no room for another process".to_owned());
        }
        let hold = match which {
            Which::Serving => {
                self.judge.i7_masters_rest(self.now);
                self.launch(Relaunched::Yes)
            }
            Which::Candidate => self.start_candidate(),
        };
        let keeper = self.keeper.as_mut();
        let Some((hold, keeper)) = hold.zip(keeper) else {
            return Err("no PID is free".to_owned());
        };
        match which {
            Which::Serving => keeper.serving = Some(hold),
            Which::Candidate => keeper.candidate = Some(hold),
        }
        Ok(())
    }

    fn start_candidate(&mut self) -> Option<Hold> {
        let parent = self.keeper.as_ref().map_or(INIT, |keeper| keeper.hold.pid);
        let hold = self.os.fork(parent, What::Master, 0)?;
        self.candidate = Some(Candidate::new(hold, self.now));
        Some(hold)
    }

    /// The keeper ends a master. One that is frozen writes no core file.
    fn strike(&mut self, hold: Hold, blow: Blow) {
        let is_frozen = self.os.find(hold).is_none_or(|process| process.frozen);
        match blow {
            Blow::Kill => {
                self.end_master(hold, Exit::Signal { number: SIGKILL, core: false }, Cut::Before);
            }
            Blow::Abort if !is_frozen => {
                self.end_master(hold, Exit::Signal { number: 6, core: true }, Cut::Before);
            }
            Blow::Abort => {}
        }
    }

    /// A master cannot go on, and ends.
    pub(super) fn fail_master(&mut self, hold: Hold) {
        self.end_master(hold, FAILS, Cut::Before);
    }

    /// A master ends without a goodbye, whichever it is.
    pub(super) fn end_master(&mut self, hold: Hold, exit: Exit, cut: Cut) {
        if self.master.as_ref().is_some_and(|master| master.hold == hold) {
            self.cut_master(cut);
            self.judge.on_master_lost();
        } else if self.old.as_ref().is_some_and(|old| old.master.hold == hold) {
            self.old = None;
            self.judge.masters_lost += 1;
        } else if self.candidate.as_ref().is_some_and(|candidate| candidate.hold == hold) {
            self.candidate = None;
        }
        self.holder.take_if(|holder| *holder == hold);
        if !matches!(exit, Exit::Signal { number: SIGKILL, .. }) {
            self.failed.push(hold);
        }
        self.os.end(hold, exit);
        self.os.reap(hold);
        self.links.lose_master(hold);
        self.drop_words();
    }

    /// The process of a part, if it is there.
    fn process(&self, part: Part) -> Option<Hold> {
        let candidate = self.candidate.as_ref().map(|candidate| candidate.hold);
        let old = self.old.as_ref().map(|old| old.master.hold);
        match part {
            Part::Master => self.master.as_ref().map(|master| master.hold),
            Part::Keeper => self.keeper.as_ref().map(|keeper| keeper.hold),
            Part::Candidate => candidate.or(old),
            Part::Old => old.or(candidate),
        }
    }

    pub(super) fn lose_master(&mut self, part: Part, cut: Cut) {
        if let Some(hold) = self.process(part) {
            self.happen(Fault::LoseMaster);
            let exit = match cut {
                Cut::Before | Cut::Written => Exit::Signal { number: SIGKILL, core: false },
                Cut::Failed => Exit::Code(1),
            };
            self.end_master(hold, exit, cut);
        }
    }

    /// Whoever has the state is cut off in its turn.
    fn cut_master(&mut self, cut: Cut) {
        if let Some(mut master) = self.master.take()
            && cut == Cut::Written
            && let Some(mut writing) = master.writing.take()
        {
            // The writing thread was quicker than the kill.
            self.commit(master.hold, writing.number, &mut writing.batch);
            self.judge.on_commit(&self.disk.cached, &writing.batch);
        }
    }

    /// Whether nobody serves, and nobody will by himself.
    pub(crate) fn is_deserted(&self) -> bool {
        self.master.is_none()
            && self.candidate.is_none()
            && self.old.is_none()
            && self.keeper.as_ref().is_none_or(|keeper| keeper.masters.is_deserted())
    }

    pub(super) fn freeze(&mut self, part: Part) {
        self.happen(Fault::Freeze);
        let hold = self.process(part);
        let Some(process) = hold.and_then(|hold| self.os.find_mut(hold)) else { return };
        let was_frozen = std::mem::replace(&mut process.frozen, true);
        let is_it = |keeper: &&mut Keeper| keeper.serving == hold && !was_frozen;
        if let Some(keeper) = self.keeper.as_mut().filter(is_it) {
            // Until now it has answered.
            keeper.masters.on_pong(self.now);
        }
    }

    pub(crate) fn thaw(&mut self) {
        for process in &mut self.os.processes {
            if matches!(process.what, What::Master | What::Keeper) {
                process.frozen = false;
            }
        }
    }
}
