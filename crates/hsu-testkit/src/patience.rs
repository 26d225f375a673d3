//! Patience: waiting for a condition with a deadline, never for a fixed time.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::TestError;

/// The rest between two looks at the condition, at first.
const FIRST_REST: Duration = Duration::from_millis(2);
/// And at most; rests double until here, so that a long wait costs little CPU.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Asks `probe` until it answers `Ok`, at most for `within`.
///
/// The probe says on failure what it saw; the last such text is in the error,
/// so a red test tells how far it got. The probe is asked at least once, and a
/// last time after the deadline.
///
/// # Errors
/// [`TestError::Overdue`] with `what` and the probe's last words.
pub fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T, TestError> {
    let start = Instant::now();
    let mut rest = FIRST_REST;
    loop {
        let last_look = start.elapsed() >= within;
        match probe() {
            Ok(value) => return Ok(value),
            Err(last) if last_look => {
                return Err(TestError::Overdue { what: what.to_owned(), within, last });
            }
            Err(_) => {}
        }
        thread::sleep(rest.min(within.saturating_sub(start.elapsed())));
        rest = (rest * 2).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait_with_its_value() {
        let mut looks = 0;
        let got = eventually("three looks", Duration::from_secs(60), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
        });
        assert_eq!(got.unwrap(), 3);
    }

    #[test]
    fn a_condition_that_stays_false_is_reported_with_what_was_seen_last() {
        let error = eventually::<()>("the sea parts", Duration::ZERO, || Err("still wet".into()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the sea parts"), "{error}");
        assert!(error.contains("still wet"), "{error}");
    }
}
