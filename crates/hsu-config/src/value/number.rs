//! Numbers: decimal digits, and for shares and factors a fraction. No `0x`, no `1e3`,
//! no infinity: where "no limit" is meant, it is spelled out.

use super::Refused;

/// Reads a whole number from `least` to `most`.
pub(crate) fn whole(text: &str, least: i64, most: i64) -> Result<i64, Refused> {
    let hint = || format!("write a whole number from {least} to {most}");
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refused::new("is not a whole number", hint()));
    }
    match text.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(Refused::new("is out of range", hint())),
    }
}

/// Reads a number with an optional fraction.
pub(crate) fn fraction(text: &str) -> Result<f64, Refused> {
    let hint = "write a number such as `2` or `1.5`";
    let digits = text.strip_prefix('-').unwrap_or(text);
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let first = digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(number) if decimal && first && number.is_finite() => Ok(number),
        Ok(_) | Err(_) => Err(Refused::new("is not a number", hint)),
    }
}

/// Reads octal digits, as `0022`, `022`, `22` or `0o22`.
pub(crate) fn octal(text: &str, most: u32) -> Result<u32, Refused> {
    let hint = format!("write octal digits up to {most:04o}, such as `0022`");
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(digits, 8) {
        Ok(number) if is_octal && number <= most => Ok(number),
        Ok(_) if is_octal => Err(Refused::new("is out of range", hint)),
        Ok(_) | Err(_) => Err(Refused::new("is not octal", hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_decimal_digits_within_their_range() {
        assert_eq!(whole("0", 0, 5), Ok(0));
        assert_eq!(whole("-20", -20, 19), Ok(-20));
        for (text, reason) in [
            ("3x", "not a whole number"),
            ("3.5", "not a whole number"),
            ("1e3", "not a whole number"),
            ("0x10", "not a whole number"),
            ("+1", "not a whole number"),
            ("", "not a whole number"),
            (".nan", "not a whole number"),
            ("-1", "out of range"),
            ("65536", "out of range"),
            ("9223372036854775808", "out of range"),
            ("18446744073709551616", "out of range"),
        ] {
            let refused = whole(text, 0, 65535).expect_err(text);
            assert!(refused.reason.contains(reason), "{text}: {}", refused.reason);
            assert!(refused.hint.contains("from 0 to 65535"), "{text}");
        }
    }

    #[test]
    fn fractions_are_finite_decimal_numbers() {
        assert_eq!(fraction("1"), Ok(1.0));
        assert_eq!(fraction("1.5"), Ok(1.5));
        assert_eq!(fraction("-2"), Ok(-2.0));
        for text in ["1e999", ".inf", "inf", ".nan", "NaN", "", ".5", "1.2.3", "0x1", "1,5"] {
            assert!(fraction(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mode_is_read_in_octal_whatever_its_prefix() {
        for text in ["0022", "022", "22", "0o22"] {
            assert_eq!(octal(text, 0o777), Ok(0o22), "{text}");
        }
        for text in ["0089", "1000", "0x12", "-1", ""] {
            assert!(octal(text, 0o777).is_err(), "{text}");
        }
    }
}
