//! Steps: what the parts of the world do by themselves, one at a time.

use hsu_core::input::Input;
use hsu_core::parting::End;
use hsu_keeper::masters::Which;
use hsu_keeper::{FromKeeper, GoodbyeMode, Program, Role, Stage, ToKeeper, VERSION};
use hsu_model::event::{Actor, EventKind};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::RunId;
use hsu_model::process::BootId;
use hsu_model::time::Tick;
use hsu_store::{Batch, Life};

use super::keeper::{Keeper, claim, is_left_alone};
use super::master::{Live, Master};
use super::museum::Bug;
use super::nature::{CANARY, Features};
use super::os::{Hold, What};
use super::world::World;

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The keeper reads a datagram of a connection.
    KeeperHears(usize),
    /// The keeper sees that a master is gone.
    KeeperMisses(Which),
    /// The keeper makes a child, or learns what became of it.
    KeeperStarts,
    /// The keeper notes the end of a process.
    KeeperNotes(usize),
    /// The keeper reaps and tells what it has noted.
    KeeperTells(usize),
    /// The keeper reaps an orphan.
    KeeperReaps(Hold),
    /// Something is due about masters, such as another start.
    KeeperTends,
    /// The keeper has nothing left to hold, and was told to end.
    KeeperEnds,
    /// A child whose keeper is gone claims its place.
    ChildClaims(Hold),
    /// The master reads a datagram.
    MasterHears,
    /// The master sees that its keeper is gone.
    MasterMisses,
    /// The master starts a keeper.
    MasterStartsKeeper,
    /// The master reaches its keeper.
    MasterConnects,
    /// A deadline is due.
    MasterWakes,
    /// A kill is done.
    Kills,
    /// The master reads what a kill left.
    MasterReads,
    /// The master does what has waited for the disk.
    MasterReleases,
    /// A look at a worker is over.
    LookEnds(usize),
    /// What a worker uses is known.
    MasterMeasures,
    /// Processes of others are looked for.
    MasterSearches,
    /// The master hears what that came to.
    MasterSights,
    /// The master hears that a process of somebody else has ended.
    MasterLoses(RunId),
    /// A service manager answers.
    ManagerServes,
    /// A worker says what it must say.
    WorkerSpeaks,
    /// The master hears what a worker has said of who goes on.
    MasterListens(usize),
    /// An end has waited for words for long enough.
    MasterParts,
    /// The master has nothing left to do, and ends.
    MasterEnds,
    /// A candidate reaches the keeper.
    CandidateConnects,
    /// A candidate reads a datagram.
    CandidateHears,
    /// A candidate has lost the keeper, or has waited for too long.
    CandidateFails,
    /// A master that has given way reads a datagram.
    OldHears,
    /// It sees that its keeper is gone.
    OldMisses,
    /// A write begins.
    DiskBegins,
    /// A write is over.
    DiskEnds,
}

impl World {
    pub(super) fn is_up(&self, hold: Hold) -> bool {
        self.os.find(hold).is_some_and(|process| process.is_alive() && !process.frozen)
    }

    /// Everything that can happen at this instant.
    pub(crate) fn possible(&self, steps: &mut Vec<Step>) {
        steps.clear();
        if let Some(keeper) = self.keeper.as_ref().filter(|keeper| self.is_up(keeper.hold)) {
            self.possible_of_keeper(keeper, steps);
        }
        for process in &self.os.processes {
            if is_left_alone(process, self.keeper.as_ref()) {
                steps.push(Step::ChildClaims(process.hold));
            }
        }
        self.possible_of_master(steps);
        self.possible_of_others(steps);
    }

    fn possible_of_keeper(&self, keeper: &Keeper, steps: &mut Vec<Step>) {
        if let Some(place) = keeper.in_the_middle() {
            return steps.push(Step::KeeperTells(place));
        }
        self.possible_of_roles(keeper, steps);
        if keeper.has_jobs() {
            steps.push(Step::KeeperStarts);
        }
        steps.extend(keeper.ended(&self.os, self.now).map(Step::KeeperNotes));
        steps.extend(keeper.orphan(&self.os).map(Step::KeeperReaps));
        if keeper.masters.is_over(self.now, || keeper.table.is_empty()) {
            steps.push(Step::KeeperEnds);
        } else if self.masters_due().is_some_and(|due| due <= self.now) {
            steps.push(Step::KeeperTends);
        }
    }

    fn possible_of_master(&self, steps: &mut Vec<Step>) {
        let Some(master) = &self.master else {
            return;
        };
        let is_up = self.is_up(master.hold);
        if is_up {
            match self.links.of(master.hold) {
                Some(link) if !link.down.is_empty() && master.is_connected => {
                    steps.push(Step::MasterHears);
                }
                Some(link) if link.no_keeper && master.is_connected => {
                    steps.push(Step::MasterMisses);
                }
                Some(_) => {}
                None if self.keeper.is_some() => steps.push(Step::MasterConnects),
                None if self.has(Bug::LeavesTheKeeperLost) && master.is_settled => {}
                None => steps.push(Step::MasterStartsKeeper),
            }
            if master.fleet.next_deadline().is_some_and(|due| due <= self.now) {
                steps.push(Step::MasterWakes);
            }
            if !master.kills.is_empty() {
                steps.push(Step::Kills);
            }
            if !master.reports.is_empty() {
                steps.push(Step::MasterReads);
            }
            if master.may_release() || master.word_is_done() {
                steps.push(Step::MasterReleases);
            }
            self.possible_of_hands(master, steps);
            if master.ending.is_some() && master.is_quiet() && master.is_connected {
                steps.push(Step::MasterEnds);
            }
            match &master.writing {
                Some(writing) if writing.done_at <= self.now => steps.push(Step::DiskEnds),
                Some(_) => {}
                None if !master.backlog.is_empty() && master.rest_until <= self.now => {
                    steps.push(Step::DiskBegins);
                }
                None => {}
            }
        }
    }

    fn possible_of_hands(&self, master: &Master, steps: &mut Vec<Step>) {
        if self.nature.features == Features::default() {
            return;
        }
        let hands = &master.hands;
        steps.extend((0..hands.looks.len()).map(Step::LookEnds));
        if !hands.measures.is_empty() {
            steps.push(Step::MasterMeasures);
        }
        if hands.searched.values().any(|due| *due <= self.now) {
            steps.push(Step::MasterSearches);
        }
        if !hands.sightings.is_empty() {
            steps.push(Step::MasterSights);
        }
        steps.extend(self.gone().map(Step::MasterLoses));
        if !hands.services.is_empty() {
            steps.push(Step::ManagerServes);
        }
        if self.silent().is_some() {
            steps.push(Step::WorkerSpeaks);
        }
        steps.extend(self.hearable(master).map(Step::MasterListens));
        if master.succession.parting.deadline().is_some_and(|due| due <= self.now) {
            steps.push(Step::MasterParts);
        }
    }

    /// When something is due that is not due yet.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        let master = self.master.as_ref();
        let waits = |master: &Master| !master.backlog.is_empty() && master.writing.is_none();
        let all = [
            master.and_then(|master| master.fleet.next_deadline()),
            master.and_then(|master| master.writing.as_ref().map(|writing| writing.done_at)),
            master.filter(|master| waits(master)).map(|master| master.rest_until),
            master.and_then(|master| master.hands.searched.values().min().copied()),
            master.and_then(|master| master.succession.parting.deadline()),
            self.masters_due(),
            self.candidate.as_ref().map(|candidate| candidate.until),
            self.keeper.as_ref().and_then(|keeper| keeper.next_look()),
        ];
        all.into_iter().flatten().filter(|due| *due > self.now).min()
    }

    /// Takes one step.
    pub(crate) fn take(&mut self, step: Step) {
        self.trace.note(|| format!("{step:?}"));
        match step {
            Step::KeeperHears(place) => self.keeper_hears(place),
            Step::KeeperMisses(which) => self.keeper_misses(which),
            Step::KeeperStarts => self.keeper_starts(),
            Step::KeeperNotes(place) => {
                let (now, tells) = (self.now(), self.nature.tells_others);
                if let Some(keeper) = &mut self.keeper {
                    keeper.note_end(place, &mut self.os, now, tells);
                }
            }
            Step::KeeperTells(place) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.tell_end(place, &mut self.os);
                }
                self.flush_keeper();
            }
            Step::KeeperReaps(hold) => self.os.reap(hold),
            Step::KeeperTends => self.keeper_tends(),
            Step::KeeperEnds => {
                let is_empty = |keeper: &Keeper| keeper.table.is_empty();
                // What the kernel holds for too long is left alone.
                self.judge.exits_forgotten |= !self.keeper.as_ref().is_none_or(is_empty);
                self.end_keeper(Exit::Code(0));
            }
            Step::ChildClaims(hold) => self.child_claims(hold),
            Step::MasterHears => self.master_hears(),
            Step::MasterMisses => self.master_misses(),
            Step::MasterStartsKeeper => {
                if let Some(master) = &self.master {
                    self.start_keeper(master.hold);
                }
            }
            Step::MasterConnects => self.master_connects(),
            Step::MasterWakes => {
                self.step(Input::Wake);
                self.settle();
            }
            Step::Kills => self.kills(),
            Step::MasterReads => self.master_reads(),
            Step::MasterReleases => self.master_releases(),
            Step::LookEnds(place) => self.look_ends(place),
            Step::MasterMeasures => self.measured(),
            Step::MasterSearches => self.search(),
            Step::MasterSights => self.sight(),
            Step::MasterLoses(run) => self.miss(run),
            Step::ManagerServes => self.serve(),
            Step::WorkerSpeaks => self.speak(),
            Step::MasterListens(place) => self.hear(place),
            Step::MasterParts => self.part(),
            Step::MasterEnds => self.master_ends(),
            Step::CandidateConnects => self.candidate_connects(),
            Step::CandidateHears => self.candidate_hears(),
            Step::CandidateFails => self.candidate_fails(),
            Step::OldHears => self.old_hears(),
            Step::OldMisses => self.old_misses(),
            Step::DiskBegins => self.disk_begins(),
            Step::DiskEnds => self.disk_ends(),
        }
    }

    fn keeper_starts(&mut self) {
        let outcome = self.outcome;
        let before: Vec<Hold> = self.running_births();
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        keeper.start(&mut self.os, outcome);
        self.flush_keeper();
        self.see_executed(&before);
    }

    /// Children that do not run their program yet.
    fn running_births(&self) -> Vec<Hold> {
        let is_born = |process: &&super::os::Process| process.birth.is_some();
        self.os.processes.iter().filter(is_born).map(|process| process.hold).collect()
    }

    fn see_executed(&mut self, before: &[Hold]) {
        for hold in before {
            let Some(process) = self.os.find(*hold) else { continue };
            let (What::Worker(run), None, worker) = (process.what, process.birth, process.worker)
            else {
                continue;
            };
            if process.is_alive() {
                self.mind_manners(*hold, run, worker);
            }
            self.on_executed(run, worker);
        }
    }

    /// A program that has just begun behaves as the schedule wants it to.
    fn mind_manners(&mut self, hold: Hold, run: RunId, worker: usize) {
        use super::os::Temper;
        let manners = std::mem::take(&mut self.manners);
        if let Some(process) = self.os.find_mut(hold) {
            process.temper = match (manners.stuck, manners.stubborn) {
                (true, _) => Temper::Stuck,
                (_, true) => Temper::Stubborn,
                _ => Temper::Obedient,
            };
        }
        if manners.escapes {
            self.os.fork(hold.pid, What::Descendant(run), worker);
        }
    }

    fn child_claims(&mut self, hold: Hold) {
        let place = self.os.find(hold).and_then(|process| process.birth).map(|birth| birth.place);
        if let Some(slot) = place.and_then(|place| self.slots.get(place)) {
            claim(&mut self.os, hold, slot, self.bug);
            self.see_executed(&[hold]);
        }
    }

    pub(crate) fn end_keeper(&mut self, exit: Exit) {
        if let Some(keeper) = self.keeper.take() {
            self.os.end(keeper.hold, exit);
            self.links.lose_keeper();
        }
        self.drop_words();
    }

    fn master_hears(&mut self) {
        let Some(hold) = self.master.as_ref().map(|master| master.hold) else { return };
        for message in self.read(hold) {
            self.take_message(hold, message);
        }
        self.settle();
    }

    /// A master is told something, which may change whether it has the state.
    pub(super) fn take_message(&mut self, hold: Hold, message: FromKeeper) {
        if self.master.as_ref().is_some_and(|master| master.hold == hold) {
            self.master_takes(message);
        } else if self.old.as_ref().is_some_and(|old| old.master.hold == hold) {
            self.old_takes(&message);
        }
    }

    pub(crate) fn tell(&mut self, input: Input) {
        if self.heard.len() < 64 {
            self.heard.push(input.clone());
        }
        self.step(input);
    }

    fn master_takes(&mut self, message: FromKeeper) {
        let Some(master) = &mut self.master else {
            return;
        };
        match message {
            FromKeeper::Spawned { run, process, .. } => {
                master.roll.answer(run);
                if let Some(worker) = master.fleet.worker_of(run).cloned() {
                    master.live.insert(run, Live { worker, process });
                }
                self.tell(Input::Spawned { run, process });
            }
            FromKeeper::SpawnFailed { run, stage, errno } => {
                master.roll.answer(run);
                let mut error = format!("it cannot be started: error {errno}");
                if self.bug == Some(Bug::LeaksSecrets) {
                    error.push_str(CANARY);
                }
                let transient = stage == Stage::Resources;
                self.tell(Input::SpawnFailed { run, error, transient });
            }
            FromKeeper::Exited { run, worker, process, exit, at, wall } => {
                master.roll.name(run);
                self.process_ends(End { worker, run, process, exit, at, wall });
            }
            FromKeeper::Followed { run, process, is_held } => self.followed(run, process, is_held),
            FromKeeper::Held { .. } if self.bug == Some(Bug::CallsTheLivingLeaked) => {}
            FromKeeper::Held { ref worker, .. }
                if self.bug == Some(Bug::ForgetsTheDeparted)
                    && !self.nature.specs.iter().any(|spec| spec.id == *worker) => {}
            FromKeeper::Held { run, worker, process, started, .. } => {
                master.roll.name(run);
                if self.is_followed(run, process) {
                    // The answer was lost with the keeper that held it first.
                    return self.followed(run, process, true);
                }
                let Some(master) = &mut self.master else { return };
                let live = Live { worker: worker.clone(), process };
                master.live.entry(run).or_insert(live);
                master.adopted += 1;
                self.tell(Input::Adopted { worker, run, process, started });
            }
            FromKeeper::Pending { run, worker } => {
                master.roll.name_pending(run);
                self.tell(Input::Pending { worker, run });
            }
            FromKeeper::InventoryEnd => self.inventory_ends(),
            FromKeeper::Ping => master.outgoing.push(ToKeeper::Pong),
            FromKeeper::Yield => self.give_way(),
            FromKeeper::Fenced => self.be_replaced(),
            FromKeeper::UpgradeFailed { .. } => master.is_to_be_replaced = false,
            FromKeeper::Welcome { .. }
            | FromKeeper::PumpLost
            | FromKeeper::Proceed
            // It has the state.
            | FromKeeper::Resume
            | FromKeeper::Stream { .. }
            | FromKeeper::Kept { .. }
            | FromKeeper::NotKept { .. }
            | FromKeeper::Ready { .. }
            | FromKeeper::Finish => {}
        }
    }

    /// What the keeper could not see, the master's own hold may still tell.
    pub(crate) fn own_sight(&mut self, run: RunId, exit: Exit) -> Exit {
        let live = self.master.as_mut().and_then(|master| master.live.remove(&run));
        if !matches!(exit, Exit::Unknown(_)) || !self.nature.tells_others {
            return exit;
        }
        let hold = live.map(|live| live.process);
        let hold = hold.map(|key| Hold { pid: key.pid, start: key.started_at });
        hold.and_then(|hold| self.os.exit_of_gone(hold)).unwrap_or(exit)
    }

    /// Everything that is held is known: what is missing is gone.
    fn inventory_ends(&mut self) {
        let now = self.now();
        self.ask_again();
        let Some(master) = &mut self.master else {
            return;
        };
        let missing = master.roll.complete(master.live.keys());
        let ended: Vec<_> = missing
            .ended
            .into_iter()
            .filter_map(|run| Some((run, master.live.get(&run)?.worker.clone())))
            .collect();
        for (run, worker) in ended {
            let exit = self.own_sight(run, Exit::Unknown(UnknownExit::KeeperLost));
            self.step(Input::Exited { worker, run, exit, at: now.tick, wall: now.wall });
        }
        for run in missing.never_began {
            let error = "the keeper was lost before it could start the process".to_owned();
            self.step(Input::SpawnFailed { run, error, transient: true });
        }
        self.end_inventory();
    }

    pub(crate) fn finish_inventory(&mut self) {
        let now = self.now();
        let Some(unknown) = self.master.as_ref().map(|master| master.unknown) else {
            return;
        };
        self.step(Input::Settled { unknown });
        let Some(master) = &mut self.master else { return };
        if std::mem::replace(&mut master.is_settled, true) {
            // The keeper tells a candidate everything once more when it serves.
            master.is_candidate = false;
            return;
        }
        let kind = EventKind::MasterStarted { adopted: master.adopted };
        master.record(now, None, Actor::Master, kind);
        if master.is_candidate {
            master.outgoing.push(ToKeeper::Ready);
            // The inventory that follows tells of starts whose answer went to the old one.
            master.roll.lose();
            master.roll.doubt();
        }
    }

    fn master_misses(&mut self) {
        let now = self.now();
        if let Some(master) = &mut self.master {
            self.links.close(master.hold);
            master.is_connected = false;
            master.is_to_be_replaced = false;
            let kind = EventKind::RoleLost { role: "keeper".into(), reason: String::new() };
            master.record(now, None, Actor::Master, kind);
            master.roll.lose();
        }
        self.settle();
    }

    fn master_connects(&mut self) {
        let Some(master) = &mut self.master else {
            return;
        };
        let hello =
            ToKeeper::Hello { role: Role::Master, version: VERSION, relaunch: Program::default() };
        let waiting = std::mem::take(&mut master.outgoing);
        master.outgoing = vec![hello, ToKeeper::Inventory];
        master.outgoing.extend(waiting);
        master.is_connected = true;
        master.roll.doubt();
        self.links.open(master.hold);
        self.flush_master();
    }

    pub(super) fn kills(&mut self) {
        let Some(kill) = self.master.as_mut().and_then(|master| master.kills.pop_front()) else {
            return;
        };
        let worker = self.index(&kill.worker);
        if self.has(Bug::SignalsByNumber)
            && let Some((hold, ..)) = self.os.ends.iter().find(|(_, run, _)| *run == kill.run)
            && let Some(whoever) = self.os.open(hold.pid)
        {
            self.os.signal(whoever, super::os::SIGKILL);
        }
        let first_only = self.has(Bug::KillsTheParentOnly);
        let (left, others) = self.os.kill_tree(worker, kill.run, kill.whole, first_only);
        for other in others {
            let run = kill.run;
            self.judge.object("I2", || format!("the kill of {run} hits {other}"));
        }
        if self.has(Bug::LosesReports) {
            return;
        }
        if let Some(master) = &mut self.master {
            master.reports.push_back((kill.worker, kill.run, left));
        }
    }

    fn master_reads(&mut self) {
        let now = self.now();
        let Some((worker, run, pids)) =
            self.master.as_mut().and_then(|master| master.reports.pop_front())
        else {
            return;
        };
        self.tell(Input::Survivors { worker: worker.clone(), run, pids });
        if let Some(master) = &mut self.master {
            // The body performs what the step asks for after the report, in its next round.
            master.on_kill_reported(now, &worker);
        }
        self.settle();
    }

    fn master_releases(&mut self) {
        let now = self.now();
        if let Some(master) = &mut self.master {
            master.release(now);
        }
        self.settle();
    }

    fn master_ends(&mut self) {
        let Some(master) = &mut self.master else {
            return;
        };
        let Some(mode) = master.ending else {
            return;
        };
        // The thread for chores ends when it has done them all.
        for kill in std::mem::take(&mut master.kills) {
            let known = self.nature.ids.iter().position(|known| *known == kill.worker);
            let worker = known.unwrap_or(self.nature.ids.len());
            self.os.kill_tree(worker, kill.run, kill.whole, false);
        }
        master.outgoing.push(ToKeeper::Goodbye { mode });
        let life = if mode == GoodbyeMode::Stop { Life::Ended } else { Life::Left };
        let life = Some((life, BootId::default()));
        master.backlog.push(Batch { life, ..Batch::default() });
        self.flush_master();
        let Some(mut master) = self.master.take() else {
            return;
        };
        if let Some(mut writing) = master.writing.take() {
            self.commit(master.hold, writing.number, &mut writing.batch);
        }
        if let Some((number, mut batch)) = master.backlog.take_all() {
            if self.disk.refuses().is_none() {
                self.commit(master.hold, number, &mut batch);
            } else {
                // A full disk keeps no master from ending, and what it knew is lost.
                self.judge.lose_facts();
            }
        }
        self.judge.on_master_ended(mode);
        self.judge.i28_nobody_lives(&self.os, mode);
        self.holder = None;
        self.os.end(master.hold, Exit::Code(0));
        self.os.reap(master.hold);
        self.links.lose_master(master.hold);
        self.drop_words();
    }

    /// A batch is written by a master, who must have the state.
    pub(super) fn commit(&mut self, writer: Hold, number: u64, batch: &mut Batch) {
        if self.holder != Some(writer) {
            self.judge.object("I30", || "who has not the state writes it".to_owned());
        }
        self.disk.commit(number, batch, self.boot);
    }
}
