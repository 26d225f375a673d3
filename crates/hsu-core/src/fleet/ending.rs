//! The end of the master: what becomes of the workers, how long it waits for them, and that
//! it is told once.

use alloc::format;
use alloc::vec::Vec;

use hsu_model::event::{Actor, EventKind};
use hsu_model::time::{Now, Tick};

use super::Fleet;
use crate::attachment::Watched;
use crate::effect::Effect;
use crate::input::ShutdownMode;
use crate::worker::Worker;

/// The master is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) mode: ShutdownMode,
    pub(super) haste: Haste,
    pub(super) told: bool,
}

/// How long the stop of everything waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// As long as each worker may, but not beyond this time.
    Until(Tick),
    /// Whatever still runs is killed.
    Now,
}

impl Fleet {
    pub(super) fn shut_down(
        &mut self,
        now: Now,
        entropy: u64,
        mode: ShutdownMode,
        actor: &Actor,
        out: &mut Vec<Effect>,
    ) {
        let haste = Haste::Until(now.tick.after(self.settings.force_shutdown_timeout));
        self.ending = Some(Ending { mode, haste, told: false });
        for id in self.ids() {
            self.with(now, entropy, &id, actor.clone(), out, Worker::on_shutdown);
        }
        for id in self.watched.keys().cloned().collect::<Vec<_>>() {
            self.with_watched(now, entropy, &id, actor.clone(), out, Watched::on_shutdown);
        }
    }

    /// The time that the stop of everything may take is over.
    pub(super) fn tell_force(&self, out: &mut Vec<Effect>) {
        let stops = self.phase().stops_workers();
        let (late, patience) = (self.runs.len(), self.settings.force_shutdown_timeout);
        if !stops || late == 0 {
            return;
        }
        let seconds = patience.as_secs_f64();
        let reason =
            format!("workers that had not ended after {seconds} s and are killed now: {late}");
        let kind = EventKind::MasterStopping { reason };
        out.push(Effect::Event { worker: None, actor: Actor::Master, kind });
    }

    pub(super) fn force(&mut self, now: Now, entropy: u64, out: &mut Vec<Effect>) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        ending.haste = Haste::Now;
        if ending.mode == ShutdownMode::KeepWorkers {
            return;
        }
        for id in self.ids() {
            self.with(now, entropy, &id, Actor::Master, out, Worker::kill_now);
        }
    }

    /// Says once that nothing is left to wait for.
    pub(super) fn finish_ending(&mut self, out: &mut Vec<Effect>) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        let over = match ending.mode {
            ShutdownMode::KeepWorkers => true,
            // What cannot be killed is named in its status, and not waited for.
            ShutdownMode::StopWorkers => {
                let workers = &self.workers;
                self.settled
                    && self
                        .runs
                        .values()
                        .all(|id| workers.get(id).is_some_and(Worker::is_unkillable))
            }
        };
        if over && !ending.told {
            ending.told = true;
            out.push(Effect::AllStopped);
        }
    }
}
