//! Times on a command line: `500ms`, `30s`, `2m`, `1h`, or a number of seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hsu_model::time::WallTime;

/// The longest time that is taken: a bit more than 30 years.
const LONGEST: f64 = 1e9;

/// Reads a time. Zero is one: it asks for an answer at once.
///
/// # Errors
/// What a time looks like.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let (number, scale) = match (text.strip_suffix("ms"), text.char_indices().next_back()) {
        (Some(number), _) => (number, 0.001),
        (None, Some((at, 's'))) => (text.get(..at).unwrap_or_default(), 1.0),
        (None, Some((at, 'm'))) => (text.get(..at).unwrap_or_default(), 60.0),
        (None, Some((at, 'h'))) => (text.get(..at).unwrap_or_default(), 3600.0),
        (None, _) => (text, 1.0),
    };
    // Also `inf`, `nan` and `1e3` are numbers to the parser.
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse::<f64>().ok().filter(|_| is_plain).map(|number| number * scale);
    seconds
        .filter(|seconds| *seconds <= LONGEST)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "not a time such as `500ms`, `30s`, `2m` or `90`".to_owned())
}

/// Reads how many lines or events are wanted.
///
/// # Errors
/// What a number looks like.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "not a number such as `0` or `100`".to_owned())
}

/// Reads the number of an event.
///
/// # Errors
/// What a number looks like.
pub(crate) fn sequence(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not the number of an event, such as `0` or `100`".to_owned())
}

/// Up to where a journal is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The event of this number.
    Event(u64),
    /// The latest event by this time.
    Time(WallTime),
}

/// Reads a moment of a journal that is a file: a number, a time, or a span before now.
///
/// # Errors
/// What a moment looks like.
pub(crate) fn until(text: &str) -> Result<Until, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(Until::Event(sequence));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = WallTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    hsu_api::parse_time(text, now)
        .map(Until::Time)
        .ok_or_else(|| "neither the number of an event, nor a time, nor a span".to_owned())
}

/// A time as messages name it: `3 s`, `0.5 s`, `120 s`.
pub(crate) fn named(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_unit() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1.5", 1500),
            ("500ms", 500),
            ("1ms", 1),
            ("0", 0),
        ] {
            assert_eq!(span(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        let bad = ["", "s", "-1", "mm", "inf", "nan", "1d", "1e3", "9999999999", "m", "ms"];
        assert!(bad.into_iter().all(|text| span(text).is_err()));
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        assert_eq!(count("0"), Ok(0));
        assert!(["-1", "", "all", "1.5"].into_iter().all(|text| count(text).is_err()));
    }

    #[test]
    fn times_are_named_in_seconds() {
        assert_eq!(
            [0, 500, 3000].map(|ms| named(Duration::from_millis(ms))),
            ["0 s", "0.5 s", "3 s"]
        );
    }
}
