//! Words: which process a worker says it goes on as, in a socket that outlives a master.
//!
//! A model, by name: `hsu-runtime/src/listening.rs` and `body/told.rs`. One word at a time is
//! looked at, and is taken away when what follows from it is durable: the next master hears
//! again what a lost one had not done. Master and keeper hold the socket; what is in it is gone
//! when both are. Whatever else a worker says is heard as it is said (`outside.rs`).

use hsu_core::effect::Effect;
use hsu_core::input::Input;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::{Bond, Named, Said};
use hsu_model::process::ProcessKey;
use hsu_model::status::WorkerState;
use hsu_model::worker::Unit;

use super::master::Master;
use super::museum::Bug;
use super::os::{Hold, Process, What};
use super::world::World;

/// Words that wait at most: a socket is not endless.
const MOST: usize = 8;

/// What waits to be heard.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spoken {
    /// A process of a worker names another one, which counts from now on.
    Name { worker: usize, speaker: Hold, named: Hold },
    /// The present master wants to know when it has heard everything before this.
    Silence { worker: usize },
}

impl Spoken {
    fn worker(self) -> usize {
        match self {
            Self::Name { worker, .. } | Self::Silence { worker } => worker,
        }
    }
}

/// The word that is heard at present; the next one waits until it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hearing {
    place: usize,
    /// The run of which the keeper was asked to hold another process.
    asked: Option<RunId>,
    /// The batch that holds what followed.
    number: Option<u64>,
}

impl Master {
    /// Whether what was heard is done, as far as it can be.
    pub(crate) fn word_is_done(&self) -> bool {
        let number = self.succession.hearing.and_then(|hearing| hearing.number);
        let is_stuck = self.backlog.health().is_some();
        number.is_some_and(|number| number <= self.backlog.durable() || is_stuck)
    }

    /// It is known who counts.
    pub(crate) fn say_the_rest(&mut self, run: RunId) {
        if let Some(hearing) = &mut self.succession.hearing {
            hearing.asked = hearing.asked.filter(|of| *of != run);
        }
    }
}

impl World {
    /// A worker says that it goes on as a process that it has left behind.
    pub(crate) fn name_successor(&mut self, which: usize) {
        if !self.nature.features.words || self.outside.said.len() >= MOST {
            return;
        }
        let pair = |process: &Process| {
            let What::Worker(run) = process.what else { return None };
            let speaks = process.is_alive() && process.birth.is_none() && !process.frozen;
            let named = self.descendant(run).filter(|_| speaks)?;
            Some((process.worker, process.hold, named))
        };
        let pairs: Vec<_> = self.os.processes.iter().filter_map(pair).collect();
        if let Some((worker, speaker, named)) = pairs.get(which % pairs.len().max(1)).copied() {
            self.outside.said.push_back(Spoken::Name { worker, speaker, named });
        }
    }

    /// The first word that can be heard at present: of each worker one after the other, and
    /// none of a run whose process is not known yet.
    pub(crate) fn hearable(&self, master: &Master) -> Option<usize> {
        let said = &self.outside.said;
        let succession = &master.succession;
        if said.is_empty() || !succession.listens || succession.hearing.is_some() {
            return None;
        }
        let is_first = |place: usize| {
            let worker = said[place].worker();
            said.iter().take(place).all(|before| before.worker() != worker)
        };
        let can_be = |place: usize| match said[place] {
            Spoken::Name { worker, .. } => !self.is_starting(master, worker),
            Spoken::Silence { .. } => true,
        };
        (0..said.len()).find(|place| is_first(*place) && can_be(*place))
    }

    fn is_starting(&self, master: &Master, worker: usize) -> bool {
        let run = self.nature.ids.get(worker).and_then(|id| master.fleet.glance(id)?.run);
        run.is_some_and(|run| {
            master.fleet.worker_of(run).is_some()
                && !master.live.contains_key(&run)
                && master.succession.parting.ended(run).is_none()
        })
    }

    /// The master hears a word.
    pub(crate) fn hear(&mut self, place: usize) {
        let Some(spoken) = self.outside.said.get(place).copied() else { return };
        let mut asked = None;
        match spoken {
            Spoken::Silence { worker } => {
                if let Some(id) = self.nature.ids.get(worker).cloned() {
                    self.heard_out(&id);
                }
            }
            Spoken::Name { worker, speaker, named } => {
                if let Some(run) = self.speaking(worker, speaker) {
                    let named = self.look(run, named.pid);
                    self.tell(Input::Told { run, said: Said::MainProcess(named) });
                    asked = self.is_asked_to_follow(run).then_some(run);
                }
            }
        }
        if let Some(master) = &mut self.master {
            master.succession.hearing = Some(Hearing { place, asked, number: None });
        }
        self.settle();
    }

    fn is_asked_to_follow(&self, run: RunId) -> bool {
        let is_it =
            |effect: &Effect| matches!(effect, Effect::Follow { run: of, .. } if *of == run);
        self.master.as_ref().is_some_and(|master| master.effects.iter().any(is_it))
    }

    /// The run for which a process speaks: the first process of a worker, also when it has
    /// ended and it is not settled that its run has ended with it.
    fn speaking(&self, worker: usize, speaker: Hold) -> Option<RunId> {
        let master = self.master.as_ref()?;
        let id = self.nature.ids.get(worker)?;
        let glance = master.fleet.glance(id).filter(|_| self.speaks(id))?;
        let run = glance.run?;
        let ended = || Some(master.succession.parting.ended(run)?.process);
        // The kernel tells who has spoken by its PID.
        let process = glance.process.or_else(ended)?;
        (process.pid == speaker.pid).then_some(run)
    }

    /// What there is to know of a process that was named.
    fn look(&self, run: RunId, pid: u32) -> Named {
        let hold =
            self.os.open(pid).filter(|hold| self.os.find(*hold).is_some_and(Process::is_alive));
        let Some(hold) = hold else { return Named { pid, process: None, bond: None } };
        let is_of_run = self.os.find(hold).is_some_and(|process| process.run() == Some(run));
        let process = ProcessKey { pid, started_at: hold.start };
        Named { pid, process: Some(process), bond: is_of_run.then_some(Bond::Mark) }
    }

    /// Whether a worker is listened to, as it is configured.
    pub(crate) fn speaks(&self, worker: &WorkerId) -> bool {
        let spec = self.master.as_ref().and_then(|master| master.fleet.spec(worker));
        spec.is_some_and(|spec| match &spec.unit {
            Unit::Managed(managed) => managed.notify.is_on(),
            _ => false,
        })
    }

    /// Whether a worker may have said who goes on, and was not heard yet: then it is asked.
    pub(crate) fn may_have_said(&mut self, id: &WorkerId, run: RunId) -> bool {
        if self.has(Bug::MissesLastWords) || !self.speaks(id) {
            return false;
        }
        let Some(master) = &self.master else { return false };
        let runs = master.fleet.glance(id).is_some_and(|glance| {
            matches!(glance.state, WorkerState::Running | WorkerState::Starting)
                && glance.run == Some(run)
        });
        let (listens, is_settled) = (master.succession.listens, master.is_settled);
        if runs && listens {
            self.ask_for_silence(id);
        }
        runs && (listens || !is_settled)
    }

    /// Asks a worker to be heard out.
    pub(crate) fn ask_for_silence(&mut self, worker: &WorkerId) {
        let worker = self.index(worker);
        self.outside.said.push_back(Spoken::Silence { worker });
    }

    /// Whether a word is on its way by which a run goes on as another process, which lives.
    pub(crate) fn is_on_its_way(&self, run: RunId, process: ProcessKey) -> bool {
        let by = Hold { pid: process.pid, start: process.started_at };
        let heard = self.master.as_ref().and_then(|master| master.succession.hearing);
        let goes_on = |named: Hold| {
            self.os.find(named).is_some_and(|of| of.is_alive() && of.run() == Some(run))
        };
        self.outside.said.iter().enumerate().any(|(place, spoken)| match *spoken {
            Spoken::Name { speaker, named, .. } => {
                speaker == by && goes_on(named) && heard.is_none_or(|heard| heard.place != place)
            }
            Spoken::Silence { .. } => false,
        })
    }

    /// What followed in this turn is in a batch: a word whose consequences are durable is taken
    /// away.
    pub(crate) fn finish_word(&mut self, number: u64) {
        let Some(master) = &mut self.master else { return };
        let Some(hearing) = &mut master.succession.hearing else { return };
        let place = hearing.place;
        if hearing.asked.is_none() {
            hearing.number.get_or_insert(number);
        }
        if master.word_is_done() {
            master.succession.hearing = None;
            self.outside.said.remove(place);
        }
    }

    /// A role is gone: nobody waits for what it asked, and without both there is no socket.
    pub(crate) fn drop_words(&mut self) {
        match (&self.master, &self.keeper) {
            (None, None) if self.old.is_none() => self.outside.said.clear(),
            (None, _) => {
                self.outside.said.retain(|spoken| matches!(spoken, Spoken::Name { .. }));
            }
            (Some(_), _) => {}
        }
    }
}
