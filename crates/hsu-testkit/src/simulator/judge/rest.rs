//! What must hold when all faults are over, nobody asks for anything, and time has passed.

use hsu_core::breaker::Breaker;
use hsu_core::fleet::Glance;
use hsu_core::input::ShutdownMode;
use hsu_keeper::GoodbyeMode;
use hsu_model::status::{Desired, WorkerState};
use hsu_model::time::Tick;
use hsu_model::worker::WorkerSpec;

use super::Judge;
use crate::simulator::keeper::Keeper;
use crate::simulator::master::Master;
use crate::simulator::nature::restart_of;
use crate::simulator::os::{Os, Process, Temper, What};

impl Judge {
    /// The world is at rest.
    pub(crate) fn at_rest(&mut self, now: Tick, master: Option<&Master>, os: &Os) {
        self.l3_everybody_is_answered(master);
        match master {
            Some(master) if self.ending == Some(ShutdownMode::KeepWorkers) => {
                self.i28_told(master);
            }
            Some(master) => {
                self.l1_as_wanted(master, os);
                self.l1_attached(master, os);
                self.l2_nobody_is_silent(now);
                self.l2_nothing_is_stuck(master);
                self.l6_nobody_is_ignored(master, os);
                self.i28_told(master);
            }
            None if self.ended.is_none() => {
                self.object("L1", || "nobody serves".to_owned());
            }
            None => self.i28_ended(os),
        }
        self.l6_no_zombie(os);
    }

    /// L3: every command is answered.
    fn l3_everybody_is_answered(&mut self, master: Option<&Master>) {
        if master.is_some()
            && let Some(asked) = self.asked.first().copied()
        {
            self.object("L3", || format!("{asked:?} is never answered"));
        }
        if master.is_some_and(|master| master.is_to_be_replaced) {
            self.object("L3", || "who asked for another master is never answered".to_owned());
        }
    }

    /// L4: one master serves at most, and no upgrade is half done.
    pub(crate) fn l4_one_serves(&mut self, os: &Os, keeper: Option<&Keeper>) {
        let is_master = |process: &&Process| process.what == What::Master && process.is_alive();
        let masters = os.processes.iter().filter(is_master).count();
        if masters > 1 {
            self.object("L4", || format!("{masters} masters are there"));
        }
        if keeper.is_some_and(|keeper| keeper.masters.is_upgrading()) {
            self.object("L4", || "an upgrade never ends".to_owned());
        }
    }

    /// L1, I4: every worker is what is wanted of it, and what it says is so.
    fn l1_as_wanted(&mut self, master: &Master, os: &Os) {
        for (place, id) in self.ids.clone().iter().enumerate() {
            let live = os.live(place).map(|(run, _)| run).next();
            let Some(glance) = master.fleet.glance(id) else {
                if live.is_some() {
                    self.object("I23", || format!("{live:?} of {id} runs, and {id} is removed"));
                }
                continue;
            };
            let running = (glance.state == WorkerState::Running).then_some(glance.run).flatten();
            if running != live {
                let state = glance.state;
                self.object("I4", || format!("{id} is {state:?} {running:?}, {live:?} lives"));
            }
            let Some(spec) = self.specs[place].clone() else { continue };
            self.l1_worker(&spec, &glance, master);
        }
    }

    fn l1_worker(&mut self, spec: &WorkerSpec, glance: &Glance, master: &Master) {
        let wanted = glance.desired == Desired::Running && glance.enabled;
        let ends = self.ending.is_some();
        let may_end = self.wishes[self.index(&spec.id)].may_end;
        let reason = || master.fleet.status(&spec.id).map(|s| s.reason).unwrap_or_default();
        let is_right = match glance.state {
            WorkerState::Running => wanted && !ends,
            WorkerState::Starting | WorkerState::Stopping | WorkerState::Searching => false,
            WorkerState::Registered => !wanted || ends,
            WorkerState::Stopped => !wanted || may_end || ends,
            WorkerState::Failed => may_end || reason().contains("could not be started"),
            WorkerState::BackingOff => ends,
            WorkerState::Tripped => {
                let has_trial =
                    restart_of(spec).is_some_and(|r| r.breaker.half_open_after.is_some());
                let waits = matches!(glance.breaker, Breaker::Open { trial_at: Some(_) });
                wanted && !waits && !has_trial || ends
            }
        };
        if !is_right {
            let (id, state, reason) = (&spec.id, glance.state, reason());
            self.object("L1", || format!("{id} ends as {state:?}, wanted {wanted}: {reason}"));
        }
    }

    /// L2: nothing stays between two states.
    fn l2_nothing_is_stuck(&mut self, master: &Master) {
        for (id, glance) in master.fleet.glances() {
            let between = matches!(glance.state, WorkerState::Starting | WorkerState::Stopping);
            if between && !glance.unkillable {
                let state = glance.state;
                return self.object("L2", || format!("{id} stays {state:?}"));
            }
        }
    }

    /// L6, I23: every process that a run left is a known run's, or is gone.
    fn l6_nobody_is_ignored(&mut self, master: &Master, os: &Os) {
        for process in os.processes.iter().filter(|process| process.is_alive()) {
            let Some(run) = process.run() else { continue };
            let is_known = master.fleet.worker_of(run).is_some();
            let may_be_lost = process.what != What::Worker(run) && self.may_leave_leftovers();
            if !is_known && !may_be_lost {
                let what = process.what;
                return self.object("L6", || format!("{what:?} of {run} is nobody's"));
            }
        }
    }

    /// L6: no zombie stays.
    fn l6_no_zombie(&mut self, os: &Os) {
        if let Some(zombie) = os.processes.iter().find(|process| !process.is_alive()) {
            let what = zombie.what;
            self.object("L6", || format!("{what:?} is a zombie for ever"));
        }
    }

    /// A kill that was lost with a master is repeated for the latest run that it accounted.
    fn may_leave_leftovers(&self) -> bool {
        self.masters_lost > 0 || self.is_lost
    }

    /// I28: an end that was asked for comes, and is told.
    fn i28_told(&mut self, master: &Master) {
        let is_told = self.all_stopped || master.ending.is_some();
        if self.ending.is_some() && !is_told {
            self.object("I28", || "the end is never told".to_owned());
        }
    }

    /// I28: nor is an end that stops the workers told while one lives that a kill would end.
    pub(crate) fn i28_nobody_lives(&mut self, os: &Os, mode: GoodbyeMode) {
        let lives = |process: &&Process| {
            let runs = matches!(process.what, What::Worker(_)) && process.birth.is_none();
            runs && process.is_alive() && process.temper != Temper::Stuck
        };
        if mode == GoodbyeMode::Stop
            && let Some(left) = os.processes.iter().find(lives)
        {
            let what = left.what;
            self.object("I28", || format!("{what:?} lives when the end is told"));
        }
    }

    /// I28: after an end that stops the workers none lives.
    fn i28_ended(&mut self, os: &Os) {
        if self.ended != Some(GoodbyeMode::Stop) {
            return;
        }
        let mut workers = os.processes.iter().filter(|process| process.is_alive());
        if let Some(left) = workers.find(|process| matches!(process.what, What::Worker(_))) {
            let what = left.what;
            self.object("I28", || format!("{what:?} lives after all were stopped"));
        }
    }
}
