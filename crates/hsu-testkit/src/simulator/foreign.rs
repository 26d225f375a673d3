//! Processes of somebody else: they come and go, run other programs, and are found, held and
//! ended through the hands of the master.

use hsu_core::effect::ServiceVerb;
use hsu_core::input::Input;
use hsu_model::discovery::{Candidate, Discovery, Sighting};
use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;

use super::hands::Deed;
use super::museum::Bug;
use super::nature::outside::{FITTING, program};
use super::os::{Hold, INIT, Process, What};
use super::world::World;

/// What becomes of processes of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fortune {
    /// One begins.
    Begins,
    /// One ends.
    Ends,
    /// One runs another program from now on.
    Strays,
}

fn key(hold: Hold) -> ProcessKey {
    ProcessKey { pid: hold.pid, started_at: hold.start }
}

impl World {
    /// Whoever starts processes here does something.
    pub(crate) fn befall(&mut self, which: usize, fortune: Fortune) {
        let all: Vec<_> = self.foreigners().map(|process| process.hold).collect();
        let one = all.get(which % all.len().max(1)).copied();
        match (fortune, one) {
            (Fortune::Begins, _) => self.begin_foreign(),
            (Fortune::Ends, Some(hold)) => self.os.end(hold, Exit::Code(0)),
            (Fortune::Strays, Some(hold)) => {
                if let Some(process) = self.os.find_mut(hold) {
                    process.program += 1;
                }
            }
            (Fortune::Ends | Fortune::Strays, None) => {}
        }
    }

    fn begin_foreign(&mut self) {
        let is_stubborn =
            self.nature.faults.has(super::nature::Fault::Stubborn) && self.chance.one_in(3);
        if let Some(hold) = self.os.fork(INIT, What::Foreign, 0)
            && let Some(process) = self.os.find_mut(hold)
        {
            process.program = FITTING;
            if is_stubborn {
                process.temper = super::os::Temper::Stubborn;
            }
        }
    }

    fn foreigners(&self) -> impl Iterator<Item = &Process> {
        self.os.processes.iter().filter(|process| process.what == What::Foreign)
    }

    /// Looks once for everybody who is looked for.
    pub(crate) fn search(&mut self) {
        let (now, takes_ours) = (self.now, self.has(Bug::AttachesToOurOwn));
        let is_seen = |process: &&Process| match process.what {
            What::Foreign => process.program == FITTING,
            What::Worker(_) | What::Descendant(_) => takes_ours,
            What::Master | What::Keeper | What::Stranger => false,
        };
        let seen: Vec<Candidate> = self
            .os
            .processes
            .iter()
            .filter(|process| process.is_alive() && process.birth.is_none())
            .filter(is_seen)
            .map(|process| Candidate {
                process: key(process.hold),
                program: program(process.program),
                what: String::new(),
            })
            .collect();
        let Some(master) = &mut self.master else { return };
        let hands = &mut master.hands;
        for (worker, due) in hands.searched.iter_mut().filter(|(_, due)| **due <= now) {
            *due = now.after(Discovery::DEFAULT_INTERVAL);
            let held = hands.attached.values().filter(|(of, _)| of == worker);
            let has_strayed =
                |hold: &Hold| self.os.find(*hold).is_some_and(|process| process.program != FITTING);
            let strayed = held.filter(|(_, hold)| has_strayed(hold)).map(|(_, hold)| key(*hold));
            let (candidates, note) = (seen.clone(), String::new());
            let sighting =
                Sighting { candidates, strayed: strayed.collect(), note, is_blind: false };
            hands.sightings.push_back((worker.clone(), sighting));
        }
    }

    /// The master hears what a search came to.
    pub(crate) fn sight(&mut self) {
        let found = self.master.as_mut().and_then(|master| master.hands.sightings.pop_front());
        if let Some((worker, sighting)) = found {
            self.tell(Input::Sighted { worker, sighting });
            self.settle();
        }
    }

    /// Does at once what is to be done to processes of others.
    pub(crate) fn do_deeds(&mut self) {
        while let Some(deed) = self.master.as_mut().and_then(|m| m.hands.deeds.pop_front()) {
            match deed {
                Deed::Attach { worker, run, process, inode } => {
                    let wanted = Hold { pid: process.pid, start: process.started_at };
                    self.attach(worker, run, wanted, inode);
                }
                Deed::Release(run) => {
                    if let Some(master) = &mut self.master {
                        master.hands.attached.remove(&run);
                    }
                }
                Deed::Follow { worker, run, process } => self.follow(worker, run, process),
                Deed::Signal(run, signal) => self.signal_attached(run, signal),
            }
        }
    }

    fn attach(&mut self, worker: hsu_model::id::WorkerId, run: RunId, wanted: Hold, inode: u64) {
        let by_number = self.has(Bug::AttachesByNumber);
        let opened = if by_number { self.os.open(wanted.pid) } else { Some(wanted) };
        let found = opened
            .and_then(|hold| self.os.find(hold))
            .filter(|process| process.is_alive() && (by_number || process.program == inode));
        let (found, since) = (found.map(|process| (process.hold, process.what)), self.now());
        if let Some((hold, what)) = found {
            self.judge.i2_attached(run, (wanted, hold), what);
        }
        let Some(master) = &mut self.master else { return };
        master.inputs.push_back(match found {
            Some((hold, _)) => {
                master.hands.attached.insert(run, (worker, hold));
                Input::Attached { run, started: (since.tick, since.wall) }
            }
            None if self.chance.one_in(8) => {
                Input::AttachFailed { run, error: Some("no right to look".to_owned()) }
            }
            None => Input::AttachFailed { run, error: None },
        });
    }

    fn signal_attached(&mut self, run: RunId, signal: i32) {
        let held = self.master.as_ref().and_then(|master| master.hands.attached.get(&run));
        if let Some(hold) = held.map(|(_, hold)| *hold) {
            self.os.signal_foreign(hold, signal);
        }
    }

    /// Whether this is the run of a process of somebody else that is held and goes on.
    pub(crate) fn lives_elsewhere(&self, run: RunId) -> bool {
        let held = self.master.as_ref().and_then(|master| master.hands.attached.get(&run));
        held.and_then(|(_, hold)| self.os.find(*hold)).is_some_and(Process::is_alive)
    }

    /// A process that is held and has ended.
    pub(crate) fn gone(&self) -> Option<RunId> {
        let attached = &self.master.as_ref()?.hands.attached;
        let is_gone = |hold: &Hold| self.os.find(*hold).is_none_or(|process| !process.is_alive());
        attached.iter().find(|(_, (_, hold))| is_gone(hold)).map(|(run, _)| *run)
    }

    /// The master hears of its end, and how, where the kernel tells.
    pub(crate) fn miss(&mut self, run: RunId) {
        let now = self.now();
        let held = self.master.as_mut().and_then(|master| master.hands.attached.remove(&run));
        let Some((worker, hold)) = held else { return };
        let seen = self.os.exit_of_gone(hold).filter(|_| self.nature.tells_others);
        let exit = seen.unwrap_or(Exit::Unknown(UnknownExit::NotOurChild));
        self.judge.expect_exit(run, self.os.exit_of_gone(hold));
        if self.nature.is_limited(self.index(&worker)) {
            self.tell_kills(run, exit);
        }
        self.tell(Input::Exited { worker, run, exit, at: now.tick, wall: now.wall });
        self.settle();
    }

    /// Whoever manages a process has done what it was asked for, or not.
    pub(crate) fn serve(&mut self) {
        let asked = self.master.as_mut().and_then(|master| master.hands.services.pop_front());
        let Some((worker, verb)) = asked else { return };
        let fails = self.chance.one_in(3);
        if !fails {
            let old = self.foreigners().next().map(|process| process.hold);
            if let (ServiceVerb::Restart | ServiceVerb::Stop, Some(hold)) = (verb, old) {
                self.os.end(hold, Exit::Code(0));
            }
            if verb != ServiceVerb::Stop {
                self.begin_foreign();
            }
        }
        let error = fails.then(|| "the unit is masked".to_owned());
        self.tell(Input::Serviced { worker, error });
        self.settle();
    }
}
