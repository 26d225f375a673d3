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
    /// It is done, and nobody but this master knows: the disk of the state takes nothing. It
    /// is written as soon as the disk does.
    Unwritten {
        /// The state.
        state: WorkerState,
        /// One sentence for people.
        message: String,
        /// Why it is not written.
        reason: String,
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
    /// It cannot be made durable at present.
    NotDurable {
        /// Why not.
        reason: String,
        /// What the disk lacks.
        want: Want,
        /// Whether it was begun, and goes on when the disk does.
        begun: Begun,
    },
    /// The master is ending, and none comes after it.
    ShuttingDown,
    /// Another master takes over, and is to be asked.
    BeingReplaced,
}

/// What the disk of the state lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Room.
    Room,
    /// Something else: it fails, or takes nothing.
    Health,
}

/// How far a wish had come when the disk took it not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing of it was done, and nothing will be.
    No,
    /// It waits for the disk, and is carried out then.
    Waits,
}
