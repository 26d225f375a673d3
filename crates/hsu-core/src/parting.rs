//! Parting: whether the end of a process is the end of its run.
//!
//! A worker that goes on as another process says so before the one that was started ends.
//! But its words and that end come by different ways, and the end may come first. So the
//! end of a worker that may have said so waits until everything that was said before it
//! has been heard, and then until the keeper has answered whoever was named. It waits
//! for no more than a moment: whoever cannot be heard says nothing. What naming a
//! process comes to is decided in `worker::succession`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::exit::Exit;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_model::time::{Tick, WallTime};

/// How long words that were said may take to be heard.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// The end of a process, as the keeper told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Of this worker.
    pub worker: WorkerId,
    /// Of this run.
    pub run: RunId,
    /// Of this process.
    pub process: ProcessKey,
    /// How.
    pub exit: Exit,
    /// When.
    pub at: Tick,
    /// When, for people.
    pub wall: WallTime,
}

/// Whether words of a worker may be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// None can name a process.
    None,
    /// There may be some, and [`Parting::heard_out`] follows.
    MayCome,
}

/// The runs whose end is not settled.
#[derive(Debug, Default)]
pub struct Parting {
    open: BTreeMap<RunId, Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// The process that the keeper is asked to hold.
    named: Option<ProcessKey>,
    /// The end of the one before it.
    end: Option<End>,
    /// Until when words are listened for.
    listens_until: Option<Tick>,
}

impl Open {
    fn is_settled(&self) -> bool {
        self.named.is_none() && self.listens_until.is_none()
    }
}

impl Parting {
    /// Whether no end waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.values().all(|open| open.end.is_none())
    }

    /// The keeper is asked to hold a process that was named. The last one counts.
    pub fn name(&mut self, run: RunId, process: ProcessKey) {
        self.open.entry(run).or_default().named = Some(process);
    }

    /// A process has ended. Given back at once when it is the end of its run for certain.
    #[must_use]
    pub fn end(&mut self, end: End, words: Words, now: Tick) -> Option<End> {
        let run = end.run;
        let open = self.open.entry(run).or_default();
        if open.named == Some(end.process) {
            // It was held, and the answer was lost.
            open.named = None;
        }
        if words == Words::MayCome {
            let due = now.after(HEARD_WITHIN);
            open.listens_until = Some(open.listens_until.unwrap_or(due));
        }
        open.end = Some(end);
        self.settle(run)
    }

    /// Everything that a worker had said when it was asked for has been heard.
    #[must_use]
    pub fn heard_out(&mut self, worker: &WorkerId) -> Vec<End> {
        let is_of = |open: &Open| open.end.as_ref().is_some_and(|end| end.worker == *worker);
        self.stop_listening(is_of)
    }

    /// The keeper holds the process that was named: whatever ended was not the run.
    pub fn followed(&mut self, run: RunId, process: ProcessKey) {
        let Some(open) = self.open.get_mut(&run) else { return };
        if open.named == Some(process) {
            open.named = None;
        }
        open.end = open.end.take().filter(|end| end.process == process);
        if open.end.is_none() {
            open.listens_until = None;
        }
        self.open.retain(|_, open| open.named.is_some() || open.end.is_some());
    }

    /// The keeper cannot hold it. The end that has waited for that.
    #[must_use]
    pub fn refused(&mut self, run: RunId, process: ProcessKey) -> Option<End> {
        let open = self.open.get_mut(&run)?;
        if open.named == Some(process) {
            open.named = None;
        }
        self.settle(run)
    }

    /// When an end has waited for long enough.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        self.open.values().filter_map(|open| open.listens_until).min()
    }

    /// The ends that have waited for long enough.
    #[must_use]
    pub fn due(&mut self, now: Tick) -> Vec<End> {
        self.stop_listening(|open| open.listens_until.is_some_and(|due| due <= now))
    }

    /// The end of a run that is not settled.
    #[must_use]
    pub fn ended(&self, run: RunId) -> Option<&End> {
        self.open.get(&run)?.end.as_ref()
    }

    /// The workers whose ends wait for words.
    pub fn listens(&self) -> impl Iterator<Item = &WorkerId> + '_ {
        let waits = self.open.values().filter(|open| open.listens_until.is_some());
        waits.filter_map(|open| open.end.as_ref().map(|end| &end.worker))
    }

    fn stop_listening(&mut self, which: impl Fn(&Open) -> bool) -> Vec<End> {
        let runs: Vec<RunId> =
            self.open.iter().filter(|(_, open)| which(open)).map(|(run, _)| *run).collect();
        for run in &runs {
            if let Some(open) = self.open.get_mut(run) {
                open.listens_until = None;
            }
        }
        runs.into_iter().filter_map(|run| self.settle(run)).collect()
    }

    fn settle(&mut self, run: RunId) -> Option<End> {
        if !self.open.get(&run)?.is_settled() {
            return None;
        }
        self.open.remove(&run)?.end
    }
}

#[cfg(test)]
mod tests;
