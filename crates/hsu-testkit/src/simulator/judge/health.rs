//! I17: what looks at a worker and its own words may bring about, and what not.
//!
//! Beside the fleet a chart is kept of each run: failures and successes of each check as they
//! were told, and until when it must be heard. A verdict and a stop must follow exactly from
//! those. Checks that follow from others, or come after others, have their own tests in
//! `hsu-core`.

use hsu_core::effect::Effect;
use hsu_core::fleet::Fleet;
use hsu_core::input::Input;
use hsu_model::event::EventKind;
use hsu_model::health::{Check, Duty, Finding, Health, Source, Verdict};
use hsu_model::id::RunId;
use hsu_model::notify::{Notify, Said};
use hsu_model::restart::RestartPolicy;
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;
use hsu_model::worker::Unit;
use std::time::Duration;

use super::Judge;
use super::limits::Account;
use super::looks::Count;
use crate::simulator::nature::restart_of;

/// What was told of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    pub(super) run: Option<RunId>,
    /// Whether we have started it.
    pub(super) is_ours: bool,
    pub(super) started: Tick,
    counts: Vec<Count>,
    latest: u64,
    is_up: bool,
    ready_by: Option<Tick>,
    alive_by: Option<(Duration, Tick)>,
    pub(super) account: Account,
}

impl Chart {
    /// Nothing was told of this run yet.
    pub(super) fn begin(run: Option<RunId>, started: Tick, health: &Health) -> Self {
        let checks = &health.checks;
        Self {
            run,
            started,
            counts: vec![Count::default(); checks.len()],
            is_up: !checks.iter().any(|check| check.serves(Duty::Startup)),
            ..Self::default()
        }
    }

    /// Until when it must be heard.
    pub(super) fn heard_by(&self) -> Option<Tick> {
        let alive = self.alive_by.map(|(_, due)| due);
        self.ready_by.into_iter().chain(alive).min()
    }
}

/// Whether a verdict follows from the looks at this check alone.
fn is_plain(check: &Check) -> bool {
    check.after.is_empty() && matches!(check.source, Source::Probed { .. })
}

impl Judge {
    /// I17, I18 and the charts that they need.
    pub(super) fn follow_outside(
        &mut self,
        now: Tick,
        input: &Input,
        effects: &[Effect],
        fleet: &Fleet,
    ) {
        if !self.has_outside {
            return;
        }
        match input {
            Input::Checked { run, check, sequence, finding, .. } => {
                let answer = (*run, *check, *sequence);
                self.i17_checked(now, answer, finding, effects);
            }
            Input::Told { run, said } => self.i17_told(now, *run, said, effects),
            Input::Wake => self.i17_silence(now),
            Input::Used { run, usage } => {
                self.i18_used(now, *run, usage.as_ref(), effects);
            }
            Input::HeldBack { run, toll } => self.i18_held_back(now, *run, *toll, effects),
            _ => {}
        }
        self.begin_charts(now, input, fleet);
        self.begin_charts_of_others(now, input, fleet);
        for effect in effects {
            match effect {
                Effect::Check { run, check, sequence, .. } => {
                    self.i17_question(now, *run, *check, *sequence);
                }
                Effect::Measure { run, limits, .. } => self.i18_measure(*run, limits, fleet),
                Effect::Service { worker, verb } => self.i2_service(input, worker, *verb),
                _ => {}
            }
        }
    }

    /// Whether this run runs, as far as the fleet knew before the step; its place.
    pub(super) fn running(&self, run: RunId) -> Option<usize> {
        let place = self.charts.iter().position(|chart| chart.run == Some(run))?;
        let before = self.before[place]?;
        let runs = before.state == WorkerState::Running && before.run == Some(run);
        (runs && !before.unsettled).then_some(place)
    }

    fn begin_charts(&mut self, now: Tick, input: &Input, fleet: &Fleet) {
        let started = match input {
            Input::Spawned { .. } => now,
            Input::Adopted { started, .. } => started.0,
            Input::Followed { worker, .. } => {
                fleet.started_at(worker).map_or(now, |(tick, _)| tick)
            }
            _ => return,
        };
        for place in 0..self.ids.len() {
            let Some(after) = self.after[place] else { continue };
            let was = self.before[place];
            let ran = was.is_some_and(|was| {
                was.state == WorkerState::Running && was.run == after.run && !was.unsettled
            });
            if after.state != WorkerState::Running || after.unsettled || ran {
                continue;
            }
            let Some(spec) = self.specs[place].clone() else { continue };
            let quiet = Notify::default();
            let notify = match &spec.unit {
                Unit::Managed(managed) if managed.notify.is_on() => &managed.notify,
                _ => &quiet,
            };
            // It says once that it is ready, and the record of it outlives the master.
            let record = || fleet.export(&spec.id).and_then(|record| record.ready_run);
            let waits = notify.ready && !notify.startup_timeout.is_zero() && record() != after.run;
            let watchdog = notify.watchdog;
            self.charts[place] = Chart {
                is_ours: true,
                account: Account::begin(started),
                ready_by: waits.then(|| now.after(notify.startup_timeout)),
                alive_by: (!watchdog.is_zero()).then(|| (watchdog, now.after(watchdog))),
                ..Chart::begin(after.run, started, &spec.health)
            };
        }
    }

    /// A question is about a run that runs, rises, does not overlap itself, and waits until
    /// the worker has come up.
    fn i17_question(&mut self, now: Tick, run: RunId, check: usize, sequence: u64) {
        let Some(place) = self.charts.iter().position(|chart| chart.run == Some(run)) else {
            return self.object("I17", || format!("a look at {run}, which does not run"));
        };
        let is_early = !self.charts[place].is_up
            && self.specs[place].as_deref().is_some_and(|spec| {
                spec.health.checks.get(check).is_some_and(|check| !check.serves(Duty::Startup))
            });
        let chart = &mut self.charts[place];
        let rises = sequence > std::mem::replace(&mut chart.latest, sequence);
        let count = chart.counts.get_mut(check);
        let is_hasty = count.as_ref().is_some_and(|count| count.next.is_some_and(|at| now < at));
        let overlaps = count.is_some_and(|count| count.asked.replace(sequence).is_some());
        if overlaps || !rises {
            self.object("I17", || format!("check {check} of {run} overlaps itself"));
        }
        if is_hasty {
            self.object("I17", || format!("check {check} of {run} is made again too soon"));
        }
        if is_early {
            self.object("I17", || format!("check {check} of {run} is made before it is up"));
        }
    }

    fn i17_checked(
        &mut self,
        now: Tick,
        (run, place, sequence): (RunId, usize, u64),
        finding: &Finding,
        effects: &[Effect],
    ) {
        let worker = self.running(run).or_else(|| self.was_looked_at(run)).filter(|worker| {
            let count = self.charts[*worker].counts.get(place);
            count.is_some_and(|count| count.asked == Some(sequence))
        });
        let Some(worker) = worker else {
            if !effects.is_empty() {
                self.object("I17", || format!("an old look at {run} counts: {effects:?}"));
            }
            return;
        };
        let Some(spec) = self.specs[worker].clone() else { return };
        let Some(check) = spec.health.checks.get(place) else { return };
        let chart = &mut self.charts[worker];
        let is_void = chart.is_up && check.duties == [Duty::Startup];
        let Some(count) = chart.counts.get_mut(place) else { return };
        (count.asked, count.next) = (None, None);
        if is_void || !is_plain(check) || matches!(finding, Finding::Inconclusive { .. }) {
            return;
        }
        let was = count.verdict;
        count.take(check, now, finding);
        let (failed, verdict) = (count.failures > 0, count.verdict);
        let expected = (verdict != was).then_some(verdict);
        let all = spec.health.checks.iter().zip(&chart.counts);
        chart.is_up |= all
            .filter(|(check, _)| check.serves(Duty::Startup))
            .all(|(_, count)| count.verdict == Verdict::Passing);
        let told = effects.iter().find_map(|effect| match effect {
            Effect::Event { kind: EventKind::CheckChanged { check: of, to, .. }, .. } => {
                (*of == check.name).then_some(*to)
            }
            _ => None,
        });
        let duty = if chart.is_up { Duty::Liveness } else { Duty::Startup };
        let fails = failed && verdict == Verdict::Failing && check.serves(duty);
        let restart = restart_of(&spec);
        let may = restart.is_some_and(|restart| restart.policy != RestartPolicy::Never);
        let grace = restart.map_or(Duration::ZERO, |restart| restart.startup_grace);
        let must = fails && may && now.since(chart.started) >= grace && self.ending.is_none();
        if told != expected {
            self.object("I17", || format!("check {place} of {run} is {expected:?}, told {told:?}"));
        }
        if !self.is_watched(worker) {
            self.i17_stops(worker, run, must);
        }
    }

    /// A run is stopped when that follows, and goes on when it does not.
    fn i17_stops(&mut self, worker: usize, run: RunId, must: bool) {
        let after = self.after[worker].map(|after| after.state);
        let stops = after != Some(WorkerState::Running);
        if stops != must {
            self.object("I17", || format!("{run} must be stopped: {must}, and is {after:?}"));
        }
    }

    fn i17_told(&mut self, now: Tick, run: RunId, said: &Said, effects: &[Effect]) {
        let worker = self.running(run).filter(|worker| {
            self.specs[*worker].as_deref().is_some_and(|spec| match &spec.unit {
                Unit::Managed(managed) => managed.notify.is_on(),
                _ => false,
            })
        });
        let Some(worker) = worker else {
            // Whoever ends may be told that the process that it names does not count.
            let is_answer = |effect: &Effect| {
                matches!(
                    effect,
                    Effect::Event { kind: EventKind::MainProcessRefused { .. }, .. }
                        | Effect::Follow { .. }
                )
            };
            if !effects.iter().all(is_answer) {
                self.object("I17", || format!("a word of {run}, which is over: {effects:?}"));
            }
            return;
        };
        let chart = &mut self.charts[worker];
        match said {
            Said::Ready => chart.ready_by = None,
            Said::Alive => chart.alive_by = chart.alive_by.map(|(span, _)| (span, now.after(span))),
            Said::AliveEvery(span) => {
                chart.alive_by = (!span.is_zero()).then(|| (*span, now.after(*span)));
            }
            Said::NeedsLonger(span) => {
                chart.ready_by = chart.ready_by.map(|due| due.max(now.after(*span)));
            }
            Said::Reloading
            | Said::Stopping
            | Said::Status(_)
            | Said::Broken
            | Said::MainProcess(_) => {}
        }
        let must = *said == Said::Broken && self.ending.is_none();
        self.i17_stops(worker, run, must);
    }

    /// Nothing is stopped for its silence within its time.
    fn i17_silence(&mut self, now: Tick) {
        for place in 0..self.ids.len() {
            let Some(run) = self.before[place].and_then(|before| before.run) else { continue };
            let after = self.after[place].map(|after| after.state);
            if self.running(run).is_some() && after == Some(WorkerState::Stopping) {
                let due = self.charts[place].heard_by();
                if due.is_none_or(|due| due > now) {
                    self.object("I17", || format!("{run} is stopped, to be heard by {due:?}"));
                }
            }
        }
    }

    /// L2: whoever must be heard and was not is stopped, when all is over.
    pub(super) fn l2_nobody_is_silent(&mut self, now: Tick) {
        for place in 0..self.ids.len().min(self.charts.len()) {
            let after = self.after[place];
            let runs = after.is_some_and(|after| {
                after.state == WorkerState::Running && after.run == self.charts[place].run
            });
            if runs && self.charts[place].heard_by().is_some_and(|due| due < now) {
                let run = self.charts[place].run;
                self.object("L2", || format!("{run:?} is silent, and goes on"));
            }
        }
    }
}
