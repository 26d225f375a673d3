//! I18: what exceeded limits bring about: each step of a ladder once in a violation, not
//! before its time, and one end of a run.

use std::sync::Arc;
use std::time::Duration;

use hsu_core::effect::Effect;
use hsu_core::fleet::Fleet;
use hsu_core::input::Toll;
use hsu_model::event::EventKind;
use hsu_model::id::RunId;
use hsu_model::limits::{Action, Hold, LimitKind, Limits, Rule};
use hsu_model::severity::Severity;
use hsu_model::status::WorkerState;
use hsu_model::time::Tick;
use hsu_model::usage::Usage;
use hsu_model::worker::{Unit, WorkerSpec};

use super::Judge;
use crate::simulator::nature::restart_of;

/// A worker that was slowed down stays so for at least this long.
const SLOWED_FOR: Duration = Duration::from_secs(30);

/// A rate over less than this is none.
const SHORTEST: Duration = Duration::from_millis(50);

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
    /// When it began.
    pub(super) started: Tick,
    pub(super) limits: Option<Arc<Limits>>,
    pub(super) is_measured: bool,
    violations: Vec<Violation>,
    /// What the last look saw of each limit, and when.
    seen: Vec<Option<u64>>,
    seen_at: Option<Tick>,
    /// What it was told of the kernel: processes that it killed, and that it refused.
    kills: u64,
    refusals: u64,
    /// An action that ends the run was taken.
    pub(super) has_ended: bool,
}

impl Violation {
    /// Beyond what a limit is exceeded: a rate that is held never goes beyond it, and is
    /// exceeded by whoever comes near.
    fn most(&self, rule: &Rule) -> u64 {
        let is_held = rule.hold == Hold::Kernel || self.slowed.is_some();
        let near = rule.most - rule.most / 20;
        if rule.kind.is_rate() && is_held { rule.critical.min(near) } else { rule.critical }
    }

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

/// Whether an effect tells that a limit is exceeded.
fn exceeds(effect: &Effect, of: LimitKind) -> bool {
    match effect {
        Effect::Event { kind: EventKind::LimitExceeded { limit, severity, .. }, .. } => {
            limit == of.as_str() && *severity == Severity::Critical
        }
        _ => false,
    }
}

/// Whether the end of a violation is told.
fn eased(effects: &[Effect], of: LimitKind) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::Event { kind: EventKind::LimitEased { limit, .. }, .. } => limit == of.as_str(),
        _ => false,
    })
}

/// A look at what a run uses, and what was done about it.
struct Look<'a> {
    now: Tick,
    /// Until when nothing restarts it.
    grace: Tick,
    usage: &'a Usage,
    effects: &'a [Effect],
}

impl Account {
    /// Nothing was told of this run yet.
    pub(super) fn begin(started: Tick) -> Self {
        Self { started, ..Self::default() }
    }

    /// What follows from a look, and what is wrong with what was done.
    fn look(
        &mut self,
        run: RunId,
        declared: &Limits,
        limits: &Limits,
        look: &Look<'_>,
        mut ends: bool,
    ) -> Option<String> {
        let Look { now, grace, usage, effects } = *look;
        self.violations.resize(limits.rules.len(), Violation::default());
        let mut wrong = None;
        let is_killed = usage.oom_kills > self.kills;
        self.kills = self.kills.max(usage.oom_kills);
        for (place, (rule, present)) in declared.rules.iter().zip(&limits.rules).enumerate() {
            let Some(reading) = usage.readings.get(place) else { continue };
            let held = reading.held > self.refusals;
            if rule.kind == LimitKind::Processes {
                self.refusals = reading.held;
            }
            let value = reading.value;
            let Some(amount) = value.and_then(|sum| self.amount(place, rule, usage.at, sum)) else {
                continue;
            };
            let most = self.violations[place].most(present);
            let calm = most - most * u64::from(declared.hysteresis) / 100;
            // What the kernel has refused would have been beyond the limit.
            let level = if held { amount.max(most + 1) } else { amount };
            let mut due = self.violations[place].steps(rule, (most, calm), now, grace, level);
            due.retain(|action| !action.ends_the_run() || !std::mem::replace(&mut ends, true));
            let mut told: Vec<_> = taken(effects, rule.kind).collect();
            if is_killed && rule.kind == LimitKind::Resident {
                // The end that follows from a kill is told last.
                told.truncate(due.len());
            }
            let is_eased = self.violations[place].is_eased;
            if eased(effects, rule.kind) != is_eased {
                wrong = Some(format!("{run} at {amount}: the violation is over: {is_eased}"));
            }
            let due: Vec<_> = due.into_iter().map(Action::as_str).collect();
            if told != due {
                wrong = Some(format!("{run} at {amount}: due is {due:?}, done is {told:?}"));
            }
        }
        self.seen = usage.readings.iter().map(|reading| reading.value).collect();
        self.seen_at = Some(usage.at);
        wrong
    }

    /// How much is used: of what is used up anew each second, the growth in a second since the
    /// last look, when that was long enough ago.
    fn amount(&self, place: usize, rule: &Rule, now: Tick, sum: u64) -> Option<u64> {
        if !rule.kind.is_rate() {
            return Some(sum);
        }
        let before = self.seen.get(place).copied().flatten()?;
        let span = now.since(self.seen_at?);
        let grown = u128::from(sum - before) * 1_000_000_000;
        let is_long = span >= SHORTEST;
        is_long.then(|| u64::try_from(grown / span.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Judge {
    /// One look is under way at a time.
    pub(super) fn i18_measure(&mut self, run: RunId, limits: &Arc<Limits>, fleet: &Fleet) {
        if self.i18_measure_of_others(run, limits, fleet) {
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
        let of_others = self.is_use_of_others(run);
        let Some(worker) = of_others.or_else(|| self.running(run)) else {
            if !effects.is_empty() {
                self.object("I18", || format!("{run} does not run, and is judged: {effects:?}"));
            }
            return;
        };
        let Some(spec) = self.specs[worker].clone() else { return };
        let Some(mut account) = self.take_account(run) else { return };
        account.is_measured = false;
        let (Some(usage), Some(limits)) = (usage, account.limits.clone()) else {
            return self.put_account(run, account);
        };
        // How high a limit is may have been raised; all else is as it is declared.
        let Some(declared) = spec.limits() else { return self.put_account(run, account) };
        if self.ending.is_some() {
            // Nothing follows at the end, but it is told once all the same.
            account.violations.clear();
            self.put_account(run, account);
            return self.i18_one_end(run, effects);
        }
        let restart = match &spec.unit {
            Unit::Unmanaged(unit) => Some(&unit.restart),
            _ => restart_of(&spec),
        };
        let grace = restart.map_or(Duration::ZERO, |restart| restart.startup_grace);
        let grace = account.started.after(grace);
        // What is somebody else's may go on, and is ended again by the next step.
        let ends = account.has_ended && of_others.is_none();
        let look = Look { now, grace, usage, effects };
        let wrong = account.look(run, declared, &limits, &look, ends);
        self.put_account(run, account);
        if let Some(what) = wrong {
            self.object("I18", || what);
        }
        self.i18_one_end(run, effects);
        let after = self.after[worker].map(|after| after.state);
        let (ended, stops) =
            (self.charts[worker].account.has_ended, after != Some(WorkerState::Running));
        if ended != stops && of_others.is_none() {
            self.object("I18", || format!("{run} must end: {ended}, and is {after:?}"));
        }
    }

    /// What the kernel has done to a run is told once, and brings about what ends it.
    pub(super) fn i18_held_back(&mut self, now: Tick, run: RunId, toll: Toll, effects: &[Effect]) {
        let worker = self.was_present(run).or_else(|| self.running(run));
        let account = worker.and_then(|_| self.take_account(run));
        let (Some(worker), Some(mut account)) = (worker, account) else {
            // One that is being ended, or of which nothing is known, is blamed for nothing.
            let is_known = self.watched_account(run).is_some();
            if !effects.is_empty() && !is_known {
                self.object("I18", || format!("{run} does not run, and was killed: {effects:?}"));
            }
            return;
        };
        let is_killed = toll.kills > account.kills;
        let told = effects.iter().any(|effect| {
            matches!(effect, Effect::Event { kind: EventKind::OomKilled { .. }, .. })
        });
        if told && !is_killed {
            let kills = toll.kills;
            self.object("I18", || format!("{kills} kills of {run} are told twice: {effects:?}"));
        }
        account.kills = account.kills.max(toll.kills);
        let spec = self.specs[worker].clone();
        let declared = spec.as_deref().and_then(WorkerSpec::limits);
        let rules = declared.into_iter().flat_map(|limits| &limits.rules).enumerate();
        // Of what looks told at the end no account is kept.
        let is_ending = self.ending.is_some();
        let processes = rules.filter(|(_, rule)| rule.kind == LimitKind::Processes && !is_ending);
        for (place, rule) in processes {
            let is_refused = rule.hold == Hold::Kernel && toll.refusals > account.refusals;
            let is_over = account.violations.get(place).is_some_and(|v| v.is_told);
            let exceeded = effects.iter().any(|effect| exceeds(effect, rule.kind));
            let at_once = rule.spike_tolerance.is_zero() || !toll.exit.is_success();
            if is_refused && !is_over && at_once && !exceeded
                || exceeded && (!is_refused || is_over)
            {
                let (held, before) = (toll.refusals, account.refusals);
                self.object("I18", || {
                    format!("{held} refusals of {run}, {before} known; told: {exceeded}, {now:?}")
                });
            }
        }
        self.put_account(run, account);
        self.i18_one_end(run, effects);
    }

    /// What ends a run is done once; of what is somebody else's, once at a time.
    fn i18_one_end(&mut self, run: RunId, effects: &[Effect]) {
        let ends = effects.iter().filter(|effect| ends_a_run(effect)).count();
        let of_others = self.watched_account(run).is_some();
        let Some(mut account) = self.take_account(run) else { return };
        let before = account.has_ended && !of_others;
        account.has_ended |= ends > 0;
        self.put_account(run, account);
        if ends + usize::from(before) > 1 {
            self.object("I18", || format!("{run} is ended {ends} times, ended before: {before}"));
        }
    }

    fn take_account(&mut self, run: RunId) -> Option<Account> {
        if let Some(chart) = self.charts.iter_mut().find(|c| c.run == Some(run) && c.is_ours) {
            return Some(std::mem::take(&mut chart.account));
        }
        let place = self.watched_account(run)?;
        Some(std::mem::take(&mut self.accounts[place].1))
    }

    fn put_account(&mut self, run: RunId, account: Account) {
        if let Some(chart) = self.charts.iter_mut().find(|c| c.run == Some(run) && c.is_ours) {
            chart.account = account;
        } else if let Some(place) = self.watched_account(run) {
            self.accounts[place].1 = account;
        }
    }

    /// The place of the account of a process of somebody else.
    pub(super) fn watched_account(&self, run: RunId) -> Option<usize> {
        self.accounts.iter().position(|(of, _)| *of == run)
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
