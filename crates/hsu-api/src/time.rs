//! Times as texts.

use std::time::Duration;

use hsu_model::time::WallTime;
use jiff::Timestamp;

/// A time as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn rfc3339(time: WallTime) -> String {
    let milliseconds = time.0.div_euclid(1_000_000);
    let stamp = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// The seconds from one time to another; fewer than none when the other is the earlier one.
#[must_use]
pub fn seconds_between(from: WallTime, to: WallTime) -> f64 {
    let nanoseconds = to.0.saturating_sub(from.0);
    let seconds = Duration::from_nanos(nanoseconds.unsigned_abs()).as_secs_f64();
    if nanoseconds < 0 { -seconds } else { seconds }
}

/// Reads an RFC 3339 time, or a span before `now` such as `10m`, `2h` or `90s`.
#[must_use]
pub fn parse_time(text: &str, now: WallTime) -> Option<WallTime> {
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return i64::try_from(stamp.as_nanosecond()).ok().map(WallTime);
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(split)?;
    let scale: i64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
    Some(WallTime(now.0.saturating_sub(number.saturating_mul(scale))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds_and_read_back() {
        let time = WallTime(1_700_000_000_123_000_000);
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20.123Z");
        assert_eq!(parse_time("2023-11-14T22:13:20.123Z", WallTime(0)), Some(time));
    }

    #[test]
    fn a_span_counts_back_from_now_and_nonsense_is_none() {
        let now = WallTime(1_000_000_000_000);
        assert_eq!(parse_time("10s", now), Some(WallTime(990_000_000_000)));
        for bad in ["", "10", "s", "-3s", "3w", "1.5h", "yesterday"] {
            assert_eq!(parse_time(bad, now), None, "{bad}");
        }
    }
}
