//! The roll call: what an inventory of the keeper says of runs that it does not name.
//!
//! The master keeps a list of starts that are not answered. After the loss of a keeper
//! each of them may have happened or not; the next inventory tells. What lived and is not
//! named has ended; what was asked of the lost keeper and is not named never began. What
//! is asked after the inventory was ordered is not in doubt.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use hsu_model::id::RunId;

/// Who answered, who was named, and whose fate is open.
#[derive(Debug, Default)]
pub struct Roll {
    /// Starts that the keeper has not answered.
    asked: BTreeSet<RunId>,
    /// Starts among them that a lost keeper may or may not have carried out.
    doubtful: BTreeSet<RunId>,
    /// Runs that the present inventory has named so far.
    named: BTreeSet<RunId>,
}

/// What became of runs that an inventory does not name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// They lived, and have ended unseen.
    pub ended: Vec<RunId>,
    /// They were asked for, and never began.
    pub never_began: Vec<RunId>,
}

impl Roll {
    /// A start was ordered.
    pub fn ask(&mut self, run: RunId) {
        self.asked.insert(run);
    }

    /// It has happened, or could not.
    pub fn answer(&mut self, run: RunId) {
        self.asked.remove(&run);
    }

    /// The keeper holds this run, or its exit.
    pub fn name(&mut self, run: RunId) {
        self.named.insert(run);
        self.asked.remove(&run);
    }

    /// The keeper is at this start; its answer follows.
    pub fn name_pending(&mut self, run: RunId) {
        self.named.insert(run);
        self.asked.insert(run);
    }

    /// The keeper is lost: another inventory begins.
    pub fn lose(&mut self) {
        self.named.clear();
    }

    /// There is a keeper, and it was asked for its inventory: what was ordered before is
    /// in doubt.
    pub fn doubt(&mut self) {
        self.doubtful.clone_from(&self.asked);
    }

    /// The inventory is complete. `live` are the runs that lived, as far as was known.
    #[must_use]
    pub fn complete<'a>(&mut self, live: impl IntoIterator<Item = &'a RunId>) -> Missing {
        let ended = live.into_iter().filter(|run| !self.named.contains(run)).copied().collect();
        let doubtful = core::mem::take(&mut self.doubtful);
        let is_open = |run: &RunId| self.asked.contains(run) && !self.named.contains(run);
        let never_began: Vec<_> = doubtful.into_iter().filter(is_open).collect();
        for run in &never_began {
            self.asked.remove(run);
        }
        Missing { ended, never_began }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_of_a_lost_keeper_and_is_not_named_never_began() {
        let mut roll = Roll::default();
        for run in 1..=4 {
            roll.ask(RunId(run));
        }
        roll.answer(RunId(1));
        roll.lose();
        roll.doubt();
        roll.ask(RunId(5));
        roll.name(RunId(2));
        roll.name_pending(RunId(3));
        let live = [RunId(1), RunId(2)];
        let missing = roll.complete(&live);
        assert_eq!(missing, Missing { ended: [RunId(1)].into(), never_began: [RunId(4)].into() });
        assert_eq!(roll.complete([]), Missing::default());
    }

    #[test]
    fn another_inventory_begins_with_nobody_named() {
        let mut roll = Roll::default();
        roll.name(RunId(1));
        roll.lose();
        let ended = [RunId(1)].into();
        assert_eq!(roll.complete(&[RunId(1)]), Missing { ended, never_began: Vec::new() });
    }
}
