//! The invariants, each a named check: I1 to I28 of the reliability promises, as far as one
//! moment of a fleet can show them.

use alloc::collections::BTreeSet;

use hsu_model::status::WorkerState;

use super::Fleet;
use crate::breaker::Breaker;
use crate::worker::State;

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl Fleet {
    /// Checks every invariant of this moment.
    ///
    /// Costs O(n log n); meant for tests and the simulator.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        let mut runs = 0;
        for (id, worker) in &self.workers {
            if let Some(run) = worker.run() {
                runs += 1;
                // So no other worker has it: the index names one.
                demand(self.runs.get(&run) == Some(id), "I1: the index knows every run")?;
                demand(run.0 < self.next_run, "I27: run numbers only rise")?;
                let open = worker.accounted.is_none_or(|accounted| accounted < run);
                let clearing =
                    matches!(worker.state, State::Clearing { .. } | State::Unsettled { .. });
                demand(open || clearing, "I3: an accounted run is over")?;
            }
            let visible = worker.visible();
            let has_process = worker.process().is_some();
            let must = matches!(worker.state, State::Running(_) | State::Stopping(_));
            demand(must == has_process, "I4: a running worker has a process, no other has")?;
            let tripped = visible == WorkerState::Tripped;
            let open = matches!(worker.breaker, Breaker::Open { .. });
            demand(!tripped || open, "I8: a tripped worker has an open breaker")?;
            demand(!open || worker.run().is_none(), "I8: an open breaker starts nothing")?;
            let tries = worker.run().is_some()
                || matches!(worker.state, State::Registered | State::BackingOff { .. });
            let half_open = worker.breaker == Breaker::HalfOpen;
            demand(!half_open || tries, "I8: a half-open breaker has a trial")?;
            let waits = worker.run().is_some() || !self.settled;
            demand(worker.pending.is_none() || waits, "L3: a command waits for something")?;
            let alone = worker.pending.is_none();
            demand(worker.disabling.is_empty() || !alone, "L3: who disabled waits with another")?;
            demand(worker.history.len() <= crate::worker::HISTORY, "I20: the history is bounded")?;
            demand(worker.monitor.is_sound(), "I17: one question of a check at a time")?;
            let due = worker.deadline();
            let filed = due.is_none_or(|due| self.deadlines.contains(&(due, id.clone())));
            demand(filed, "L1: every rest has an armed deadline")?;
            demand(visible != WorkerState::BackingOff || due.is_some(), "L1: a rest ends")?;
        }
        demand(self.runs.len() == runs, "I23: no run without a worker")?;
        let armed = self.workers.values().filter(|worker| worker.deadline().is_some()).count();
        let armed = armed + self.check_watched()?;
        demand(self.deadlines.len() == armed, "I6: every deadline belongs to a present state")
    }
}

impl Fleet {
    /// The same of those that somebody else starts; how many of them wait for a time.
    fn check_watched(&self) -> Result<usize, Broken> {
        let (mut runs, mut processes, mut armed) = (0, BTreeSet::new(), 0);
        for (id, watched) in &self.watched {
            for (run, process) in watched.runs() {
                runs += 1;
                let known = self.watched_runs.get(&run) == Some(id);
                demand(known && !self.runs.contains_key(&run), "I1: the index knows every run")?;
                demand(run.0 < self.next_run, "I27: run numbers only rise")?;
                demand(processes.insert(process), "I2: two workers never have one process")?;
            }
            demand(watched.is_sound(), "I17: one question of a check at a time")?;
            if let Some(due) = watched.deadline() {
                armed += 1;
                let filed = self.deadlines.contains(&(due, id.clone()));
                demand(filed, "L1: every end that is waited for has a deadline")?;
            }
        }
        demand(self.watched_runs.len() == runs, "I23: no run without a worker")?;
        Ok(armed)
    }
}

fn demand(holds: bool, invariant: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(invariant)) }
}

#[cfg(test)]
mod tests;
