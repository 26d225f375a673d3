//! Handovers: one master goes, the next one serves.
//!
//! A master that is lost is back within milliseconds, and one that is replaced
//! refuses what it is asked. Neither is the end of what an operator wanted: whoever
//! asked tries the next master, for [`RETURNS_WITHIN`] at most.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use hsu_sys::local::LocalStream;

use crate::exit::Failure;

/// How long after one master has gone the next one may take: the keeper gives a candidate
/// five seconds, and then the old master needs a moment to go on or to begin anew.
const RETURNS_WITHIN: Duration = Duration::from_secs(8);
/// How long the next one may take where a master was killed that nobody has met; its
/// keeper, if it has one, takes a fraction of that.
const APPEARS_WITHIN: Duration = Duration::from_secs(2);
/// The rest before the next look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is known about the master that was asked.
#[derive(Debug, Default)]
pub(crate) enum Handover {
    /// None has answered yet, so there may be none.
    #[default]
    Unmet,
    /// One has answered.
    Serving,
    /// It has gone since.
    Gone(Instant),
}

impl Handover {
    /// A master has answered, so that one is expected.
    pub(crate) fn met() -> Self {
        Self::Serving
    }

    /// A master answers.
    pub(crate) fn over(&mut self) {
        *self = Self::Serving;
    }

    /// Rests and says yes when another try may meet the next master.
    ///
    /// Only a master that answered can hand over: where none is at all, nobody waits.
    pub(crate) fn goes_on(&mut self, failure: &Failure) -> bool {
        let (may_try, since) = match self {
            Self::Unmet => (failure.is_farewell(), Instant::now()),
            Self::Serving => (failure.is_farewell() || failure.is_absence(), Instant::now()),
            Self::Gone(since) => {
                let is_gap = failure.is_farewell() || failure.is_absence();
                (is_gap && since.elapsed() < RETURNS_WITHIN, *since)
            }
        };
        if may_try {
            *self = Self::Gone(since);
            std::thread::sleep(LOOK_EVERY);
        }
        may_try
    }

    /// Asks until a master answers.
    pub(crate) fn ask<T>(
        &mut self,
        mut question: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            match question() {
                Ok(answer) => {
                    self.over();
                    return Ok(answer);
                }
                Err(failure) if self.goes_on(&failure) => {}
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// The return of a master that was killed: its socket is there, and nobody listens.
/// One that ends takes its socket along.
#[derive(Debug, Default)]
pub(crate) struct Return {
    since: Option<Instant>,
}

impl Return {
    /// Rests and says yes when another look may find a master.
    pub(crate) fn may_come(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let may_come = since.elapsed() < APPEARS_WITHIN;
        if may_come {
            std::thread::sleep(LOOK_EVERY);
        }
        may_come
    }

    /// Connects, to the master or to the one that comes after it.
    ///
    /// # Errors
    /// As the last attempt.
    pub(crate) fn connect(
        &mut self,
        path: &Path,
        patience: Option<Duration>,
    ) -> io::Result<LocalStream> {
        loop {
            match LocalStream::connect(path, patience) {
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused && self.may_come() => {}
                outcome => return outcome,
            }
        }
    }
}
