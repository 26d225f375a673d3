//! Telling: what an operator wants to read in the master's own log.
//!
//! Everything is in the journal. The log gets what asks for a look: workers that
//! cannot be started, that rest after a crash, that are given up. A fleet in which
//! everything crashes does not fill a disk: beyond [`MOST`] lines in [`WINDOW`]
//! the rest is counted, and the count is told.

use std::time::Duration;

use hsu_model::event::EventKind;
use hsu_model::id::WorkerId;
use hsu_model::status::BreakerState;
use hsu_model::time::Tick;
use tracing::{info, warn};

/// The most lines in a window.
const MOST: u32 = 50;
/// How long a window lasts.
const WINDOW: Duration = Duration::from_secs(10);

/// Tells events, and no more of them than somebody reads.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    /// When the present window is over.
    over: Option<Tick>,
    lines: u32,
    withheld: u64,
}

impl Teller {
    /// Writes a line about an event that deserves one.
    pub(crate) fn tell(&mut self, now: Tick, worker: &WorkerId, kind: &EventKind) {
        if !deserves_a_line(kind) || !self.admits(now) {
            return;
        }
        // The others have no line.
        if let EventKind::SpawnFailed { run, error } = kind {
            warn!(%worker, %run, "failed to start: {error}");
        } else if let EventKind::Breaker { .. } = kind {
            warn!(%worker, "tripped: failed too often in a row, and is given up");
        } else if let EventKind::RestartScheduled { attempt, delay, .. } = kind {
            if delay.is_zero() {
                info!(%worker, attempt, "is started again at once");
            } else {
                let seconds = delay.as_secs_f64();
                info!(%worker, attempt, "backs off for {seconds:.3} s");
            }
        } else if let EventKind::LimitAction { run, limit, action } = kind {
            warn!(%worker, %run, "exceeds {limit}: {action}");
        } else if let EventKind::OomKilled { run, count, most } = kind {
            warn!(%worker, %run, count, "killed for want of memory within its limit of {most}");
        } else if let EventKind::LimitFailed { reason } = kind {
            warn!(%worker, "{reason}");
        }
    }

    fn admits(&mut self, now: Tick) -> bool {
        if self.over.is_none_or(|over| now >= over) {
            if self.withheld > 0 {
                warn!("{} more lines about workers were withheld; see the events", self.withheld);
            }
            *self = Self { over: Some(now.after(WINDOW)), lines: 0, withheld: 0 };
        }
        if self.lines == MOST {
            self.withheld += 1;
            return false;
        }
        self.lines += 1;
        true
    }
}

/// Whether an event is for the log.
fn deserves_a_line(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::SpawnFailed { .. }
            | EventKind::Breaker { to: BreakerState::Open }
            | EventKind::RestartScheduled { .. }
            | EventKind::LimitAction { .. }
            | EventKind::OomKilled { .. }
            | EventKind::LimitFailed { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_in_which_everything_crashes_gets_no_more_lines_than_a_window_has() {
        let mut teller = Teller::default();
        let admitted = (0..1000).filter(|_| teller.admits(Tick(7))).count();
        assert_eq!(u32::try_from(admitted), Ok(MOST));
        assert_eq!(teller.withheld, 1000 - u64::from(MOST));
        assert!(teller.admits(Tick(7).after(WINDOW)), "another window");
        assert_eq!(teller.withheld, 0);
    }

    #[test]
    fn only_what_asks_for_a_look_has_a_line() {
        let delay = Duration::from_secs(1);
        for (kind, deserves) in [
            (EventKind::RestartScheduled { attempt: 1, limit: 0, delay }, true),
            (EventKind::Breaker { to: BreakerState::Open }, true),
            (EventKind::Breaker { to: BreakerState::Closed }, false),
            (EventKind::Registered, false),
            (EventKind::LimitFailed { reason: "no".to_owned() }, true),
        ] {
            assert_eq!(deserves_a_line(&kind), deserves, "{kind:?}");
        }
    }
}
