//! Handovers: one master goes, the next one serves.
//!
//! A master that is lost is back within milliseconds, and one that is replaced
//! refuses what it is asked. Neither is the end of what an operator wanted: whoever
//! asked tries the next master, for [`RETURNS_WITHIN`] at most.

use std::time::{Duration, Instant};

use crate::exit::Failure;

/// How long after one master has gone the next one may take.
const RETURNS_WITHIN: Duration = Duration::from_secs(5);
/// The rest before the next look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the next master has been waited for.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    since: Option<Instant>,
}

impl Handover {
    /// A master answers.
    pub(crate) fn over(&mut self) {
        self.since = None;
    }

    /// Rests and says yes when another try may meet the next master.
    ///
    /// Only a master that answered can hand over: where none is at all, nobody waits.
    pub(crate) fn goes_on(&mut self, failure: &Failure) -> bool {
        let may_try = match self.since {
            None => failure.is_farewell(),
            Some(since) => {
                (failure.is_farewell() || failure.is_absence()) && since.elapsed() < RETURNS_WITHIN
            }
        };
        if may_try {
            self.since.get_or_insert_with(Instant::now);
            std::thread::sleep(LOOK_EVERY);
        }
        may_try
    }
}
