//! One check: when it is due, what it has answered, what it says.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use hsu_model::health::{
    Adaptive, Check, CheckStatus, Finding, Flapping, Judgement, Look, Source, Verdict,
};
use hsu_model::time::{Now, Tick};

use super::judge::{self, Numbers};
use crate::rate::Limiter;
use crate::scatter::part;

/// The most of an answer that is kept, in bytes.
const LONGEST_NOTE: usize = 300;
/// So many good looks after a bad one make a check steady again.
const STEADY: u32 = 2;
/// After so many good looks in a row an adaptive interval doubles.
const CALM: u32 = 4;
/// Changes of a verdict that are remembered.
const MOST_CHANGES: usize = 64;
/// When something is looked at again whose look came to nothing.
const AGAIN: Duration = Duration::from_secs(1);
/// The share of an interval over which first looks at processes of an earlier life spread.
const FIRST_SPREAD: f64 = 0.2;
/// Looks that are due within one tenth of a second are taken together.
const TENTH: u64 = 100_000_000;

/// Where a check is between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    /// It is not to be made.
    #[default]
    Resting,
    /// It is to be made then; whether the limiter has given it that turn.
    Due { at: Tick, has_turn: bool },
    /// A question with this number is not answered yet.
    Asked { sequence: u64 },
    /// The same, and the answer will not count: what the check comes after has failed.
    Void { sequence: u64 },
}

/// One check of the run that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watch {
    turn: Turn,
    verdict: Verdict,
    failures: u32,
    successes: u32,
    /// A look has failed where one had passed before, or the check itself, and the looks
    /// since are not enough to forget it. What has not come up yet is not shaky.
    is_shaky: bool,
    numbers: Numbers,
    /// When the verdict changed between passing and failing.
    changes: VecDeque<Tick>,
    /// While it flaps: when the latest failure was.
    flapping_since: Option<Tick>,
    last: Option<Look>,
    totals: Totals,
}

/// What is counted over all runs.
#[derive(Clone, Debug, Default, PartialEq)]
struct Totals {
    looks: u64,
    failed: u64,
    flaps: u64,
    usual: Duration,
    longest: Duration,
}

impl Watch {
    /// Another run begins.
    pub(super) fn begin(&mut self) {
        *self = Self { totals: core::mem::take(&mut self.totals), ..Self::default() };
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn is_shaky(&self) -> bool {
        self.is_shaky
    }

    pub(super) fn due(&self) -> Option<Tick> {
        match self.turn {
            Turn::Due { at, .. } => Some(at),
            Turn::Resting | Turn::Asked { .. } | Turn::Void { .. } => None,
        }
    }

    pub(super) fn question(&self) -> Option<u64> {
        match self.turn {
            Turn::Asked { sequence } | Turn::Void { sequence } => Some(sequence),
            Turn::Resting | Turn::Due { .. } => None,
        }
    }

    pub(super) fn awaits(&self, sequence: u64) -> bool {
        self.question() == Some(sequence)
    }

    /// Sets the first look of a run: after the delay that is declared from its start.
    pub(super) fn arm_first(&mut self, check: &Check, started: Tick, now: Tick, entropy: u64) {
        if is_composed(check) || !check.after.is_empty() {
            return;
        }
        let wanted = started.after(check.rhythm.initial_delay);
        // A process of an earlier life is one of many that are met at once.
        let at = if wanted < now {
            now.after(part(check.rhythm.interval, FIRST_SPREAD, entropy).min(AGAIN))
        } else {
            wanted
        };
        self.turn = Turn::Due { at, has_turn: false };
    }

    /// Begins what has waited for others: at once.
    pub(super) fn wake(&mut self, check: &Check, started: Tick, now: Tick) {
        if self.turn == Turn::Resting && !is_composed(check) {
            let at = started.after(check.rhythm.initial_delay).max(now);
            self.turn = Turn::Due { at, has_turn: false };
        }
    }

    /// It has done what it is for.
    pub(super) fn rest(&mut self) {
        self.stop();
        self.is_shaky = false;
    }

    /// What it comes after does not pass: nothing is known until it does.
    pub(super) fn forget(&mut self) {
        self.stop();
        self.verdict = Verdict::Unknown;
        (self.failures, self.successes, self.is_shaky) = (0, 0, false);
    }

    /// A look that is under way goes on, so that it does not overlap the next one.
    fn stop(&mut self) {
        self.turn = match self.turn {
            Turn::Asked { sequence } | Turn::Void { sequence } => Turn::Void { sequence },
            Turn::Resting | Turn::Due { .. } => Turn::Resting,
        };
    }

    /// Whether it is due and may be made; without a turn it is put off.
    pub(super) fn is_due(&mut self, now: Tick, limiter: &mut Limiter) -> bool {
        let Turn::Due { at, has_turn } = self.turn else {
            return false;
        };
        if at > now {
            return false;
        }
        if has_turn {
            return true;
        }
        let at = limiter.reserve(now);
        self.turn = Turn::Due { at, has_turn: true };
        at <= now
    }

    pub(super) fn ask(&mut self, sequence: u64) {
        self.turn = Turn::Asked { sequence };
    }

    /// Takes the answer to the latest question; the other verdict and why, when it is one.
    pub(super) fn take(
        &mut self,
        check: &Check,
        finding: Finding,
        took: Duration,
        now: Now,
        entropy: u64,
    ) -> Option<(Verdict, String)> {
        if let Turn::Void { .. } = self.turn {
            self.turn = Turn::Resting;
            return None;
        }
        let (value, judged) = match finding {
            Finding::Inconclusive { why } => {
                self.note(now, took, &why, None);
                self.turn = Turn::Due { at: now.tick.after(AGAIN), has_turn: false };
                return None;
            }
            Finding::Passed { value, note } => self.judge(check, now.tick, took, value, note),
            Finding::Failed { why } => (None, Err(why)),
        };
        self.totals.add(took, judged.is_err());
        let (Ok(note) | Err(note)) = &judged;
        self.note(now, took, note, value);
        if judged.is_ok() {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
            self.is_shaky &= self.successes < STEADY;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
            self.is_shaky |= self.verdict != Verdict::Unknown;
        }
        let changed = self.decide(check, now.tick);
        self.is_shaky |= self.verdict == Verdict::Failing;
        self.arm_next(check, now.tick, entropy);
        changed.map(|verdict| (verdict, self.last_words(verdict)))
    }

    /// What the look comes to together with those before it.
    fn judge(
        &mut self,
        check: &Check,
        now: Tick,
        took: Duration,
        value: Option<f64>,
        note: String,
    ) -> (Option<f64>, Result<String, String>) {
        let Some(judgement) = judgement(check) else {
            return (value, Ok(note));
        };
        self.numbers.add(judgement, now, took, value);
        let Some(number) = self.numbers.statistic(judgement) else {
            return (value, Ok(note));
        };
        match judge::complaint(judgement, number) {
            Some(why) => (Some(number), Err(why)),
            None => (Some(number), Ok(note)),
        }
    }

    /// The verdict after the thresholds; something only when it is another.
    fn decide(&mut self, check: &Check, now: Tick) -> Option<Verdict> {
        let rhythm = &check.rhythm;
        let was = self.verdict;
        let mut verdict = if self.failures >= rhythm.failure_threshold.max(1) {
            Verdict::Failing
        } else if self.successes >= rhythm.success_threshold.max(1) {
            Verdict::Passing
        } else {
            was
        };
        if let Some(flapping) = rhythm.flapping {
            verdict = self.calm(flapping, verdict, now);
        }
        if verdict == was {
            return None;
        }
        self.verdict = verdict;
        if was != Verdict::Unknown {
            self.totals.flaps += 1;
            if self.changes.len() == MOST_CHANGES {
                self.changes.pop_front();
            }
            self.changes.push_back(now);
        }
        Some(verdict)
    }

    /// A check that flaps fails until no look has failed for a while.
    fn calm(&mut self, flapping: Flapping, verdict: Verdict, now: Tick) -> Verdict {
        while self.changes.front().is_some_and(|at| now.since(*at) > flapping.window) {
            self.changes.pop_front();
        }
        let count = u32::try_from(self.changes.len()).unwrap_or(u32::MAX);
        if self.failures > 0 && (self.flapping_since.is_some() || count >= flapping.changes) {
            self.flapping_since = Some(now);
        }
        match self.flapping_since {
            Some(since) if now.since(since) < flapping.hold => Verdict::Failing,
            Some(_) => {
                self.flapping_since = None;
                self.changes.clear();
                verdict
            }
            None => verdict,
        }
    }

    fn arm_next(&mut self, check: &Check, now: Tick, entropy: u64) {
        let rhythm = &check.rhythm;
        let interval = match rhythm.adaptive {
            None => rhythm.interval,
            Some(adaptive) => self.adapted(adaptive, rhythm.interval),
        };
        let rest = interval.saturating_sub(part(interval, rhythm.jitter, entropy));
        self.turn = Turn::Due { at: together(now.after(rest), rest), has_turn: false };
    }

    fn adapted(&self, adaptive: Adaptive, usual: Duration) -> Duration {
        let is_calm = self.failures == 0 && self.verdict == Verdict::Passing;
        if !is_calm {
            return adaptive.shortest;
        }
        let doublings = (self.successes / CALM).min(16);
        usual.saturating_mul(1 << doublings).clamp(adaptive.shortest, adaptive.longest)
    }

    /// Takes the verdict that follows from other checks; whether it is another.
    pub(super) fn follow(&mut self, verdict: Verdict) -> bool {
        let was = core::mem::replace(&mut self.verdict, verdict);
        if was != verdict && was != Verdict::Unknown && verdict != Verdict::Unknown {
            self.totals.flaps += 1;
        }
        was != verdict
    }

    fn note(&mut self, now: Now, took: Duration, note: &str, value: Option<f64>) {
        self.last = Some(Look { at: now.wall, took, note: shortened(note), value });
    }

    fn last_words(&self, verdict: Verdict) -> String {
        let words = self.last.as_ref().map_or("", |look| look.note.as_str());
        match verdict {
            Verdict::Failing if self.flapping_since.is_some() => {
                alloc::format!("it changes too often; at last: {words}")
            }
            Verdict::Failing => times(self.failures, words),
            Verdict::Passing | Verdict::Unknown => String::from(words),
        }
    }

    /// What is wrong with it, in one sentence.
    pub(super) fn complaint(&self, check: &Check) -> String {
        let (name, words) = (&check.name, self.last.as_ref().map(|look| look.note.as_str()));
        match words {
            Some(words) => alloc::format!("check `{name}`: {}", times(self.failures, words)),
            None => alloc::format!("check `{name}` is {}", self.verdict.as_str()),
        }
    }

    pub(super) fn status(&self, check: &Check, is_present: bool) -> CheckStatus {
        CheckStatus {
            name: check.name.clone(),
            kind: match &check.source {
                Source::Probed { judgement: Some(_), .. } => "performance",
                Source::Probed { probe, .. } => probe.kind(),
                Source::Composed(_) => "composite",
            },
            duties: check.duties.clone(),
            verdict: if is_present { self.verdict } else { Verdict::Unknown },
            failures: self.failures,
            successes: self.successes,
            looks: self.totals.looks,
            failed: self.totals.failed,
            flaps: self.totals.flaps,
            is_flapping: self.flapping_since.is_some(),
            last: self.last.clone(),
            usual: self.totals.usual,
            longest: self.totals.longest,
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.failures == 0 || self.successes == 0
    }
}

impl Totals {
    fn add(&mut self, took: Duration, failed: bool) {
        self.usual = match self.looks {
            0 => took,
            // A moving mean over about the last eight.
            _ => (self.usual * 7 + took) / 8,
        };
        self.longest = self.longest.max(took);
        self.looks += 1;
        self.failed += u64::from(failed);
    }
}

fn times(failures: u32, words: &str) -> String {
    match failures {
        0 | 1 => String::from(words),
        times => alloc::format!("{words} ({times} times in a row)"),
    }
}

/// The moment before that many share, so that none wakes anybody alone; a rest that is
/// short stays as it is, and none becomes longer.
fn together(due: Tick, rest: Duration) -> Tick {
    if rest < Duration::from_secs(1) {
        return due;
    }
    Tick(due.0 - due.0 % TENTH)
}

fn is_composed(check: &Check) -> bool {
    matches!(check.source, Source::Composed(_))
}

fn judgement(check: &Check) -> Option<&Judgement> {
    match &check.source {
        Source::Probed { judgement, .. } => judgement.as_ref(),
        Source::Composed(_) => None,
    }
}

/// The beginning of a text, which may come from anywhere.
fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_NOTE {
        return String::from(text);
    }
    let mut end = LONGEST_NOTE;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    alloc::format!("{}...", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_fail_and_pass_in_a_row_at_once_are_unsound() {
        let watch = |failures, successes| Watch { failures, successes, ..Watch::default() };
        assert!(watch(0, 2).is_sound() && watch(2, 0).is_sound());
        assert!(!watch(1, 1).is_sound());
    }
}
