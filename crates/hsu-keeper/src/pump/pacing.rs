//! When a pipe is served again.
//!
//! Wake-ups, not bytes, are the cost of logs. A slow stream is served at once when
//! the pump was at rest, and together with all other slow ones once a pace while
//! lines keep coming; a fast one when its pipe is expected to be half full; a
//! flooding one without a pause. The more slow streams there are, the longer the
//! pace and the coarser the times in their indexes.

use std::time::{Duration, Instant};

/// The pace of few slow streams: what a person does not notice.
const SHORTEST: Duration = Duration::from_millis(20);
/// The pace of many.
const LONGEST: Duration = Duration::from_millis(50);
/// What each slow stream adds to the pace, and to the step between arrival times.
const PER_STREAM: Duration = Duration::from_millis(1);
/// The coarsest step between arrival times.
const COARSEST: Duration = Duration::from_millis(200);
/// A pipe that is half full sooner than this is served without a pause. A shorter pause
/// than that is worth it: the kernel locks a pipe while it is emptied, so that a writer of
/// small pieces and a pump that takes each of them at once stand in each other's way.
const BUSY: Duration = Duration::from_micros(100);

/// How full a pipe was when it was served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    /// The bytes that were in it.
    pub(super) count: usize,
    /// The bytes that it can hold.
    pub(super) capacity: usize,
    /// Whether bytes were left in it.
    pub(super) more: bool,
    /// The time since it was served before.
    pub(super) passed: Duration,
}

/// The common pace of slow streams.
#[derive(Debug)]
pub(super) struct Pacer {
    /// When all slow streams are served next.
    slow_due: Instant,
    /// Slow streams served in the latest round.
    served: u32,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self { slow_due: now, served: 0 }
    }

    /// Begins a turn; answers whether slow streams are served in it.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        if now < self.slow_due {
            return false;
        }
        let pace = (PER_STREAM * self.served).clamp(SHORTEST, LONGEST);
        self.slow_due = now + pace;
        self.served = 0;
        true
    }

    /// When slow streams are served next.
    pub(super) fn slow_due(&self) -> Instant {
        self.slow_due
    }

    /// Arrivals that are closer than this share one time.
    pub(super) fn arrival_step(&self) -> Duration {
        (PER_STREAM * self.served).clamp(PER_STREAM, COARSEST)
    }

    /// When a pipe is due again.
    pub(super) fn next(&mut self, fill: Fill, now: Instant) -> Instant {
        let was_full = fill.count * 4 >= fill.capacity * 3;
        let share = fill.capacity as f64 / 2.0 / fill.count.max(1) as f64;
        let half_full = fill.passed.mul_f64(share);
        if fill.more || was_full || half_full < BUSY {
            now
        } else if half_full >= SHORTEST {
            self.served += 1;
            self.slow_due.max(now)
        } else {
            now + half_full
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW_BYTES: Fill =
        Fill { count: 100, capacity: 65_536, more: false, passed: Duration::from_millis(30) };

    #[test]
    fn a_stream_that_was_silent_is_served_at_once_and_then_with_the_others() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        assert!(pacer.begin(start));
        let due = pacer.next(FEW_BYTES, start);
        assert_eq!(due, start + SHORTEST);
        assert!(!pacer.begin(start + SHORTEST / 2));
        assert!(pacer.begin(due));
    }

    #[test]
    fn many_slow_streams_are_served_less_often() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.begin(start);
        for _ in 0..100 {
            pacer.next(FEW_BYTES, start);
        }
        assert!(pacer.begin(start + SHORTEST));
        assert_eq!(pacer.slow_due(), start + SHORTEST + LONGEST);
    }

    #[test]
    fn a_flooding_stream_is_due_at_once_and_a_fast_one_when_half_full() {
        let now = Instant::now();
        let mut pacer = Pacer::new(now);
        pacer.begin(now);
        assert_eq!(pacer.next(Fill { count: 60_000, ..FEW_BYTES }, now), now);
        assert_eq!(pacer.next(Fill { more: true, ..FEW_BYTES }, now), now);
        let passed = Duration::from_millis(10);
        let fast = Fill { count: 32_768, passed, ..FEW_BYTES };
        assert_eq!(pacer.next(fast, now), now + passed);
    }
}
