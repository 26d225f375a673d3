//! Ids: the names of workers and the numbers of runs.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;

/// The name of a worker: 1 to 64 ASCII letters, digits, `-` or `_`.
///
/// It is also a file name on every platform (PID file, log file), so it never
/// starts with `-` and is never a name that Windows reserves for a device. Everything that
/// is told carries it, so a clone costs a count and no memory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);

/// Why a text is not a worker id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidWorkerId {
    /// The text has no characters.
    Empty,
    /// The text has more than [`WorkerId::MAX_LENGTH`] characters.
    TooLong,
    /// This character is not allowed in an id.
    Character(char),
    /// The first character is `-`, so that commands would take it for an option.
    LeadingDash,
    /// Windows reserves the name for a device.
    Reserved,
}

impl WorkerId {
    /// The most characters that an id has.
    pub const MAX_LENGTH: usize = 64;

    /// Checks a text and makes it an id.
    ///
    /// # Errors
    /// [`InvalidWorkerId`] with the first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidWorkerId> {
        if text.is_empty() {
            return Err(InvalidWorkerId::Empty);
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if let Some(c) = text.chars().find(|c| !allowed(c)) {
            return Err(InvalidWorkerId::Character(c));
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidWorkerId::TooLong);
        }
        if text.starts_with('-') {
            return Err(InvalidWorkerId::LeadingDash);
        }
        if is_windows_device(text) {
            return Err(InvalidWorkerId::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Source: Microsoft, "Naming Files, Paths, and Namespaces".
fn is_windows_device(text: &str) -> bool {
    let same = |name: &str| text.eq_ignore_ascii_case(name);
    let numbered = |prefix: &str| {
        text.len() == 4
            && text.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
            && text.as_bytes().get(3).is_some_and(|digit| matches!(digit, b'1'..=b'9'))
    };
    ["con", "prn", "aux", "nul"].into_iter().any(same) || numbered("com") || numbered("lpt")
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for WorkerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvalidWorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a worker id is not empty"),
            Self::TooLong => {
                write!(f, "a worker id has at most {} characters", WorkerId::MAX_LENGTH)
            }
            Self::Character(c) => {
                write!(f, "a worker id has ASCII letters, digits, `-` and `_` only, not {c:?}")
            }
            Self::LeadingDash => f.write_str("a worker id does not start with `-`"),
            Self::Reserved => f.write_str("the name is reserved for a device on Windows"),
        }
    }
}

impl core::error::Error for InvalidWorkerId {}

/// One attempt of a worker, from spawn to exit. Never reused, not even by another worker.
///
/// Zero is not a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl RunId {
    /// The last number that is ever believed: a master that gave a billion a second would reach
    /// it after three centuries. What claims a later one was damaged, or lies.
    pub const LAST: Self = Self(u64::MAX / 2);
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_a_file_system_or_a_command_line_would_misread_is_refused() {
        let long = "x".repeat(65);
        for (text, reason) in [
            ("", InvalidWorkerId::Empty),
            (long.as_str(), InvalidWorkerId::TooLong),
            ("..", InvalidWorkerId::Character('.')),
            ("a/b", InvalidWorkerId::Character('/')),
            ("a b", InvalidWorkerId::Character(' ')),
            ("caf\u{e9}", InvalidWorkerId::Character('\u{e9}')),
            ("-rf", InvalidWorkerId::LeadingDash),
            ("CON", InvalidWorkerId::Reserved),
            ("com7", InvalidWorkerId::Reserved),
        ] {
            assert_eq!(WorkerId::new(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn ordinary_ids_are_taken() {
        for text in ["worker-1", "worker_1", "worker123", "_x", "com0", "console"] {
            assert!(WorkerId::new(text).is_ok(), "{text:?}");
        }
    }
}
