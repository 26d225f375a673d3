//! The start rate: how many automatic restarts the whole master allows.
//!
//! The generic cell rate algorithm: one number, the time at which the bucket
//! would be full again. A caller that comes too early is told its turn, and the
//! turns are handed out in the order of asking, so nobody starves.
// Source: ITU-T I.371, annex A; token buckets with continuous refill behave alike.

use core::time::Duration;

use hsu_model::restart::StartRate;
use hsu_model::time::Tick;

/// The limiter of all automatic restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limiter {
    /// The time one start takes from the bucket; zero is no limit.
    interval: Duration,
    /// How far the bucket may be overdrawn.
    tolerance: Duration,
    full_at: Tick,
}

impl Limiter {
    /// A limiter with a full bucket.
    #[must_use]
    pub fn new(rate: StartRate) -> Self {
        let interval = if rate.per_second.is_finite() && rate.per_second > 0.0 {
            Duration::from_secs_f64(1.0 / rate.per_second)
        } else {
            Duration::ZERO
        };
        let tolerance = interval.saturating_mul(rate.burst.saturating_sub(1));
        Self { interval, tolerance, full_at: Tick(0) }
    }

    /// Takes one start out of the bucket; the time at which it may happen.
    pub fn reserve(&mut self, now: Tick) -> Tick {
        let full_at = self.full_at.max(now);
        self.full_at = full_at.after(self.interval);
        let lead = full_at.since(now);
        now.after(lead.saturating_sub(self.tolerance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Tick {
        Tick(number * 1_000_000_000)
    }

    #[test]
    fn a_burst_is_let_through_and_the_rest_takes_turns() {
        let mut limiter = Limiter::new(StartRate { per_second: 1.0, burst: 3 });
        let turns: std::vec::Vec<_> = (0..6).map(|_| limiter.reserve(second(10))).collect();
        assert_eq!(turns, [10, 10, 10, 11, 12, 13].map(second));
    }

    #[test]
    fn a_pause_refills_the_bucket_but_not_beyond_its_size() {
        let mut limiter = Limiter::new(StartRate { per_second: 1.0, burst: 2 });
        for _ in 0..4 {
            limiter.reserve(second(0));
        }
        let turns: std::vec::Vec<_> = (0..3).map(|_| limiter.reserve(second(100))).collect();
        assert_eq!(turns, [100, 100, 101].map(second));
    }

    #[test]
    fn an_infinite_rate_never_waits() {
        let mut limiter = Limiter::new(StartRate { per_second: f64::INFINITY, burst: 1 });
        assert!((0..1000).all(|_| limiter.reserve(second(1)) == second(1)));
    }

    #[test]
    fn a_rate_of_nothing_or_less_is_no_limit() {
        for per_second in [0.0, -1.0, f64::NAN] {
            let mut limiter = Limiter::new(StartRate { per_second, burst: 1 });
            assert!((0..1000).all(|_| limiter.reserve(second(1)) == second(1)));
        }
    }
}
