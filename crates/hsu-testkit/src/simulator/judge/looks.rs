//! What looks at one check come to: numbers that are judged together, thresholds, verdicts that
//! change too often, and how soon the next look may be. A second reckoning, plain and slow.

use std::time::Duration;

use hsu_model::health::{Check, Finding, Judgement, Source, Statistic, Verdict};
use hsu_model::time::Tick;

/// Looks that are due within this time are taken together, at its beginning.
const TOGETHER: Duration = Duration::from_millis(100);
/// Good looks in a row after which an interval that follows the results doubles.
const CALM: u32 = 4;

/// What was told of one check of the run that goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    pub(super) failures: u32,
    successes: u32,
    pub(super) verdict: Verdict,
    /// The question that is not answered.
    pub(super) asked: Option<u64>,
    numbers: Vec<(Tick, f64)>,
    changes: Vec<Tick>,
    /// The latest failure while it flaps.
    flaps_since: Option<Tick>,
    /// When the next look may be, at the soonest.
    pub(super) next: Option<Tick>,
}

impl Count {
    /// Takes what a look came to, as one that counts.
    pub(super) fn take(&mut self, check: &Check, now: Tick, finding: &Finding) {
        if self.is_bad(check, now, finding) {
            (self.failures, self.successes) = (self.failures + 1, 0);
        } else {
            (self.failures, self.successes) = (0, self.successes + 1);
        }
        let was = self.verdict;
        if self.failures >= check.rhythm.failure_threshold {
            self.verdict = Verdict::Failing;
        } else if self.successes >= check.rhythm.success_threshold {
            self.verdict = Verdict::Passing;
        }
        self.flap(check, now);
        if was != Verdict::Unknown && was != self.verdict {
            self.changes.push(now);
        }
        let rest = now.after(self.interval(check));
        self.next = Some(Tick(rest.0.saturating_sub(nanoseconds(TOGETHER))));
    }

    fn is_bad(&mut self, check: &Check, now: Tick, finding: &Finding) -> bool {
        let Finding::Passed { value, .. } = finding else { return true };
        let Source::Probed { judgement: Some(judgement), .. } = &check.source else { return false };
        self.numbers.extend(value.map(|value| (now, value)));
        self.numbers.retain(|(at, _)| now.since(*at) <= judgement.window);
        self.numbers.len() >= judgement.samples as usize && !self.is_good(judgement)
    }

    fn is_good(&self, judgement: &Judgement) -> bool {
        let mut sorted: Vec<f64> = self.numbers.iter().map(|(_, number)| *number).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let result = match judgement.statistic {
            Statistic::Least => sorted.first().copied(),
            Statistic::Greatest => sorted.last().copied(),
            Statistic::Average => Some(sorted.iter().sum::<f64>() / count as f64),
            // The least of them that enough others do not exceed.
            Statistic::Percentile(percent) => sorted
                .iter()
                .zip(1..)
                .find(|(_, rank)| rank * 100 >= count * usize::from(percent))
                .map(|(number, _)| *number),
            // No simulated number is a counter.
            Statistic::Rate => None,
        };
        result.is_none_or(|number| judgement.at_most.is_none_or(|most| number <= most))
    }

    /// A check whose verdict changes too often fails until no look has failed for a while.
    fn flap(&mut self, check: &Check, now: Tick) {
        let Some(flapping) = check.rhythm.flapping else { return };
        self.changes.retain(|at| now.since(*at) <= flapping.window);
        let is_restless = self.changes.len() >= flapping.changes as usize;
        if self.failures > 0 && (is_restless || self.flaps_since.is_some()) {
            self.flaps_since = Some(now);
        }
        let Some(since) = self.flaps_since else { return };
        if now.since(since) < flapping.hold {
            self.verdict = Verdict::Failing;
        } else {
            self.flaps_since = None;
            self.changes.clear();
        }
    }

    /// Until the next look: short while something is wrong, long while all is well.
    fn interval(&self, check: &Check) -> Duration {
        let usual = check.rhythm.interval;
        let Some(adaptive) = check.rhythm.adaptive else { return usual };
        if self.failures > 0 || self.verdict != Verdict::Passing {
            return adaptive.shortest;
        }
        let grown = (0..self.successes / CALM).fold(usual, |interval, _| interval * 2);
        grown.min(adaptive.longest).max(adaptive.shortest)
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
