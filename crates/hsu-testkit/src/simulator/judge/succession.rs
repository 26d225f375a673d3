//! I2 and L6 of workers that go on as another process: whom the keeper is asked to hold, which
//! process counts then, and what becomes of one whose run is over.

use std::time::Duration;

use hsu_core::effect::Effect;
use hsu_core::input::Input;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::notify::Said;
use hsu_model::status::WorkerState;
use hsu_model::worker::Unit;

use super::Judge;

/// How long a word may take to be heard.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

impl Judge {
    /// The keeper is asked to hold a process that a run has named.
    pub(crate) fn on_named(&mut self, run: RunId) {
        self.fate(run).is_followed = true;
    }

    /// The end of a process is taken for the end of its run, while the word is on its way by
    /// which the run goes on: nobody does so before that word had time to be heard.
    pub(crate) fn i2_heard_out(&mut self, worker: &WorkerId, run: RunId, waited: Duration) {
        let place = self.index(worker);
        let runs = self.after[place].is_some_and(|after| {
            let lives = matches!(after.state, WorkerState::Running | WorkerState::Starting);
            lives && after.run == Some(run)
        });
        let is_heard = self.specs[place].as_deref().is_some_and(|spec| match &spec.unit {
            Unit::Managed(managed) => managed.notify.is_on(),
            _ => false,
        });
        if runs && is_heard && waited < HEARD_WITHIN {
            self.object("I2", || format!("{run} of {worker} ends, and has named who goes on"));
        }
    }

    /// Only a process that is shown to be of the worker is followed, and only by a run that
    /// goes on; it counts when it is held, and not before.
    pub(super) fn i2_successors(&mut self, input: &Input, effects: &[Effect]) {
        for effect in effects {
            let Effect::Follow { worker, run, process } = effect else { continue };
            let is_shown = match input {
                Input::Told { run: of, said: Said::MainProcess(named) } => {
                    of == run && named.process == Some(*process) && named.bond.is_some()
                }
                _ => false,
            };
            let goes_on = self.before[self.index(worker)].is_some_and(|before| {
                let runs = before.state == WorkerState::Running || before.unsettled;
                runs && before.run == Some(*run) && before.accounted.is_none_or(|of| *run > of)
            });
            if !is_shown || !goes_on {
                self.object("I2", || format!("{run} of {worker} shall go on as {process:?}"));
            }
        }
        let Input::Followed { worker, run, process, error } = input else { return };
        let place = self.index(worker);
        let (Some(before), Some(after)) = (self.before[place], self.after[place]) else { return };
        let is_open = before.run == Some(*run)
            && before.accounted.is_none_or(|of| *run > of)
            && (before.process.is_some() || before.unsettled);
        let kills =
            |effect: &Effect| matches!(effect, Effect::KillTree { run: of, .. } if of == run);
        let is_right = match error {
            Some(_) => after.process == before.process,
            None if is_open => after.process == Some(*process),
            // Nobody else would ever end what goes on of it.
            None => effects.len() == 1 && effects.iter().all(kills),
        };
        if !is_right {
            self.object("I2", || format!("{run} of {worker}: {input:?}, is {after:?}"));
        }
    }
}
