//! Health: how a worker is checked, and what its checks say of it.
//!
//! A [`Check`] says what is looked at ([`Source`]), how often ([`Rhythm`]) and what
//! hangs on it ([`Duty`]). Verdicts are made in `hsu-core`, looks are taken in
//! `hsu-probe`; here are the words that both use.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::severity::Severity;
use crate::time::WallTime;

pub mod probe;

use probe::Probe;

/// The checks of one worker, in the order in which a [`Source::Composed`] may name
/// earlier ones. Without any, a worker that runs is ready.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// The checks.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name, of which the worker has no other.
    pub name: String,
    /// What hangs on it; nothing means that it is only reported.
    pub duties: Vec<Duty>,
    /// Where its verdict comes from.
    pub source: Source,
    /// When it is made, and how many results it takes to change a verdict.
    pub rhythm: Rhythm,
    /// The factor on retries and delays when it restarts the worker.
    pub severity: Severity,
    /// Checks, by place, that must pass for this one to be made.
    pub after: Vec<usize>,
}

impl Check {
    /// Whether something hangs on it.
    #[must_use]
    pub fn serves(&self, duty: Duty) -> bool {
        self.duties.contains(&duty)
    }
}

/// What hangs on a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// The worker has come up; until then no other check of it is made.
    Startup,
    /// The worker does its job at present.
    Readiness,
    /// The worker is beyond recovery when it fails: it is restarted.
    Liveness,
    /// Something that the worker needs: without it the worker is degraded.
    Dependency,
}

impl Duty {
    /// The word that people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
            Self::Dependency => "dependency",
        }
    }
}

/// Where the verdict of a check comes from. A source that the worker itself tells
/// would be a third variant: it needs no rhythm and no probe.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Somebody looks.
    Probed {
        /// At what.
        probe: Arc<Probe>,
        /// What the latest looks together must come to; none when each counts by itself.
        judgement: Option<Judgement>,
        /// How old the result of an equal probe may be to be taken for this one's.
        shared_for: Duration,
    },
    /// It follows from other checks.
    Composed(Expression),
}

/// What follows from checks, named by their places. A check without a verdict is
/// neither passed nor failed, and neither is what cannot be told without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// As this check.
    Check(usize),
    /// The opposite.
    Not(alloc::boxed::Box<Self>),
    /// At least so many of these pass: all of them for *and*, one for *or*.
    AtLeast(usize, Vec<Self>),
}

/// When a check is made, and how many results it takes to change a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Rhythm {
    /// From the start of the process to the first look.
    pub initial_delay: Duration,
    /// From one look to the next.
    pub interval: Duration,
    /// How long a look may take.
    pub timeout: Duration,
    /// The random share that is taken off an interval, 0.0 to 1.0.
    pub jitter: f64,
    /// Failures in a row until it fails; at least 1.
    pub failure_threshold: u32,
    /// Successes in a row until it passes; at least 1.
    pub success_threshold: u32,
    /// How the interval follows the results; none when it stays.
    pub adaptive: Option<Adaptive>,
    /// When changes of the verdict are too many; none when they are only counted.
    pub flapping: Option<Flapping>,
}

/// Bounds of an interval that follows the results: short while they are bad or mixed,
/// long while they are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    /// The shortest interval.
    pub shortest: Duration,
    /// The longest interval.
    pub longest: Duration,
}

/// When a check flaps: it then counts as failing until it was good for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// So many changes of the verdict
    pub changes: u32,
    /// within this time.
    pub window: Duration,
    /// How long no look may fail until it may pass again.
    pub hold: Duration,
}

/// What the latest looks together must come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// What of each look counts.
    pub measure: Measure,
    /// What is made of it.
    pub statistic: Statistic,
    /// The looks that count: those of this time.
    pub window: Duration,
    /// How many of them it takes to judge; fewer pass.
    pub samples: u32,
    /// The least that is good.
    pub at_least: Option<f64>,
    /// The most that is good.
    pub at_most: Option<f64>,
}

/// What of a look counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// How long it took, in seconds.
    Latency,
    /// The number that it read.
    Value,
}

/// What is made of many numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// The number that so many percent of them do not exceed.
    Percentile(u8),
    /// Their mean.
    Average,
    /// The least of them.
    Least,
    /// The greatest of them.
    Greatest,
    /// The growth of a counter in a second.
    Rate,
}

/// What came of one look.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It is as it should be.
    Passed {
        /// The number that was read, where one is.
        value: Option<f64>,
        /// One sentence on what was seen.
        note: String,
    },
    /// It is not.
    Failed {
        /// One sentence on why not.
        why: String,
    },
    /// Nobody can tell: what looks was held up itself, so that this counts for nothing.
    Inconclusive {
        /// One sentence on why.
        why: String,
    },
}

/// How a worker is, as far as its checks tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// There is no result yet that would tell.
    #[default]
    Unknown,
    /// Everything passes.
    Healthy,
    /// It runs, and something is not as it should be.
    Degraded,
    /// It does not work, and is restarted when its policy says so.
    Unhealthy,
}

impl Condition {
    /// The word that people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// The condition that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Unknown, Self::Healthy, Self::Degraded, Self::Unhealthy];
        all.into_iter().find(|condition| condition.as_str() == word)
    }
}

/// What a check says, after its thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It passes.
    Passing,
    /// It fails.
    Failing,
}

impl Verdict {
    /// The word that people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Passing => "passing",
            Self::Failing => "failing",
        }
    }

    /// The verdict that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Unknown, Self::Passing, Self::Failing];
        all.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// The health of a worker at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthStatus {
    /// All in all.
    pub condition: Condition,
    /// Its checks, in their order.
    pub checks: Vec<CheckStatus>,
}

/// One check at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckStatus {
    /// Its name.
    pub name: String,
    /// The kind of look, in one word.
    pub kind: &'static str,
    /// What hangs on it.
    pub duties: Vec<Duty>,
    /// What it says.
    pub verdict: Verdict,
    /// Failures in a row.
    pub failures: u32,
    /// Successes in a row.
    pub successes: u32,
    /// Looks since the master started, all runs together.
    pub looks: u64,
    /// Failures among them.
    pub failed: u64,
    /// Changes between passing and failing among them.
    pub flaps: u64,
    /// Whether these changes are too many, so that it counts as failing.
    pub is_flapping: bool,
    /// The latest look.
    pub last: Option<Look>,
    /// The mean time of the latest looks.
    pub usual: Duration,
    /// The longest time of a look.
    pub longest: Duration,
}

/// A look that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// When it ended.
    pub at: WallTime,
    /// How long it took.
    pub took: Duration,
    /// What was seen.
    pub note: String,
    /// The number that it read or came to.
    pub value: Option<f64>,
}
