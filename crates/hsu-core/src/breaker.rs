//! The breaker: stops restarting what keeps failing, and says so.

use hsu_model::status::BreakerState;
use hsu_model::time::Tick;

/// The breaker of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// Restarts are allowed.
    #[default]
    Closed,
    /// None is.
    Open {
        /// When one trial is allowed; none is never.
        trial_at: Option<Tick>,
    },
    /// One trial is under way.
    HalfOpen,
}

impl Breaker {
    /// The state without its data.
    #[must_use]
    pub fn state(self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen => BreakerState::HalfOpen,
        }
    }
}
