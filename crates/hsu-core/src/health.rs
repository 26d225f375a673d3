//! Health: the verdicts about one worker, from the looks that are taken at it.
//!
//! A [`Monitor`] belongs to one run at a time. It says which check is due when,
//! numbers every question, and takes an answer only when it is the one to the
//! latest question about the present run: whatever is older changes nothing (I17).
//! What follows from a verdict is the worker's ([`crate::worker`]); what a condition
//! means for others is written in docs/guide/health.md. Absent: any look at the world.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::health::{
    Check, CheckStatus, Condition, Duty, Finding, Health, HealthStatus, Source, Verdict,
};
use hsu_model::id::{RunId, WorkerId};
use hsu_model::restart::StartRate;
use hsu_model::severity::Severity;
use hsu_model::time::{Now, Tick};

use crate::effect::Effect;
use crate::rate::Limiter;
use crate::scatter::scatter;
use crate::worker::Context;

mod expression;
mod judge;
mod watch;

use watch::Watch;

/// Looks that all workers together may begin: a burst, and then so many each second.
/// Checks that are due at the same instant, as after the start of a master, are spread.
pub(crate) const LOOKS: StartRate = StartRate { per_second: 2000.0, burst: 100 };

/// A question that is to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) check: usize,
    pub(crate) sequence: u64,
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) run: RunId,
    pub(crate) question: Question,
    pub(crate) finding: Finding,
    pub(crate) took: Duration,
}

/// What an answer has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    /// Checks that say something else now, and why.
    pub(crate) checks: Vec<(usize, Verdict, String)>,
    /// The condition before and after, and why, when it or the readiness is another.
    pub(crate) condition: Option<(Condition, Condition, String)>,
    /// A check whose failure asks for a restart, how serious that is, and why.
    pub(crate) restart: Option<(Severity, String)>,
}

impl Change {
    /// What the journal tells of it.
    pub(crate) fn events(&self, health: &Health, run: RunId, ready: bool) -> Vec<EventKind> {
        let checks = self.checks.iter().map(|(place, to, reason)| {
            let check = health.checks.get(*place);
            let check = check.map(|check| check.name.clone()).unwrap_or_default();
            EventKind::CheckChanged { run, check, to: *to, reason: reason.clone() }
        });
        let condition = self.condition.iter().map(|(from, to, reason)| {
            let (from, to, reason) = (*from, *to, reason.clone());
            EventKind::HealthChanged { run, from, to, ready, reason }
        });
        checks.chain(condition).collect()
    }
}

/// Everything that is known of the health of one worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Monitor {
    run: Option<RunId>,
    /// When its process started.
    started: Tick,
    watches: Vec<Watch>,
    sequence: u64,
    /// Whether the startup checks of this run have passed.
    is_up: bool,
    condition: Condition,
    is_ready: bool,
}

impl Monitor {
    /// For a worker that does not run.
    pub(crate) fn new(health: &Health) -> Self {
        Self {
            run: None,
            started: Tick(0),
            watches: health.checks.iter().map(|_| Watch::default()).collect(),
            sequence: 0,
            is_up: false,
            condition: Condition::Unknown,
            is_ready: false,
        }
    }

    /// A run begins, or one of an earlier life is taken over. What was said of another
    /// run counts no more; only the totals go on.
    pub(crate) fn begin(
        &mut self,
        health: &Health,
        run: RunId,
        started: Tick,
        now: Tick,
        entropy: u64,
    ) {
        self.run = Some(run);
        self.started = started;
        self.condition = Condition::Unknown;
        self.is_up = !health.checks.iter().any(|check| check.serves(Duty::Startup));
        let mut entropy = entropy;
        for (watch, check) in self.watches.iter_mut().zip(&health.checks) {
            watch.begin();
            entropy = scatter(entropy);
            if self.is_up || check.serves(Duty::Startup) {
                watch.arm_first(check, started, now, entropy);
            }
        }
        self.is_ready = self.readiness(health);
    }

    /// The run that it belongs to.
    pub(crate) fn run(&self) -> Option<RunId> {
        self.run
    }

    /// How the run does.
    pub(crate) fn condition(&self) -> Condition {
        self.condition
    }

    /// Whether the worker does its job, as far as its checks tell.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// When the next check of this run is due.
    pub(crate) fn deadline(&self, run: RunId) -> Option<Tick> {
        if self.run != Some(run) {
            return None;
        }
        self.watches.iter().filter_map(Watch::due).min()
    }

    /// Asks for the looks at a worker's run that are due.
    pub(crate) fn look(&mut self, worker: &WorkerId, run: RunId, context: &mut Context<'_>) {
        for Question { check, sequence } in self.due(context.now.tick, context.looks) {
            let worker = worker.clone();
            context.out.push(Effect::Check { worker, run, check, sequence });
        }
    }

    /// The questions that are due. One that gets no turn at present is put off until it
    /// has one.
    fn due(&mut self, now: Tick, limiter: &mut Limiter) -> Vec<Question> {
        let mut questions = Vec::new();
        for (check, watch) in self.watches.iter_mut().enumerate() {
            if watch.is_due(now, limiter) {
                self.sequence += 1;
                watch.ask(self.sequence);
                questions.push(Question { check, sequence: self.sequence });
            }
        }
        questions
    }

    /// Takes an answer; nothing when it is none to the latest question.
    pub(crate) fn take(
        &mut self,
        health: &Health,
        answer: Answer,
        now: Now,
        entropy: u64,
    ) -> Option<Change> {
        let place = answer.question.check;
        if self.run != Some(answer.run) {
            // A stale answer: it is about a run that is over.
            return None;
        }
        let (check, watch) = (health.checks.get(place)?, self.watches.get_mut(place)?);
        if !watch.awaits(answer.question.sequence) {
            // A stale answer: its question was answered, or put again.
            return None;
        }
        let mut change = Change::default();
        if let Some((verdict, why)) = watch.take(check, answer.finding, answer.took, now, entropy) {
            change.checks.push((place, verdict, why));
        }
        let failed = watch.failures() > 0;
        self.compose(health, &mut change);
        self.open(health, now.tick);
        change.restart = self.restart(health, place, failed);
        change.condition = self.settle(health);
        Some(change)
    }

    /// Follows what is composed of other checks.
    fn compose(&mut self, health: &Health, change: &mut Change) {
        for (place, check) in health.checks.iter().enumerate() {
            let Source::Composed(expression) = &check.source else {
                continue;
            };
            let verdicts: Vec<Verdict> = self.watches.iter().map(Watch::verdict).collect();
            let verdict = expression::evaluate(expression, &verdicts);
            if let Some(watch) = self.watches.get_mut(place)
                && watch.follow(verdict)
            {
                let why = expression::explain(expression, &health.checks, &verdicts);
                change.checks.push((place, verdict, why));
            }
        }
    }

    /// Begins what has waited for other checks, and ends what may not go on without them.
    fn open(&mut self, health: &Health, now: Tick) {
        let passes = |watches: &[Watch], place: usize| {
            watches.get(place).is_some_and(|watch| watch.verdict() == Verdict::Passing)
        };
        if !self.is_up {
            let startup = |(_, check): &(usize, &Check)| check.serves(Duty::Startup);
            let mut gates = health.checks.iter().enumerate().filter(startup);
            self.is_up = gates.all(|(place, _)| passes(&self.watches, place));
            if !self.is_up {
                return;
            }
        }
        for (place, check) in health.checks.iter().enumerate() {
            let is_open = check.after.iter().all(|before| passes(&self.watches, *before));
            if let Some(watch) = self.watches.get_mut(place) {
                let has_begun = check.serves(Duty::Startup);
                // A startup check has done what it is for, unless more hangs on it.
                if has_begun && check.duties.len() == 1 {
                    watch.rest();
                } else if is_open {
                    watch.wake(check, self.started, now);
                } else {
                    watch.forget();
                }
            }
        }
    }

    /// Whether the failure that was just seen asks for a restart: of this check, or of
    /// one that is composed of it.
    fn restart(&self, health: &Health, place: usize, failed: bool) -> Option<(Severity, String)> {
        let mut watched = health.checks.iter().zip(&self.watches).enumerate();
        watched.find_map(|(at, (check, watch))| {
            let is_composed = matches!(check.source, Source::Composed(_));
            let counts = check.serves(Duty::Liveness) && self.is_up
                || check.serves(Duty::Startup) && !self.is_up;
            let is_news = is_composed || at == place && failed;
            if !counts || watch.verdict() != Verdict::Failing || !is_news {
                return None;
            }
            Some((check.severity, watch.complaint(check)))
        })
    }

    /// Works out condition and readiness anew; what was and is, when either is another.
    fn settle(&mut self, health: &Health) -> Option<(Condition, Condition, String)> {
        let (before, was_ready) = (self.condition, self.is_ready);
        let (condition, why) = self.judge(health);
        self.condition = condition;
        self.is_ready = self.readiness(health);
        (before != condition || was_ready != self.is_ready).then_some((before, condition, why))
    }

    /// The truth table of docs/guide/health.md, for readiness.
    fn readiness(&self, health: &Health) -> bool {
        let mut watched = health.checks.iter().zip(&self.watches);
        self.is_up
            && watched.all(|(check, watch)| match watch.verdict() {
                Verdict::Passing => true,
                Verdict::Unknown => !check.serves(Duty::Readiness),
                Verdict::Failing => !check.serves(Duty::Readiness) && !check.serves(Duty::Liveness),
            })
    }

    /// The truth table of docs/guide/health.md, for the condition.
    fn judge(&self, health: &Health) -> (Condition, String) {
        let watched = || health.checks.iter().zip(&self.watches);
        let fatal = if self.is_up { Duty::Liveness } else { Duty::Startup };
        let fails = |watch: &Watch| watch.verdict() == Verdict::Failing;
        if let Some((check, watch)) =
            watched().find(|(check, watch)| check.serves(fatal) && fails(watch))
        {
            return (Condition::Unhealthy, watch.complaint(check));
        }
        let counts = |check: &Check| !check.duties.is_empty();
        let is_bad = |watch: &Watch| fails(watch) || watch.is_shaky();
        if let Some((check, watch)) =
            watched().find(|(check, watch)| counts(check) && is_bad(watch))
        {
            return (Condition::Degraded, watch.complaint(check));
        }
        let is_open = |(check, watch): &(&Check, &Watch)| {
            counts(check) && watch.verdict() == Verdict::Unknown
        };
        match watched().find(is_open) {
            Some((check, watch)) if watch.failures() > 0 => {
                (Condition::Unknown, watch.complaint(check))
            }
            Some((check, _)) => {
                let why = alloc::format!("check `{}` has said nothing yet", check.name);
                (Condition::Unknown, why)
            }
            None => (Condition::Healthy, String::from("every check passes")),
        }
    }

    /// What it says, for people; `run` is the run that goes on.
    pub(crate) fn status(&self, health: &Health, run: Option<RunId>) -> Option<HealthStatus> {
        if health.checks.is_empty() {
            return None;
        }
        let is_present = run.is_some() && self.run == run;
        let watched = health.checks.iter().zip(&self.watches);
        let checks: Vec<CheckStatus> =
            watched.map(|(check, watch)| watch.status(check, is_present)).collect();
        let condition = if is_present { self.condition } else { Condition::Unknown };
        Some(HealthStatus { condition, checks })
    }

    /// What must hold of it at any moment.
    pub(crate) fn is_sound(&self) -> bool {
        let mut asked: Vec<u64> = self.watches.iter().filter_map(Watch::question).collect();
        asked.sort_unstable();
        let are_distinct = asked.windows(2).all(|pair| pair.first() < pair.last());
        let are_known = asked.last().is_none_or(|last| *last <= self.sequence);
        are_distinct && are_known && self.watches.iter().all(Watch::is_sound)
    }
}

#[cfg(test)]
mod tests;
