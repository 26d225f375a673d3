//! The outside: what looks at workers come to, what workers use and say, and what the kernel
//! kills for want of memory.

use hsu_core::input::{Input, Toll};
use hsu_model::exit::Exit;
use hsu_model::health::{Finding, Source};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::LimitKind;
use hsu_model::notify::{Named, Said};
use hsu_model::process::ProcessKey;
use hsu_model::time::Tick;
use hsu_model::usage::{Reading, Totals, Usage};
use hsu_model::worker::Unit;
use std::collections::VecDeque;
use std::time::Duration;

use super::nature::Fault;
use super::nature::outside::{AMOUNTS, BAD, GOOD, HOVERS};
use super::os::{Hold, SIGKILL, What};
use super::words::Spoken;
use super::world::World;

/// Resources of which a worker may use more or less.
const RESOURCES: usize = 3;
/// Looks after which a worker that is restless does better, or worse.
const SPELL: u64 = 4;

/// What the next looks at a worker come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ail {
    #[default]
    Well,
    Sick,
    /// Now sick, now well.
    Restless,
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
    /// A process that nobody could show to be of the worker.
    Another,
    /// A process of the worker as which it goes on.
    Successor,
}

impl Word {
    pub(crate) const ALL: [Self; 10] = [
        Self::Ready,
        Self::Reloading,
        Self::Stopping,
        Self::Status,
        Self::Alive,
        Self::Seldom,
        Self::Longer,
        Self::Broken,
        Self::Another,
        Self::Successor,
    ];
}

/// How workers are, by their place in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    ails: Vec<Ail>,
    /// For each resource.
    uses: Vec<[Eats; RESOURCES]>,
    /// What runs have used up of what is counted, by when.
    drawn: Vec<(RunId, Tick, u64)>,
    /// How often anybody was measured.
    measured: usize,
    /// What the kernel has done to runs.
    held_back: Vec<(RunId, HeldBack)>,
    /// What waits in the sockets of workers.
    pub(crate) said: VecDeque<Spoken>,
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

    /// A run has used so much in each second since it was looked at last; the sum so far.
    fn draw(&mut self, run: RunId, now: Tick, amount: u64) -> u64 {
        let place = self.drawn.iter().position(|(of, ..)| *of == run).unwrap_or_else(|| {
            self.drawn.push((run, now, 0));
            self.drawn.len() - 1
        });
        let (_, at, sum) = &mut self.drawn[place];
        let used = u128::from(amount) * now.since(*at).as_nanos() / 1_000_000_000;
        *sum += u64::try_from(used).unwrap_or(0);
        *at = now;
        *sum
    }

    fn held_back(&self, run: RunId) -> HeldBack {
        self.held_back.iter().find(|(of, _)| *of == run).map(|(_, what)| *what).unwrap_or_default()
    }

    fn hold_back(&mut self, run: RunId) -> &mut HeldBack {
        let known = self.held_back.iter().position(|(of, _)| *of == run);
        let place = known.unwrap_or(self.held_back.len());
        if known.is_none() {
            self.held_back.push((run, HeldBack::default()));
        }
        &mut self.held_back[place].1
    }
}

/// What the kernel has done to a run within its limits, so far.
#[derive(Clone, Copy, Debug, Default)]
struct HeldBack {
    /// Processes that it killed for want of memory.
    kills: u64,
    /// Processes that it refused.
    refusals: u64,
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
        at(&mut self.outside.uses, place)[resource % RESOURCES] = eats;
    }

    /// The kernel kills a process of a run for want of memory: what it started, or itself.
    pub(crate) fn starve(&mut self, which: usize) {
        let victims: Vec<_> = self.limited().collect();
        let Some((hold, run)) = victims.get(which % victims.len().max(1)).copied() else {
            return;
        };
        self.happen(Fault::Greedy);
        self.outside.hold_back(run).kills += 1;
        self.os.end(hold, Exit::Signal { number: SIGKILL, core: false });
    }

    /// The kernel refuses a run another process; one that is told to end does so of it.
    pub(crate) fn refuse(&mut self, which: usize, ends: bool) {
        let victims: Vec<_> = self.limited().collect();
        let Some((hold, run)) = victims.get(which % victims.len().max(1)).copied() else {
            return;
        };
        self.happen(Fault::Greedy);
        self.outside.hold_back(run).refusals += 1;
        if ends {
            self.os.end(hold, Exit::Code(1));
        }
    }

    /// Every process of a run that the kernel holds to limits, ours or somebody else's.
    fn limited(&self) -> impl Iterator<Item = (Hold, RunId)> + '_ {
        let attached = self.master.as_ref().map(|master| &master.hands.attached);
        let of_others = attached.into_iter().flatten().filter_map(|(run, (worker, hold))| {
            let is_alive = self.os.find(*hold).is_some_and(super::os::Process::is_alive);
            (is_alive && self.nature.is_limited(self.index(worker))).then_some((*hold, *run))
        });
        let ours = self
            .os
            .processes
            .iter()
            .filter(|process| process.is_alive() && process.birth.is_none())
            .filter_map(|process| Some((process.hold, process.run()?, process.worker)))
            .filter(|(_, _, worker)| self.nature.is_limited(*worker))
            .map(|(hold, run, _)| (hold, run));
        ours.chain(of_others)
    }

    /// A process of a worker with limits has ended: what the kernel did to it is told first.
    pub(crate) fn tell_kills(&mut self, run: RunId, exit: Exit) {
        let HeldBack { kills, refusals } = self.outside.held_back(run);
        self.tell(Input::HeldBack { run, toll: Toll { kills, refusals, exit } });
    }

    /// A look is over.
    pub(crate) fn look_ends(&mut self, place: usize) {
        let Some(master) = &mut self.master else { return };
        if place >= master.hands.looks.len() {
            return;
        }
        let look = master.hands.looks.remove(place);
        let worker = self.index(&look.worker);
        let passed = |value| Finding::Passed { value: Some(value), note: String::new() };
        // Half of the time it is only a number that is bad.
        let is_read = self.reads_numbers(worker, look.check) && look.sequence % 2 == 0;
        let is_sick = (look.sequence / SPELL).is_multiple_of(2);
        let finding = match self.outside.ails.get(worker).copied().unwrap_or_default() {
            Ail::Restless if !is_sick => passed(GOOD),
            Ail::Well => passed(GOOD),
            Ail::Sick | Ail::Restless if is_read => passed(BAD),
            Ail::Sick | Ail::Restless => Finding::Failed { why: String::new() },
            Ail::Unseen => Finding::Inconclusive { why: String::new() },
        };
        let took = Duration::from_millis(3);
        let (run, check, sequence) = (look.run, look.check, look.sequence);
        self.tell(Input::Checked { run, check, sequence, finding, took });
        self.settle();
    }

    fn reads_numbers(&self, worker: usize, check: usize) -> bool {
        let check = self.nature.spec_of(worker).and_then(|spec| spec.health.checks.get(check));
        check
            .is_some_and(|check| matches!(&check.source, Source::Probed { judgement: Some(_), .. }))
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
        let HeldBack { kills, refusals } = self.outside.held_back(run);
        let (now, outside) = (self.now, &mut self.outside);
        let readings = limits.rules.iter().zip(uses).map(|(rule, eats)| {
            let amount = eats.amount(look);
            Reading {
                value: match rule.kind.is_rate() {
                    true => amount.map(|amount| outside.draw(run, now, amount)),
                    false => amount,
                },
                held: if rule.kind == LimitKind::Processes { refusals } else { 0 },
            }
        });
        let usage = Usage {
            at: now,
            totals: Totals::default(),
            readings: readings.collect(),
            oom_kills: kills,
        };
        self.tell(Input::Used { run, usage: lives.then_some(usage) });
        self.settle();
    }

    /// A run around the latest says something.
    pub(crate) fn say(&mut self, which: u8, word: Word) {
        if word == Word::Successor {
            // It waits in a socket, whoever is there to hear it.
            return self.name_successor(usize::from(which));
        }
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
            Word::Successor => return,
        };
        self.tell(Input::Told { run, said });
        self.settle();
    }

    pub(crate) fn descendant(&self, run: RunId) -> Option<Hold> {
        let is_it = |process: &&super::os::Process| {
            process.what == What::Descendant(run) && process.is_alive()
        };
        self.os.processes.iter().find(is_it).map(|process| process.hold)
    }

    /// A run that has not said yet what it must say.
    pub(crate) fn silent(&self) -> Option<(Hold, RunId)> {
        if !self.outside.speaks || !self.nature.features.words {
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
