//! The rest of a master before it starts the next keeper, or looks for it.

use std::time::Duration;

/// The rest after a keeper that was lost soon.
const FIRST: Duration = Duration::from_millis(5);
/// The longest rest.
const LONGEST: Duration = Duration::from_secs(1);
/// A keeper that lived for this long is replaced at once.
pub(super) const STEADY: Duration = Duration::from_millis(500);

/// How long to rest: nothing after a keeper that has lived for a while, and twice as long
/// as before after each one that has not.
#[derive(Debug, Default)]
pub(super) struct Rest(Duration);

impl Rest {
    /// After a keeper that has lived for `lived`.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        let is_steady = lived >= STEADY;
        self.0 = if is_steady { Duration::ZERO } else { (self.0 * 2).clamp(FIRST, LONGEST) };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepers_that_are_lost_again_and_again_are_followed_less_and_less_often() {
        let mut rest = Rest::default();
        assert_eq!(rest.after(STEADY), Duration::ZERO);
        let rests: Vec<_> = (0..10).map(|_| rest.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(rest.after(STEADY), Duration::ZERO, "one that lives makes good for all");
        assert_eq!(rest.after(Duration::ZERO), FIRST);
    }
}
