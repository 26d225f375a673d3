//! The calendar: how late it is for whoever throws old files away.
//!
//! A wall clock jumps: it is set by hand, comes up in 1970 or is led astray. A file
//! is not old because of that. The calendar goes on by the monotonic clock when the
//! wall clock jumps, and believes the other time only after it has stayed for
//! [`Calendar::STEADY`]. Pure arithmetic; whoever asks reads the clocks.

use core::time::Duration;

use crate::time::WallTime;

/// A wall clock that does not jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The wall clock less the monotonic one, in nanoseconds.
    offset: i64,
    /// Another offset, and since when the wall clock has shown it.
    doubted: Option<(i64, Duration)>,
}

impl Calendar {
    /// So long another time must stay before it is believed.
    pub const STEADY: Duration = Duration::from_secs(3600);
    /// A clock that is corrected, or a host that was busy, is off by less.
    const BLUR: u64 = 60 * 1_000_000_000;
    /// What was written last is seldom older than this; a clock that says so is doubted.
    const GAP: i64 = 24 * 3600 * 1_000_000_000;

    /// Begins at a monotonic time of any origin, with what the wall clock says, and
    /// with the time at which something was written last, if ever.
    #[must_use]
    pub fn begin(tick: Duration, wall: WallTime, written: Option<WallTime>) -> Self {
        let shown = offset(tick, wall);
        match written {
            Some(written) if wall.0.saturating_sub(written.0) > Self::GAP => {
                Self { offset: offset(tick, written), doubted: Some((shown, tick)) }
            }
            _ => Self { offset: shown, doubted: None },
        }
    }

    /// How late it is, when the clocks say this.
    pub fn reckon(&mut self, tick: Duration, wall: WallTime) -> WallTime {
        let shown = offset(tick, wall);
        self.doubted = if is_close(shown, self.offset) {
            self.offset = shown;
            None
        } else {
            match self.doubted {
                Some((other, since)) if is_close(shown, other) => Some((shown, since)),
                _ => Some((shown, tick)),
            }
        };
        if let Some((other, since)) = self.doubted
            && tick.saturating_sub(since) >= Self::STEADY
        {
            (self.offset, self.doubted) = (other, None);
        }
        WallTime(nanoseconds(tick).saturating_add(self.offset))
    }

    /// Whether the wall clock is not believed at present.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.doubted.is_some()
    }
}

fn nanoseconds(tick: Duration) -> i64 {
    i64::try_from(tick.as_nanos()).unwrap_or(i64::MAX)
}

fn offset(tick: Duration, wall: WallTime) -> i64 {
    wall.0.saturating_sub(nanoseconds(tick))
}

fn is_close(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= Calendar::BLUR
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const NOW: i64 = 1_790_000_000;

    fn at(seconds: i64) -> WallTime {
        WallTime(seconds * 1_000_000_000)
    }

    fn passed(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_clock_is_believed() {
        let mut calendar = Calendar::begin(passed(0), at(NOW), Some(at(NOW - HOUR)));
        assert_eq!(calendar.reckon(passed(100), at(NOW + 100)), at(NOW + 100));
        // It is corrected a little.
        assert_eq!(calendar.reckon(passed(200), at(NOW + 230)), at(NOW + 230));
        assert!(!calendar.is_in_doubt());
    }

    #[test]
    fn a_jump_changes_nothing_until_it_has_stayed_for_an_hour() {
        for jump in [DAY * 365, -DAY * 365, -NOW] {
            let mut calendar = Calendar::begin(passed(0), at(NOW), None);
            let shown = |seconds: u64| at(NOW + jump + i64::try_from(seconds).unwrap());
            assert_eq!(calendar.reckon(passed(10), shown(10)), at(NOW + 10), "{jump}");
            assert_eq!(calendar.reckon(passed(3600), shown(3600)), at(NOW + 3600), "{jump}");
            assert!(calendar.is_in_doubt());
            assert_eq!(calendar.reckon(passed(3610), shown(3610)), shown(3610), "{jump}");
            assert!(!calendar.is_in_doubt());
        }
    }

    #[test]
    fn a_clock_that_jumps_on_is_not_believed_and_one_that_comes_back_is() {
        let mut calendar = Calendar::begin(passed(0), at(NOW), None);
        for hour in 1..20_u64 {
            let wild = at(i64::try_from(hour).unwrap() * DAY * 100);
            let right = at(NOW + i64::try_from(hour).unwrap() * HOUR);
            assert_eq!(calendar.reckon(passed(hour * 3600), wild), right);
        }
        assert_eq!(calendar.reckon(passed(72_100), at(NOW + 72_100)), at(NOW + 72_100));
        assert!(!calendar.is_in_doubt());
    }

    #[test]
    fn a_start_long_after_the_last_file_is_doubted_for_an_hour() {
        let written = at(NOW - 30 * DAY);
        let mut calendar = Calendar::begin(passed(5), at(NOW), Some(written));
        assert!(calendar.is_in_doubt());
        assert_eq!(calendar.reckon(passed(15), at(NOW + 10)), at(NOW - 30 * DAY + 10));
        assert_eq!(calendar.reckon(passed(3605), at(NOW + 3600)), at(NOW + 3600));
        // A clock that is behind makes no file old.
        assert!(!Calendar::begin(passed(5), at(0), Some(written)).is_in_doubt());
    }
}
