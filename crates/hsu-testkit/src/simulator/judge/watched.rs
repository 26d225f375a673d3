//! I17 and I18 of workers that somebody else starts: whom looks and limits may be about, what
//! follows from them, and what may be asked of a manager then.
//!
//! Of several processes the oldest one is looked at; what each uses is measured.

use std::sync::Arc;

use hsu_core::effect::ServiceVerb;
use hsu_core::fleet::{Fleet, Grip, Sight};
use hsu_core::input::Input;
use hsu_model::discovery::Manager;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::Limits;
use hsu_model::time::Tick;
use hsu_model::worker::Unit;

use super::Judge;
use super::limits::Account;

/// The runs whose process is held and shall not end, oldest first.
fn present(sight: &Sight) -> impl Iterator<Item = RunId> + '_ {
    sight.runs.iter().filter(|(.., grip)| *grip == Grip::Held).map(|(run, ..)| *run)
}

impl Judge {
    /// The place of the worker whose process this is, as the fleet knew it before the step.
    pub(super) fn was_present(&self, run: RunId) -> Option<usize> {
        let has = |(_, sight): &&(usize, Sight)| present(sight).any(|of| of == run);
        self.sights.iter().find(has).map(|(place, _)| *place)
    }

    /// The same, when it is the one that is looked at.
    pub(super) fn was_looked_at(&self, run: RunId) -> Option<usize> {
        let is_subject = |(_, sight): &&(usize, Sight)| present(sight).next() == Some(run);
        self.sights.iter().find(is_subject).map(|(place, _)| *place)
    }

    /// Nothing is remembered of the process that was looked at before.
    pub(super) fn begin_charts_of_others(&mut self, now: Tick, input: &Input, fleet: &Fleet) {
        self.keep_accounts_of_others(input, fleet);
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
    pub(super) fn i18_measure_of_others(
        &mut self,
        run: RunId,
        limits: &Arc<Limits>,
        fleet: &Fleet,
    ) -> bool {
        let Some(place) = self.watched_account(run) else { return false };
        let sights = fleet.watched().filter_map(|id| fleet.sight(id));
        if !sights.into_iter().any(|sight| present(&sight).any(|of| of == run)) {
            self.object("I18", || format!("{run} is measured, which is not held"));
        }
        let account = &mut self.accounts[place].1;
        account.limits = Some(Arc::clone(limits));
        if std::mem::replace(&mut account.is_measured, true) {
            self.object("I18", || format!("two looks at what {run} uses"));
        }
        true
    }

    /// What a process uses is known; the place of its worker, when it is one of somebody
    /// else that is held.
    pub(super) fn is_use_of_others(&mut self, run: RunId) -> Option<usize> {
        if let Some(place) = self.watched_account(run) {
            self.accounts[place].1.is_measured = false;
        }
        self.was_present(run)
    }

    /// Each process that is held has an account of what it uses, from when it is held until
    /// it is let go, ends, or shall end.
    fn keep_accounts_of_others(&mut self, input: &Input, fleet: &Fleet) {
        let sights: Vec<_> = fleet.watched().filter_map(|id| fleet.sight(id)).collect();
        let is_held = |run: RunId| sights.iter().any(|sight| present(sight).any(|of| of == run));
        self.accounts.retain(|(run, _)| is_held(*run));
        if let Input::Attached { run, started } = input
            && is_held(*run)
            && self.watched_account(*run).is_none()
        {
            self.accounts.push((*run, Account::begin(started.0)));
        }
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
