//! The report of a campaign: its figures, and what was hurt.

use std::fmt;
use std::time::Duration;

use crate::lines::Verdict;

/// What a campaign says at its end.
#[derive(Clone, Debug)]
pub struct Report {
    /// The figures, in one line.
    pub totals: String,
    /// Everything that must not have happened; none when every promise was kept.
    pub findings: Vec<String>,
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Whether the exit of a process may be told as unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Somebody who waits for it is there all the time.
    Never,
    /// A keeper was killed: what ended meanwhile, before anybody else had a hold
    /// on it, is honestly unknown.
    Possible,
}

/// What was hurt of a load.
#[derive(Clone, Debug)]
pub(crate) struct Toll {
    /// Long-lived workers whose process changed.
    pub(crate) disturbed: Vec<String>,
    /// Requests to workers.
    pub(crate) requests: u64,
    /// Those that failed.
    pub(crate) failed_requests: u64,
    /// The lines of all writers.
    pub(crate) lines: Verdict,
    /// Exits that workers noted themselves.
    pub(crate) exits: u64,
    /// Exits that HSU Master reports as unknown.
    pub(crate) unknown_exits: u64,
    /// Exits that HSU Master does not know, knows twice or knows differently.
    pub(crate) wrong_exits: Vec<String>,
    /// Instances that met another one of their worker.
    pub(crate) twice: Vec<String>,
}

impl Toll {
    pub(crate) fn findings(&self, unknown: Unknown) -> Vec<String> {
        let mut all = self.findings_but_lines(unknown);
        if self.lines.streams > 0 && !self.lines.is_perfect() {
            all.push(format!("lines were hurt: {:?}", self.lines));
        }
        all
    }

    /// What was hurt, the lines of workers aside: their files were taken away.
    pub(crate) fn findings_but_lines(&self, unknown: Unknown) -> Vec<String> {
        let mut all = self.disturbed.clone();
        all.extend(self.wrong_exits.iter().cloned());
        all.extend(self.twice.iter().cloned());
        if self.failed_requests > 0 {
            all.push(format!("{} requests to workers failed", self.failed_requests));
        }
        if unknown == Unknown::Never && self.unknown_exits > 0 {
            all.push(format!("{} exits are unknown, and no keeper was lost", self.unknown_exits));
        }
        all
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "workers disturbed {}; requests {} failed {}; lines {} lost {} doubled {} torn {}; \
             exits {} unknown {} wrong {}; instances twice {}",
            self.disturbed.len(),
            self.requests,
            self.failed_requests,
            self.lines.good,
            self.lines.lost,
            self.lines.duplicated,
            self.lines.torn,
            self.exits,
            self.unknown_exits,
            self.wrong_exits.len(),
            self.twice.len(),
        )
    }
}

/// How long something took, each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        let place = self.0.partition_point(|other| *other <= time);
        self.0.insert(place, time);
    }

    /// The time that so many percent do not exceed.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn percentile(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [middle, high, most] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "p50 {middle:.1?} p99 {high:.1?} max {most:.1?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_taken() {
        let mut times = Times::default();
        assert_eq!(times.percentile(99), Duration::ZERO);
        for second in [3, 1, 2] {
            times.add(Duration::from_secs(second));
        }
        let [middle, most] = [50, 100].map(|percent| times.percentile(percent).as_secs());
        assert_eq!((middle, most), (2, 3));
    }
}
