//! I17 and I18 of workers that somebody else starts: whom looks and limits may be about, what
//! follows from them, and what may be asked of a manager then.
//!
//! Of several processes the oldest one is looked at; what each uses is measured.

use hsu_core::effect::ServiceVerb;
use hsu_core::fleet::{Fleet, Sight};
use hsu_core::input::Input;
use hsu_model::discovery::Manager;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;
use hsu_model::worker::Unit;

use super::Judge;

/// The runs whose process is held and shall not end, oldest first.
fn present(sight: &Sight) -> impl Iterator<Item = RunId> + '_ {
    let runs = sight.state == WorkerState::Running;
    sight.runs.iter().filter(move |(.., held)| *held && runs).map(|(run, ..)| *run)
}

impl Judge {
    /// The place of the worker whose process this is, as the fleet knew it before the step.
    fn was_present(&self, run: RunId) -> Option<usize> {
        let has = |(_, sight): &&(usize, Sight)| present(sight).any(|of| of == run);
        self.sights.iter().find(has).map(|(place, _)| *place)
    }

    /// The same, when it is the one that is looked at.
    pub(super) fn was_looked_at(&self, run: RunId) -> Option<usize> {
        let is_subject = |(_, sight): &&(usize, Sight)| present(sight).next() == Some(run);
        self.sights.iter().find(is_subject).map(|(place, _)| *place)
    }

    /// Nothing is remembered of the process that was looked at before.
    pub(super) fn begin_charts_of_others(&mut self, now: Tick, fleet: &Fleet) {
        for id in fleet.watched() {
            let subject = fleet.sight(id).and_then(|sight| present(&sight).next());
            let place = self.index(id);
            if subject.is_some()
                && self.charts[place].run != subject
                && let Some(spec) = self.specs[place].clone()
            {
                self.charts[place] = super::health::Chart::begin(subject, now, &spec.health);
            }
        }
    }

    /// One look at what a process uses is under way at a time; whether it is such a process.
    pub(super) fn i18_measure_of_others(&mut self, run: RunId, fleet: &Fleet) -> bool {
        let sights = fleet.watched().filter_map(|id| fleet.sight(id));
        if !sights.into_iter().any(|sight| present(&sight).any(|of| of == run)) {
            return false;
        }
        if self.measured.contains(&run) {
            self.object("I18", || format!("two looks at what {run} uses"));
        }
        self.measured.push(run);
        true
    }

    /// What a process uses is known; whether it is one of somebody else that is held.
    pub(super) fn is_use_of_others(&mut self, run: RunId) -> bool {
        self.measured.retain(|of| *of != run);
        self.was_present(run).is_some()
    }

    /// I2: a manager is asked only for what is allowed.
    pub(super) fn i2_service(&mut self, input: &Input, worker: &WorkerId, verb: ServiceVerb) {
        let Some(spec) = self.specs[self.index(worker)].clone() else { return };
        let Unit::Unmanaged(unit) = &spec.unit else { return };
        let may = match verb {
            ServiceVerb::Stop => unit.rights.can_terminate,
            ServiceVerb::Start | ServiceVerb::Restart => unit.rights.can_restart,
        };
        if !may || unit.rights.manager == Manager::Unknown {
            self.object("I2", || format!("{verb:?} of {worker} is not allowed, after {input:?}"));
        }
    }
}
