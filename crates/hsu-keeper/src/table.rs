//! The table: which runs a keeper holds, and what it tells of them.
//!
//! Pure: a run has a place, a place is a [`slot::Slot`] in memory that outlives the keeper.
//! An exit stays until it is acknowledged; a start that is ordered twice is one start; the
//! next keeper adopts what lives, tells what has ended, and withdraws what never began.
//! Deliberately absent: the kernel. Whoever owns the table starts, waits and reaps.

use std::collections::BTreeMap;

use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::Now;

use crate::protocol::{FromKeeper, Stage};
use slot::{Held, Slot};

pub mod slot;

/// The runs of one keeper, by number.
#[derive(Debug)]
pub struct Table<S> {
    slots: S,
    places: BTreeMap<RunId, usize>,
    /// No place before this one is free.
    free_from: usize,
}

/// What becomes of an order to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It has this place.
    Place(usize),
    /// The same order twice is one start.
    Known,
    /// No place is free.
    Full,
}

impl<S: AsRef<[Slot]>> Table<S> {
    /// A table that has not looked into its slots yet.
    pub fn new(slots: S) -> Self {
        Self { slots, places: BTreeMap::new(), free_from: 0 }
    }

    fn slots(&self) -> &[Slot] {
        self.slots.as_ref()
    }

    /// What is at a place.
    #[must_use]
    pub fn slot(&self, place: usize) -> Option<&Slot> {
        self.slots().get(place)
    }

    /// The place of a run.
    #[must_use]
    pub fn place(&self, run: RunId) -> Option<usize> {
        self.places.get(&run).copied()
    }

    /// The place of a process that lives.
    #[must_use]
    pub fn place_of_process(&self, pid: u32) -> Option<usize> {
        let is = |slot: &Slot| slot.held() == Held::Live && slot.process().pid == pid;
        self.slots().iter().position(is)
    }

    /// Whether no run is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Takes over everything that an earlier keeper held. `open` gives a hold on the process
    /// with a PID and its start time: the hold first, then the comparison, because what it
    /// holds cannot change any more. Gives back the places of those that live.
    pub fn adopt<H>(
        &mut self,
        now: Now,
        mut open: impl FnMut(u32) -> Option<(H, u64)>,
    ) -> Vec<(usize, H)> {
        let mut alive = Vec::new();
        for (place, slot) in self.slots.as_ref().iter().enumerate() {
            match slot.held() {
                Held::Free => {}
                // It could not be executed, which the earlier keeper was about to tell.
                Held::Ended if slot.failure().is_some() => slot.free(),
                Held::Ended => drop(self.places.insert(slot.run(), place)),
                // It never ran and never will; the master asks for it again.
                Held::Spawning if slot.withdraw() => slot.free(),
                Held::Spawning | Held::Live => {
                    let hold = find(slot, &mut open);
                    if hold.is_none() && slot.failure().is_some() {
                        slot.free();
                        continue;
                    }
                    self.places.insert(slot.run(), place);
                    match hold {
                        Some((hold, started_at)) => {
                            slot.occupy(started_at);
                            alive.push((place, hold));
                        }
                        None => slot.end(Exit::Unknown(UnknownExit::KeeperLost), now),
                    }
                }
            }
        }
        alive
    }

    /// Finds a place for an order to start.
    pub fn reserve(&mut self, run: RunId, worker: &WorkerId, now: Now) -> Reserved {
        if self.places.contains_key(&run) {
            return Reserved::Known;
        }
        let mut slots = self.slots().iter().enumerate().skip(self.free_from);
        let Some((place, slot)) = slots.find(|(_, slot)| slot.held() == Held::Free) else {
            return Reserved::Full;
        };
        slot.reserve(run, worker, now);
        self.places.insert(run, place);
        self.free_from = place + 1;
        Reserved::Place(place)
    }

    /// Nothing was started: nothing is left of it.
    pub fn fail(&mut self, run: RunId) {
        if let Some(place) = self.places.remove(&run)
            && let Some(slot) = self.slot(place)
        {
            slot.free();
            self.free_from = self.free_from.min(place);
        }
    }

    /// Another process counts for a run; the place of the run, when it can have one. What
    /// was noted of an end is forgotten with the process that it was of.
    pub fn follow(&mut self, run: RunId, process: ProcessKey) -> Option<usize> {
        let place = self.place(run)?;
        let is_others = self.place_of_process(process.pid).is_some_and(|other| other != place);
        let slot = self.slots.as_ref().get(place)?;
        let is_possible = match slot.held() {
            Held::Live => true,
            // What was noted is the end of this very process.
            Held::Ended => slot.failure().is_none() && slot.process() != process,
            Held::Free | Held::Spawning => false,
        };
        (is_possible && !is_others).then(|| slot.follow(process))?;
        Some(place)
    }

    /// What is told of an end that is noted, once its process is reaped.
    pub fn tell_end(&mut self, place: usize) -> Option<FromKeeper> {
        let slot = self.slots.as_ref().get(place)?;
        let run = slot.run();
        if let Some(errno) = slot.failure() {
            // Its keeper was killed before the program could be executed, and it could not.
            self.fail(run);
            return Some(FromKeeper::SpawnFailed { run, stage: Stage::Execute, errno });
        }
        let told = exited(slot);
        if told.is_none() {
            self.fail(run);
        }
        told
    }

    /// The master has accounted for an exit.
    pub fn forget(&mut self, run: RunId) {
        let Some(slot) = self.place(run).and_then(|place| self.slot(place)) else {
            return;
        };
        if slot.held() == Held::Ended {
            self.fail(run);
        }
    }

    /// Everything that is held, oldest run first; holds are for the caller to add, by place.
    pub fn inventory(&self) -> impl Iterator<Item = (usize, FromKeeper)> + '_ {
        self.places.iter().filter_map(|(run, place)| {
            let slot = self.slot(*place)?;
            let (run, worker) = (*run, slot.worker()?);
            let message = match slot.held() {
                Held::Ended => exited(slot)?,
                Held::Live => FromKeeper::Held {
                    run,
                    worker,
                    process: slot.process(),
                    started: slot.started(),
                    handle: None,
                },
                Held::Spawning | Held::Free => FromKeeper::Pending { run, worker },
            };
            Some((*place, message))
        })
    }

    /// Nobody will ask any more how anything ended.
    pub fn forget_ended(&mut self) {
        let slots = self.slots.as_ref();
        let has_ended = |place: &usize| slots.get(*place).is_some_and(|s| s.held() == Held::Ended);
        self.places.retain(|_, place| !has_ended(place));
        for slot in slots.iter().filter(|slot| slot.held() == Held::Ended) {
            slot.free();
        }
        self.free_from = 0;
    }
}

/// A hold on the process of a slot, when it is still that process.
fn find<H>(slot: &Slot, open: &mut impl FnMut(u32) -> Option<(H, u64)>) -> Option<(H, u64)> {
    let (pid, noted) = (slot.process().pid, slot.process().started_at);
    let found = if pid > 1 { open(pid) } else { None };
    found.filter(|(_, started_at)| match noted {
        // The earlier keeper was killed before it had noted the start.
        0 => slot.claim().is_of(*started_at),
        noted => noted == *started_at,
    })
}

fn exited(slot: &Slot) -> Option<FromKeeper> {
    let (at, wall) = slot.ended();
    let (run, worker, exit) = (slot.run(), slot.worker()?, slot.exit());
    Some(FromKeeper::Exited { run, worker, process: slot.process(), exit, at, wall })
}

#[cfg(test)]
mod tests;
