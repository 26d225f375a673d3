//! I18: what exceeded limits bring about: each step of a ladder once in a violation, not
//! before its time, and one end of a run.

use std::sync::Arc;
use std::time::Duration;

use hsu_core::effect::Effect;
use hsu_core::fleet::Fleet;
use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::limits::{Action, LimitKind, Limits, Rule};
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;
use hsu_model::usage::Usage;

use super::Judge;
use crate::simulator::nature::restart_of;

/// A worker that was slowed down stays so for at least this long.
const SLOWED_FOR: Duration = Duration::from_secs(30);

/// One limit of one run, from when it is exceeded until it is kept again.
#[derive(Clone, Copy, Debug, Default)]
struct Violation {
    since: Option<Tick>,
    is_told: bool,
    taken: usize,
    /// It has ended with this look, after it was told.
    is_eased: bool,
    slowed: Option<Tick>,
}

/// What one run has used.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    limits: Option<Arc<Limits>>,
    is_measured: bool,
    violations: Vec<Violation>,
    kills: u64,
    /// An action that ends the run was taken.
    pub(super) has_ended: bool,
}

impl Violation {
    /// The steps that are due after a look at this amount.
    fn steps(
        &mut self,
        rule: &Rule,
        (most, calm): (u64, u64),
        now: Tick,
        grace: Tick,
        amount: u64,
    ) -> Vec<Action> {
        let is_slow = self.slowed.is_some_and(|at| now.since(at) < SLOWED_FOR);
        self.is_eased = false;
        match self.since {
            None if amount > most => self.since = Some(now),
            None => return Vec::new(),
            Some(_) if amount <= calm => {
                if !is_slow {
                    *self = Self { is_eased: self.is_told, ..Self::default() };
                }
                return Vec::new();
            }
            Some(_) => {}
        }
        let lasted = self.since.map_or(Duration::ZERO, |since| now.since(since));
        self.is_told |= lasted >= rule.spike_tolerance;
        let mut due = Vec::new();
        while self.is_told
            && let Some(step) = rule.ladder.get(self.taken)
            && lasted >= step.after
            && !(step.action.restarts() && now < grace)
        {
            self.taken += 1;
            if step.action == Action::Throttle {
                self.slowed = Some(now);
            }
            due.push(step.action);
        }
        due
    }
}

/// The actions that were taken for a limit.
fn taken(effects: &[Effect], of: LimitKind) -> impl Iterator<Item = &str> {
    effects.iter().filter_map(move |effect| match effect {
        Effect::Event { kind: EventKind::LimitAction { limit, action, .. }, .. } => {
            (limit == of.as_str()).then_some(action.as_str())
        }
        _ => None,
    })
}

/// Whether the end of a violation is told.
fn eased(effects: &[Effect], of: LimitKind) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::Event { kind: EventKind::LimitEased { limit, .. }, .. } => limit == of.as_str(),
        _ => false,
    })
}

impl Judge {
    /// One look is under way at a time.
    pub(super) fn i18_measure(&mut self, run: RunId, limits: &Arc<Limits>, fleet: &Fleet) {
        if self.i18_measure_of_others(run, fleet) {
            return;
        }
        let Some(chart) = self.charts.iter_mut().find(|chart| chart.run == Some(run)) else {
            return self.object("I18", || format!("{run} is measured, which does not run"));
        };
        chart.account.limits = Some(Arc::clone(limits));
        if std::mem::replace(&mut chart.account.is_measured, true) {
            self.object("I18", || format!("two looks at what {run} uses"));
        }
    }

    pub(super) fn i18_used(
        &mut self,
        now: Tick,
        run: RunId,
        usage: Option<&Usage>,
        effects: &[Effect],
    ) {
        if self.is_use_of_others(run) {
            return;
        }
        let Some(worker) = self.running(run) else {
            if !effects.is_empty() {
                self.object("I18", || format!("{run} does not run, and is judged: {effects:?}"));
            }
            return;
        };
        let Some(spec) = self.specs[worker].clone() else { return };
        let grace = restart_of(&spec).map_or(Duration::ZERO, |restart| restart.startup_grace);
        let grace = self.charts[worker].started.after(grace);
        let account = &mut self.charts[worker].account;
        account.is_measured = false;
        let (Some(usage), Some(limits)) = (usage, account.limits.clone()) else { return };
        // How high a limit is may have been raised; all else is as it is declared.
        let Some(declared) = spec.limits() else { return };
        if self.ending.is_some() {
            // Nothing follows at the end.
            account.violations.clear();
            account.has_ended = true;
            return;
        }
        account.violations.resize(limits.rules.len(), Violation::default());
        let mut ends = account.has_ended;
        let mut wrong = None;
        let is_killed = usage.oom_kills > account.kills;
        account.kills = account.kills.max(usage.oom_kills);
        for (place, (rule, present)) in declared.rules.iter().zip(&limits.rules).enumerate() {
            let Some(amount) = usage.readings.get(place).and_then(|reading| reading.value) else {
                continue;
            };
            let most = present.critical;
            let calm = most - most * u64::from(declared.hysteresis) / 100;
            let mut due = account.violations[place].steps(rule, (most, calm), now, grace, amount);
            due.retain(|action| !action.ends_the_run() || !std::mem::replace(&mut ends, true));
            let mut told: Vec<_> = taken(effects, rule.kind).collect();
            if is_killed && rule.kind == LimitKind::Resident {
                // The end that follows from a kill is told last.
                told.truncate(due.len());
            }
            let is_eased = account.violations[place].is_eased;
            if eased(effects, rule.kind) != is_eased {
                wrong = Some(format!("{run} at {amount}: the violation is over: {is_eased}"));
            }
            let due: Vec<_> = due.into_iter().map(Action::as_str).collect();
            if told != due {
                wrong = Some(format!("{run} at {amount}: due is {due:?}, done is {told:?}"));
            }
        }
        if let Some(what) = wrong {
            self.object("I18", || what);
        }
        self.i18_one_end(worker, run, effects);
        let after = self.after[worker].map(|after| after.state);
        let (ended, stops) =
            (self.charts[worker].account.has_ended, after != Some(WorkerState::Running));
        if ended != stops {
            self.object("I18", || format!("{run} must end: {ended}, and is {after:?}"));
        }
    }

    /// A kill by the kernel is told once, and brings about what ends the run.
    pub(super) fn i18_held_back(&mut self, run: RunId, kills: u64, effects: &[Effect]) {
        let known = self.running(run).map(|worker| (worker, self.charts[worker].account.kills));
        let Some((worker, before)) = known else {
            if !effects.is_empty() {
                self.object("I18", || format!("{run} does not run, and was killed: {effects:?}"));
            }
            return;
        };
        if kills <= before && !effects.is_empty() {
            self.object("I18", || format!("{kills} kills of {run} are told twice: {effects:?}"));
        }
        self.charts[worker].account.kills = kills.max(before);
        self.i18_one_end(worker, run, effects);
    }

    /// What ends a run is done once.
    fn i18_one_end(&mut self, worker: usize, run: RunId, effects: &[Effect]) {
        let ends = effects.iter().filter(|effect| ends_a_run(effect)).count();
        let ended = &mut self.charts[worker].account.has_ended;
        let before = *ended;
        *ended |= ends > 0;
        if ends + usize::from(before) > 1 {
            self.object("I18", || format!("{run} is ended {ends} times, ended before: {before}"));
        }
    }
}

/// Whether an effect tells of an action that ends a run.
pub(super) fn ends_a_run(effect: &Effect) -> bool {
    let ends =
        [Action::GracefulShutdown, Action::ImmediateKill, Action::Restart, Action::RestartAdjusted];
    match effect {
        Effect::Event { kind: EventKind::LimitAction { action, .. }, .. } => {
            ends.iter().any(|end| end.as_str() == action)
        }
        _ => false,
    }
}
