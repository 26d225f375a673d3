//! The outside: what looks at workers come to, what workers use and say, and what the kernel
//! kills for want of memory.

use hsu_core::input::{Input, Toll};
use hsu_model::exit::Exit;
use hsu_model::health::Finding;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::{Named, Said};
use hsu_model::process::ProcessKey;
use hsu_model::usage::{Reading, Totals, Usage};
use hsu_model::worker::Unit;
use std::time::Duration;

use super::nature::Fault;
use super::nature::outside::{AMOUNTS, HOVERS};
use super::os::{Hold, SIGKILL, What};
use super::world::World;

/// What the next looks at a worker come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ail {
    #[default]
    Well,
    Sick,
    /// Nothing can be told.
    Unseen,
}

/// How much a worker uses of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eats {
    /// The amount in this place.
    Steadily(u8),
    /// Now more, now less than it may.
    Hovering,
}

impl Default for Eats {
    fn default() -> Self {
        Self::Steadily(0)
    }
}

impl Eats {
    fn amount(self, look: usize) -> Option<u64> {
        let place = match self {
            Self::Steadily(place) => place,
            Self::Hovering => HOVERS[look % HOVERS.len()],
        };
        AMOUNTS.get(usize::from(place)).copied()
    }
}

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Ready,
    Reloading,
    Stopping,
    Status,
    Alive,
    Seldom,
    Longer,
    Broken,
    Another,
}

impl Word {
    pub(crate) const ALL: [Self; 9] = [
        Self::Ready,
        Self::Reloading,
        Self::Stopping,
        Self::Status,
        Self::Alive,
        Self::Seldom,
        Self::Longer,
        Self::Broken,
        Self::Another,
    ];
}

/// How workers are, by their place in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    ails: Vec<Ail>,
    /// For each resource.
    uses: Vec<[Eats; 2]>,
    /// How often anybody was measured.
    measured: usize,
    /// How often the kernel has killed for want of memory, by run.
    kills: Vec<(RunId, u64)>,
    /// Whether every worker says what it must say, unasked.
    pub(crate) speaks: bool,
}

impl Outside {
    /// All faults are over.
    pub(crate) fn heal(&mut self) {
        self.ails.clear();
        self.uses.clear();
        self.speaks = true;
    }

    fn kills(&self, run: RunId) -> u64 {
        self.kills.iter().find(|(of, _)| *of == run).map_or(0, |(_, kills)| *kills)
    }
}

fn at<T: Copy + Default>(list: &mut Vec<T>, place: usize) -> &mut T {
    if list.len() <= place {
        list.resize(place + 1, T::default());
    }
    &mut list[place]
}

impl World {
    /// The next looks at a worker come to this.
    pub(crate) fn ail(&mut self, which: usize, ail: Ail) {
        if ail != Ail::Well {
            self.happen(Fault::Sick);
        }
        let place = which % self.nature.ids.len();
        *at(&mut self.outside.ails, place) = ail;
    }

    /// A worker uses this much of a resource from now on.
    pub(crate) fn eat(&mut self, which: usize, resource: usize, eats: Eats) {
        if eats != Eats::default() {
            self.happen(Fault::Greedy);
        }
        let place = which % self.nature.ids.len();
        at(&mut self.outside.uses, place)[resource % 2] = eats;
    }

    /// The kernel kills a process of a run for want of memory: what it started, or itself.
    pub(crate) fn starve(&mut self, which: usize) {
        let victims: Vec<_> = self
            .os
            .processes
            .iter()
            .filter(|process| process.is_alive() && process.birth.is_none())
            .filter_map(|process| Some((process.hold, process.run()?, process.worker)))
            .filter(|(_, _, worker)| self.nature.is_limited(*worker))
            .collect();
        let Some((hold, run, _)) = victims.get(which % victims.len().max(1)).copied() else {
            return;
        };
        self.happen(Fault::Greedy);
        match self.outside.kills.iter_mut().find(|(of, _)| *of == run) {
            Some((_, kills)) => *kills += 1,
            None => self.outside.kills.push((run, 1)),
        }
        self.os.end(hold, Exit::Signal { number: SIGKILL, core: false });
    }

    /// A process of a worker with limits has ended: what the kernel did to it is told first.
    pub(crate) fn tell_kills(&mut self, run: RunId, exit: Exit) {
        let toll = Toll { kills: self.outside.kills(run), refusals: 0, exit };
        self.tell(Input::HeldBack { run, toll });
    }

    /// A look is over.
    pub(crate) fn look_ends(&mut self, place: usize) {
        let Some(master) = &mut self.master else { return };
        if place >= master.hands.looks.len() {
            return;
        }
        let look = master.hands.looks.remove(place);
        let worker = self.index(&look.worker);
        let finding = match self.outside.ails.get(worker).copied().unwrap_or_default() {
            Ail::Well => Finding::Passed { value: None, note: String::new() },
            Ail::Sick => Finding::Failed { why: String::new() },
            Ail::Unseen => Finding::Inconclusive { why: String::new() },
        };
        let took = Duration::from_millis(3);
        let (run, check, sequence) = (look.run, look.check, look.sequence);
        self.tell(Input::Checked { run, check, sequence, finding, took });
        self.settle();
    }

    /// What a run uses is known.
    pub(crate) fn measured(&mut self) {
        let Some((worker, run, limits)) =
            self.master.as_mut().and_then(|master| master.hands.measures.pop_front())
        else {
            return;
        };
        let place = self.index(&worker);
        let uses = self.outside.uses.get(place).copied().unwrap_or_default();
        let lives = self.os.live(place).any(|(of, _)| of == run) || self.lives_elsewhere(run);
        self.outside.measured += 1;
        let look = self.outside.measured;
        let readings = limits
            .rules
            .iter()
            .zip(uses)
            .map(|(_, eats)| Reading { value: eats.amount(look), held: 0 });
        let usage = Usage {
            at: self.now,
            totals: Totals::default(),
            readings: readings.collect(),
            oom_kills: self.outside.kills(run),
        };
        self.tell(Input::Used { run, usage: lives.then_some(usage) });
        self.settle();
    }

    /// A run around the latest says something.
    pub(crate) fn say(&mut self, which: u8, word: Word) {
        if !self.master_listens() {
            return;
        }
        let run = self.recent_run(which);
        let said = match word {
            Word::Ready => Said::Ready,
            Word::Reloading => Said::Reloading,
            Word::Stopping => Said::Stopping,
            Word::Status => Said::Status("busy".to_owned()),
            Word::Alive => Said::Alive,
            Word::Seldom => Said::AliveEvery(Duration::from_secs(70)),
            Word::Longer => Said::NeedsLonger(Duration::from_secs(20)),
            Word::Broken => Said::Broken,
            Word::Another => match self.descendant(run) {
                Some(hold) => {
                    let process = ProcessKey { pid: hold.pid, started_at: hold.start };
                    // Nothing shows that it is of the worker: it must not count.
                    Said::MainProcess(Named { pid: hold.pid, process: Some(process), bond: None })
                }
                None => Said::Alive,
            },
        };
        self.tell(Input::Told { run, said });
        self.settle();
    }

    fn descendant(&self, run: RunId) -> Option<Hold> {
        let is_it = |process: &&super::os::Process| {
            process.what == What::Descendant(run) && process.is_alive()
        };
        self.os.processes.iter().find(is_it).map(|process| process.hold)
    }

    /// A run that has not said yet what it must say.
    pub(crate) fn silent(&self) -> Option<(Hold, RunId)> {
        if !self.outside.speaks {
            return None;
        }
        let fleet = &self.master.as_ref()?.fleet;
        fleet.glances().find_map(|(id, glance)| {
            let place = self.index(id);
            let is_heard = fleet.spec(id).is_some_and(|spec| match &spec.unit {
                Unit::Managed(managed) => managed.notify.is_on(),
                _ => false,
            });
            let run = glance.run.filter(|_| glance.process.is_some() && is_heard)?;
            let (_, process) = self.os.live(place).find(|(of, _)| *of == run)?;
            (!process.has_spoken).then_some((process.hold, run))
        })
    }

    /// It says so, and that nobody need wait for a sign of life.
    pub(crate) fn speak(&mut self) {
        let Some((hold, run)) = self.silent() else { return };
        if let Some(process) = self.os.find_mut(hold) {
            process.has_spoken = true;
        }
        self.tell(Input::Told { run, said: Said::Ready });
        self.tell(Input::Told { run, said: Said::AliveEvery(Duration::ZERO) });
        self.settle();
    }

    /// A limit could not be enforced.
    pub(crate) fn balk(&mut self, which: usize) {
        if !self.master_listens() {
            return;
        }
        let worker: WorkerId = self.nature.ids[which % self.nature.ids.len()].clone();
        self.happen(Fault::Greedy);
        self.tell(Input::LimitFailed { worker, reason: "no such controller".to_owned() });
        self.settle();
    }
}
