//! Answers: what became of a command.

use alloc::string::String;

use hsu_model::id::WorkerId;
use hsu_model::status::WorkerState;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done; the worker is in this state now.
    Done {
        /// The state.
        state: WorkerState,
        /// One sentence for people.
        message: String,
    },
    /// It was not done, or not to its end.
    Refused(Refusal),
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No worker has this name.
    Unknown {
        /// The name.
        worker: WorkerId,
    },
    /// The worker's state does not allow it.
    Conflict {
        /// The state it is in.
        state: WorkerState,
        /// What was asked.
        operation: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// A later command took its place.
    Superseded {
        /// What was asked later.
        by: &'static str,
    },
    /// It was tried and failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// The master is ending.
    ShuttingDown,
}
