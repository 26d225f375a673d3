//! What is known of a master that has given way, until it ends or goes on.

use std::sync::Arc;
use std::time::Duration;

use hsu_core::fleet::Fleet;
use hsu_core::record::Resume;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::time::Tick;
use hsu_model::worker::WorkerSpec;

use super::health::Chart;
use super::limits::Account;
use super::{Asked, Judge};
use crate::simulator::disk::stone;

/// What holds for one master only.
#[derive(Debug)]
pub(crate) struct Shelf {
    specs: Vec<Option<Arc<WorkerSpec>>>,
    forced: Vec<bool>,
    /// Of each run whether it is over, and when it was asked to end.
    fates: Vec<(bool, Option<Tick>)>,
    asked: Vec<Asked>,
    starts: Vec<Tick>,
    given_up: u64,
    charts: Vec<Chart>,
    accounts: Vec<(RunId, Account)>,
}

/// How long a master rests at least that has ended by itself.
const REST: Duration = Duration::from_millis(100);

impl Judge {
    /// The keeper has seen the end of a master; when, if that has ended by itself.
    pub(crate) fn on_master_missed(&mut self, failed: Option<Tick>) {
        self.master_failed = failed;
    }

    /// I7: a master that has ended by itself is not started again at once.
    pub(crate) fn i7_masters_rest(&mut self, now: Tick) {
        if self.master_failed.take().is_some_and(|failed| now.since(failed) < REST) {
            self.object("I7", || "a master that ended by itself begins at once".to_owned());
        }
    }

    /// The master that serves has let go of the state.
    pub(crate) fn on_yielded(&mut self) -> Shelf {
        if self.ending.is_some() {
            self.object("I28", || "who was told to end gives way, and nobody ends".to_owned());
        }
        Shelf {
            specs: self.specs.clone(),
            forced: self.wishes.iter().map(|wish| wish.is_forced).collect(),
            fates: self.fates.iter().map(|fate| (fate.is_over, fate.asked_to_end)).collect(),
            asked: std::mem::take(&mut self.asked),
            starts: std::mem::take(&mut self.starts),
            given_up: self.given_up,
            charts: self.charts.clone(),
            accounts: std::mem::take(&mut self.accounts),
        }
    }

    /// It has the state again, as it left it.
    pub(crate) fn on_regained(&mut self, shelf: Shelf, fleet: &Fleet, last_event: u64) {
        self.specs = shelf.specs;
        let mut fates = shelf.fates.into_iter();
        for fate in &mut self.fates {
            (fate.is_over, fate.asked_to_end) = fates.next().unwrap_or_default();
        }
        // Everything that was asked of it was durable when it gave way.
        self.asked = shelf.asked;
        self.asked.iter_mut().for_each(|asked| asked.number = 0);
        for (wish, forced) in self.wishes.iter_mut().zip(shelf.forced) {
            wish.number = 0;
            wish.is_forced = forced;
        }
        (self.starts, self.given_up) = (shelf.starts, shelf.given_up);
        (self.charts, self.accounts) = (shelf.charts, shelf.accounts);
        (self.ending, self.ended, self.all_stopped) = (None, None, false);
        self.i27_numbers_after_boot(last_event);
        let ids = self.ids.clone();
        let record = |id: &WorkerId| fleet.export(id).unwrap_or_else(stone);
        let records: Vec<_> = ids.into_iter().map(|id| (id.clone(), record(&id))).collect();
        self.i14_restored(&records, Resume::Continue);
        self.glance(fleet);
    }
}
