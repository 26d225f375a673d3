//! What the fuzzers check of single values, whose readers nobody outside sees.
//!
//! Each function takes any bytes and asserts what must hold of them. The targets
//! are in `fuzz/src/targets`. Nothing of the product calls this.

use std::collections::BTreeMap;

use hsu_model::units::ByteSize;

use crate::findings::shown;
use crate::substitute::{MOST_BYTES, substitute};
use crate::value::{Refused, duration, number, size};

/// Durations, sizes and numbers: a value that is taken is within its range and reads back,
/// one that is refused says why in words that steer no terminal.
pub fn values(text: &str) {
    match duration::parse(text) {
        Ok(taken) => {
            assert!(taken <= duration::LONGEST, "{text:?} is longer than the longest");
            assert_eq!(duration::parse(&duration::shown(taken)), Ok(taken), "{text:?}");
            assert!(text.bytes().all(|byte| byte != b'-' && byte != b'+'), "{text:?} has a sign");
        }
        Err(refused) => explains(text, &refused),
    }
    match size::parse(text) {
        Ok(ByteSize(bytes)) => {
            assert_eq!(size::parse(&bytes.to_string()), Ok(ByteSize(bytes)), "{text:?}");
        }
        Err(refused) => explains(text, &refused),
    }
    match number::whole(text, -20, 65_535) {
        Ok(whole) => {
            assert!((-20..=65_535).contains(&whole), "{text:?} is out of its range");
            assert_eq!(number::whole(&whole.to_string(), -20, 65_535), Ok(whole), "{text:?}");
        }
        Err(refused) => explains(text, &refused),
    }
    match number::fraction(text) {
        Ok(fraction) => assert!(fraction.is_finite(), "{text:?} is no number"),
        Err(refused) => explains(text, &refused),
    }
    match number::octal(text, 0o777) {
        Ok(octal) => {
            assert!(octal <= 0o777, "{text:?} is out of its range");
            assert_eq!(number::octal(&format!("{octal:o}"), 0o777), Ok(octal), "{text:?}");
        }
        Err(refused) => explains(text, &refused),
    }
}

fn explains(text: &str, refused: &Refused) {
    assert!(!refused.reason.is_empty() && !refused.hint.is_empty(), "{text:?} without a reason");
    let steers =
        refused.reason.contains(char::is_control) || refused.hint.contains(char::is_control);
    assert!(!steers, "{text:?} gets into its message as it is: {refused:?}");
}

/// Substitution: bounded, once, and the same as a reader that looks at one character at a time.
pub fn substitution(text: &str, environment: &BTreeMap<String, String>) {
    let Ok(made) = substitute(text, environment) else { return };
    let Some(made) = made else {
        assert!(!text.contains("${") && !text.contains("$$"), "{text:?} was left as it is");
        return;
    };
    assert!(made.len() <= MOST_BYTES, "{} bytes are too many", made.len());
    // Without a variable in it, only `$$` changes.
    if !text.contains("${") {
        assert_eq!(made, text.replace("$$", "$"), "{text:?}");
    }
    // A variable that stands alone is its value and nothing else.
    let alone = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    if let Some(value) = alone.and_then(|name| environment.get(name)) {
        assert_eq!(&made, value, "{text:?}");
    }
}

/// What of a file is shown in a message steers no terminal.
pub fn harmless(text: &str) {
    let shown = shown(text);
    assert!(!shown.contains(char::is_control), "{text:?} is shown as {shown:?}");
}
