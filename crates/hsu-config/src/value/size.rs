//! Sizes: `1048576`, `512KB` (thousands), `1.5GiB` (1,024s).

use hsu_model::units::ByteSize;

use super::{Decimal, Refused};

const UNITS: [(&str, u64); 10] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("", 1),
];

const HINT: &str = "write bytes, or a number and a unit such as `100MB` (10^6) or `100MiB` (2^20)";

/// Reads a size. A space before the unit is allowed; upper and lower case are the same.
pub(crate) fn parse(text: &str) -> Result<ByteSize, Refused> {
    if text.starts_with(['-', '+']) {
        return Err(Refused::new("has a sign, and a size has none", HINT));
    }
    let too_large = || Refused::new("is more than 16 EiB", HINT);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if digits > 20 {
        return Err(too_large());
    }
    let (number, unit) = Decimal::split(text).ok_or_else(|| Refused::new("is not a size", HINT))?;
    let unit = unit.trim_start_matches(' ');
    let Some((_, bytes)) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)) else {
        return Err(unknown_unit(text, unit));
    };
    if number.places > 0 && *bytes == 1 {
        return Err(Refused::new("is a part of a byte", HINT));
    }
    number.times(*bytes).map(ByteSize).ok_or_else(too_large)
}

fn unknown_unit(text: &str, unit: &str) -> Refused {
    let letter = match unit {
        "k" | "K" => Some('K'),
        "m" | "M" => Some('M'),
        "g" | "G" => Some('G'),
        "t" | "T" => Some('T'),
        _ => None,
    };
    match letter {
        Some(letter) => {
            let number = text.trim_end_matches(unit);
            let hint = format!(
                "write `{number}{letter}B` (powers of 10) or `{number}{letter}iB` (powers of 2)"
            );
            Refused::new(format!("has the unit `{unit}`, which means two things"), hint)
        }
        None => Refused::new("is not a size", HINT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_binary_units_differ() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1_048_576),
            ("1MB", 1_000_000),
            ("1MiB", 1_048_576),
            ("512KB", 512_000),
            ("100 MB", 100_000_000),
            ("1gb", 1_000_000_000),
            ("1GiB", 1 << 30),
            ("1.5KiB", 1_536),
            ("2TB", 2_000_000_000_000),
            ("7B", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_a_way_out() {
        for (text, reason, hint) in [
            ("99999999999GiB", "16 EiB", "MiB"),
            ("18446744073709551616", "16 EiB", "MiB"),
            ("999999999999999999999999999", "16 EiB", "MiB"),
            ("-1", "has a sign", "MB"),
            ("10M", "means two things", "`10MB`"),
            ("10k", "means two things", "`10KiB`"),
            ("1.5", "part of a byte", "MB"),
            ("ten", "is not a size", "MB"),
            ("", "is not a size", "MB"),
            ("1MBB", "is not a size", "MB"),
            ("0x10", "is not a size", "MB"),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.reason.contains(reason), "{text}: {}", refused.reason);
            assert!(refused.hint.contains(hint), "{text}: {}", refused.hint);
        }
    }
}
