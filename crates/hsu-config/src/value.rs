//! Single values: text to durations, sizes and numbers. Pure; a refusal says what to write.

pub(crate) mod duration;
pub(crate) mod number;
pub(crate) mod size;

/// Why a text is not such a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What is wrong, as the end of "`text` ...".
    pub(crate) reason: String,
    /// What to write instead.
    pub(crate) hint: String,
}

impl Refused {
    pub(crate) fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: hint.into() }
    }
}

/// A decimal number as `digits × 10^-places`, without rounding.
struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    /// Splits a text into the number at its beginning and the rest.
    fn split(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, rest) = text.split_at_checked(end)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        // 18 places are finer than a nanosecond of a week; digits beyond u64 are out of every range.
        let whole = whole.trim_start_matches('0');
        if whole.len() > 20 || fraction.len() > 18 {
            return None;
        }
        let mut digits: u128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits = digits * 10 + u128::from(digit - b'0');
        }
        let places = u32::try_from(fraction.len()).ok()?;
        Some((Self { digits, places }, rest))
    }

    /// The number times `unit`, cut off below 1; none beyond `u64`.
    fn times(&self, unit: u64) -> Option<u64> {
        let product = self.digits.checked_mul(u128::from(unit))?;
        u64::try_from(product / 10_u128.pow(self.places)).ok()
    }
}
