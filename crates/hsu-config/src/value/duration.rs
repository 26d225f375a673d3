//! Durations: `1h30m`, `1.5s`, `250ms`, `3d`, `2w`.
//!
//! The notation of Go's `time.ParseDuration` and `d` (24 hours) and `w` (7 days)
//! beside it. No sign, no bare number, nothing beyond 292 years (Go's limit).

use std::time::Duration;

use super::{Decimal, Refused};

/// The longest duration.
pub(crate) const LONGEST: Duration = Duration::from_nanos(i64::MAX as u64);

const UNITS: [(&str, u64); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
    ("w", 7 * 86_400 * 1_000_000_000),
];

const HINT: &str = "write a number and a unit, such as `500ms`, `30s`, `5m`, `1h30m` or `7d`";

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, Refused> {
    let fail = |reason: &str| Refused::new(reason, HINT);
    if text.is_empty() {
        return Err(fail("is not a duration"));
    }
    if text.starts_with(['-', '+']) {
        return Err(fail("has a sign, and a duration has none"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(without_unit(text));
    }
    if text.contains(char::is_whitespace) {
        return Err(fail("has a space, and a duration has none"));
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = Decimal::split(rest).ok_or_else(|| fail("is not a duration"))?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(fail("ends with a number that has no unit"));
        }
        let Some((_, nanoseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(unknown_unit(unit));
        };
        total = number
            .times(*nanoseconds)
            .and_then(|part| total.checked_add(part))
            .filter(|total| Duration::from_nanos(*total) <= LONGEST)
            .ok_or_else(|| Refused::new("is longer than 292 years", HINT))?;
        rest = after;
    }
    Ok(Duration::from_nanos(total))
}

fn without_unit(text: &str) -> Refused {
    match text {
        "0" => Refused::new("has no unit", "write `0s`"),
        _ => Refused::new("has no unit", format!("write `{text}s` for seconds, or `{text}ms`")),
    }
}

fn unknown_unit(unit: &str) -> Refused {
    let hint = match unit {
        "sec" | "secs" | "second" | "seconds" | "S" => "write `s` for seconds",
        "min" | "mins" | "minute" | "minutes" | "M" => "write `m` for minutes",
        "hour" | "hours" | "H" => "write `h` for hours",
        "day" | "days" | "D" => "write `d` for days",
        _ => HINT,
    };
    let unit = crate::findings::shown(unit);
    Refused::new(format!("has the unit `{unit}`, which no duration has"), hint)
}

/// Writes a duration the way [`parse`] reads it, for messages.
pub(crate) fn shown(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    // Microseconds are written `us`; the two signs for micro read the same.
    let units = UNITS.iter().rev().filter(|(name, _)| name.is_ascii());
    let fits = |unit: u64| nanoseconds.is_multiple_of(u128::from(unit)) && nanoseconds > 0;
    match units.into_iter().find(|(_, unit)| fits(*unit)) {
        Some((name, unit)) => format!("{}{name}", nanoseconds / u128::from(*unit)),
        None => String::from("0s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_mean_what_go_means_and_days_and_weeks_beside_it() {
        for (text, nanoseconds) in [
            ("300ms", 300_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2h45m", 9_900_000_000_000),
            ("1h0m0.5s", 3_600_500_000_000),
            (".5s", 500_000_000),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("7ns", 7),
            ("0s", 0),
            ("3d", 259_200_000_000_000),
            ("2w", 1_209_600_000_000_000),
            ("1d12h", 129_600_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_a_way_out() {
        for (text, reason, hint) in [
            ("5", "has no unit", "`5s`"),
            ("0", "has no unit", "`0s`"),
            ("5 s", "has a space", "`30s`"),
            ("-5s", "has a sign", "`30s`"),
            ("1e9h", "unit `e`", "unit"),
            ("\u{221e}", "is not a duration", "`30s`"),
            ("", "is not a duration", "`30s`"),
            ("5 minutes", "has a space", "`5m`"),
            ("5min", "unit `min`", "`m`"),
            ("1.2.3s", "is not a duration", "`30s`"),
            ("s", "is not a duration", "`30s`"),
            ("300y", "unit `y`", "`7d`"),
            ("20000w", "292 years", "`7d`"),
            ("99999999999999999999s", "292 years", "`7d`"),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.reason.contains(reason), "{text}: {}", refused.reason);
            assert!(refused.hint.contains(hint), "{text}: {}", refused.hint);
        }
    }

    #[test]
    fn a_shown_duration_reads_back() {
        for text in ["0s", "250ms", "20s", "90s", "5m", "7d", "3w", "1ns"] {
            let duration = parse(text).unwrap();
            assert_eq!(parse(&shown(duration)), Ok(duration), "{text}");
        }
        assert_eq!(shown(Duration::from_secs(300)), "5m");
    }
}
