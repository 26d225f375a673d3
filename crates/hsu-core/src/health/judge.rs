//! Judging many looks together: percentiles, means, rates over a window.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use hsu_model::health::{Judgement, Measure, Statistic};
use hsu_model::time::Tick;

/// Numbers that are kept of one check: a window that holds more of them is thinned
/// at its old end.
const MOST: usize = 1024;

/// The numbers of the latest looks, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Numbers {
    kept: VecDeque<(Tick, f64)>,
}

impl Numbers {
    /// Adds what a look came to, and forgets what is older than the window.
    pub(super) fn add(
        &mut self,
        judgement: &Judgement,
        now: Tick,
        took: Duration,
        value: Option<f64>,
    ) {
        let number = match judgement.measure {
            Measure::Latency => Some(took.as_secs_f64()),
            Measure::Value => value,
        };
        if let Some(number) = number.filter(|number| number.is_finite()) {
            if self.kept.len() == MOST {
                self.kept.pop_front();
            }
            self.kept.push_back((now, number));
        }
        while self.kept.front().is_some_and(|(at, _)| now.since(*at) > judgement.window) {
            self.kept.pop_front();
        }
    }

    /// What the numbers come to, once there are enough of them.
    pub(super) fn statistic(&self, judgement: &Judgement) -> Option<f64> {
        let enough = usize::try_from(judgement.samples).unwrap_or(usize::MAX).max(1);
        if self.kept.len() < enough {
            return None;
        }
        let numbers = || self.kept.iter().map(|(_, number)| *number);
        match judgement.statistic {
            Statistic::Percentile(percent) => percentile(numbers().collect(), percent),
            Statistic::Average => {
                let count = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
                Some(numbers().sum::<f64>() / f64::from(count))
            }
            Statistic::Least => numbers().reduce(f64::min),
            Statistic::Greatest => numbers().reduce(f64::max),
            Statistic::Rate => self.rate(),
        }
    }

    /// The growth a second between the ends of the window. A counter that falls was
    /// begun anew: it has grown by what it shows.
    fn rate(&self) -> Option<f64> {
        let (first, last) = (self.kept.front()?, self.kept.back()?);
        let span = last.0.since(first.0).as_secs_f64();
        if span <= 0.0 {
            return None;
        }
        let pairs = self.kept.iter().zip(self.kept.iter().skip(1));
        let steps = pairs.map(|((_, one), (_, two))| if two >= one { two - one } else { *two });
        Some(steps.sum::<f64>() / span)
    }
}

/// The nearest-rank percentile.
// Source: NIST/SEMATECH e-Handbook, section 7.2.6.2.
fn percentile(mut numbers: Vec<f64>, percent: u8) -> Option<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    let rank = (numbers.len() * usize::from(percent.clamp(1, 100))).div_ceil(100);
    numbers.get(rank.saturating_sub(1)).copied()
}

/// Why a number is not good; none when it is.
pub(super) fn complaint(judgement: &Judgement, number: f64) -> Option<String> {
    let name = name(judgement);
    if let Some(least) = judgement.at_least.filter(|least| number < *least) {
        return Some(alloc::format!("{name} is {number:.3}, and must be at least {least:.3}"));
    }
    let most = judgement.at_most.filter(|most| number > *most)?;
    Some(alloc::format!("{name} is {number:.3}, and may be at most {most:.3}"))
}

fn name(judgement: &Judgement) -> String {
    let of = match judgement.measure {
        Measure::Latency => "the latency",
        Measure::Value => "the value",
    };
    match judgement.statistic {
        Statistic::Percentile(percent) => alloc::format!("percentile {percent} of {of}"),
        Statistic::Average => alloc::format!("the average of {of}"),
        Statistic::Least => alloc::format!("the least of {of}"),
        Statistic::Greatest => alloc::format!("the greatest of {of}"),
        Statistic::Rate => alloc::format!("the rate of {of}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(statistic: Statistic, numbers: &[(u64, f64)]) -> Option<f64> {
        let judgement = Judgement {
            measure: Measure::Value,
            statistic,
            window: Duration::from_secs(60),
            samples: 3,
            at_least: None,
            at_most: None,
        };
        let mut kept = Numbers::default();
        for (second, number) in numbers {
            kept.add(&judgement, Tick(second * 1_000_000_000), Duration::ZERO, Some(*number));
        }
        kept.statistic(&judgement)
    }

    #[test]
    fn a_statistic_is_over_the_window_and_waits_for_enough_numbers() {
        let numbers = [(0, 900.0), (70, 4.0), (80, 1.0), (90, 3.0), (100, 2.0)];
        for (statistic, expected) in [
            (Statistic::Percentile(50), 2.0),
            (Statistic::Percentile(95), 4.0),
            (Statistic::Average, 2.5),
            (Statistic::Least, 1.0),
            (Statistic::Greatest, 4.0),
        ] {
            assert_eq!(judged(statistic, &numbers), Some(expected), "{statistic:?}");
        }
        assert_eq!(judged(Statistic::Average, &[(1, 1.0), (2, 1.0)]), None);
    }

    #[test]
    fn a_counter_that_falls_was_begun_anew() {
        let numbers = [(0, 100.0), (10, 150.0), (20, 30.0)];
        assert_eq!(judged(Statistic::Rate, &numbers), Some(4.0));
        assert_eq!(judged(Statistic::Rate, &[(5, 1.0), (5, 2.0), (5, 3.0)]), None);
    }

    #[test]
    fn a_number_that_is_none_counts_for_nothing() {
        let numbers = [(0, f64::NAN), (1, f64::INFINITY), (2, 1.0), (3, 1.0)];
        assert_eq!(judged(Statistic::Greatest, &numbers), None);
    }

    #[test]
    fn a_number_is_kept_as_long_as_the_window_and_the_oldest_of_too_many_goes() {
        assert_eq!(judged(Statistic::Greatest, &[(0, 9.0), (30, 1.0), (60, 1.0)]), Some(9.0));
        let many: Vec<(u64, f64)> =
            (0..=1024).map(|at| (1, if at == 0 { 9.0 } else { 1.0 })).collect();
        assert_eq!(judged(Statistic::Greatest, &many[..1024]), Some(9.0));
        assert_eq!(judged(Statistic::Greatest, &many), Some(1.0));
    }

    #[test]
    fn a_counter_that_stands_still_does_not_grow() {
        let numbers = [(0, 100.0), (10, 100.0), (20, 100.0)];
        assert_eq!(judged(Statistic::Rate, &numbers), Some(0.0));
    }

    #[test]
    fn a_bound_that_is_just_met_is_met_and_a_complaint_names_what_was_measured() {
        let judgement = |measure, statistic| Judgement {
            measure,
            statistic,
            window: Duration::from_secs(60),
            samples: 1,
            at_least: Some(1.0),
            at_most: Some(2.0),
        };
        let value = |statistic, number| complaint(&judgement(Measure::Value, statistic), number);
        assert_eq!(value(Statistic::Average, 1.0), None);
        assert_eq!(value(Statistic::Average, 2.0), None);
        for (statistic, name) in [
            (Statistic::Percentile(95), "percentile 95 of the value"),
            (Statistic::Average, "the average of the value"),
            (Statistic::Least, "the least of the value"),
            (Statistic::Greatest, "the greatest of the value"),
            (Statistic::Rate, "the rate of the value"),
        ] {
            let wanted = alloc::format!("{name} is 0.500, and must be at least 1.000");
            assert_eq!(value(statistic, 0.5), Some(wanted));
        }
        let latency = complaint(&judgement(Measure::Latency, Statistic::Average), 3.0);
        let wanted = "the average of the latency is 3.000, and may be at most 2.000";
        assert_eq!(latency.as_deref(), Some(wanted));
    }
}
