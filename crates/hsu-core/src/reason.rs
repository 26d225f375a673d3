//! Reasons: why a worker entered a state, small enough to keep many.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use hsu_model::exit::Exit;

/// Why a worker entered a state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// What the record of an earlier master says.
    Earlier(String),
    /// What the search for its process came to.
    Sought(String),
    /// Its process is looked for.
    Looking,
    /// Its process ended.
    Lost(Exit),
    /// The configuration names it.
    Configured,
    /// It shall run.
    Wanted,
    /// It shall not run.
    Unwanted,
    /// The configuration does not name it any more.
    Unconfigured,
    /// An operator asked for it.
    Operator(&'static str),
    /// The master is ending.
    Shutdown,
    /// Its process runs.
    Started,
    /// Its process of an earlier life of the master was found.
    Adopted,
    /// It ended, and its policy does not restart it.
    Final(Exit),
    /// It ended, and is started again at once.
    RestartAtOnce(Exit),
    /// It ended, and rests before the next attempt.
    Rest {
        /// How it ended.
        exit: Exit,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The rest.
        delay: Duration,
    },
    /// The rest is over.
    RestOver,
    /// All starts of the master together are too many at present.
    StartRate,
    /// It ended once more than its policy allows.
    TooManyFailures {
        /// How it ended.
        exit: Exit,
        /// The attempts that were made.
        attempts: u32,
    },
    /// The open breaker allows one trial.
    Trial,
    /// It could not be started.
    NotStarted(String),
    /// Its health checks failed, and which.
    Unhealthy(String),
    /// It exceeded a resource limit.
    OverLimit,
    /// It did not say in time that it is ready.
    NotReadyInTime,
    /// It did not say in time that it lives.
    Silent,
    /// It said that it is beyond recovery.
    SaidBroken,
    /// It ended as it was told to.
    Ended(Exit),
    /// Its processes did not end, although they were killed.
    Unkillable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earlier(text) => f.write_str(text),
            Self::Sought(text) => f.write_str(text),
            Self::Looking => f.write_str("its process is looked for"),
            Self::Lost(exit) => write!(f, "its process ended: {exit}"),
            Self::Configured => f.write_str("named by the configuration"),
            Self::Wanted => f.write_str("it shall run"),
            Self::Unwanted => f.write_str("it shall not run"),
            Self::Unconfigured => f.write_str("the configuration does not name it any more"),
            Self::Operator(verb) => write!(f, "an operator asked for {verb}"),
            Self::Shutdown => f.write_str("the master is ending"),
            Self::Started => f.write_str("its process runs"),
            Self::Adopted => f.write_str("its process was found running and taken over"),
            Self::Final(exit) => write!(f, "{exit}, and its policy does not restart it"),
            Self::RestartAtOnce(exit) => write!(f, "{exit}, restarted at once"),
            Self::Rest { exit, attempt, delay } => {
                write!(f, "{exit}, attempt {attempt} after {:.3} s", delay.as_secs_f64())
            }
            Self::RestOver => f.write_str("the rest before this attempt is over"),
            Self::StartRate => f.write_str("waits for the start rate of the whole master"),
            Self::TooManyFailures { exit, attempts } => {
                write!(f, "{exit} after {attempts} attempts in a row, gave up")
            }
            Self::Trial => f.write_str("the open breaker allows one trial"),
            Self::NotStarted(error) => write!(f, "could not be started: {error}"),
            Self::Unhealthy(why) => write!(f, "unhealthy: {why}"),
            Self::NotReadyInTime => f.write_str("it did not say in time that it is ready"),
            Self::Silent => f.write_str("it did not say in time that it lives"),
            Self::SaidBroken => f.write_str("it said that it is beyond recovery"),
            Self::OverLimit => f.write_str("it exceeded a resource limit"),
            Self::Ended(exit) => write!(f, "ended as told: {exit}"),
            Self::Unkillable => f.write_str("killed, and still there"),
        }
    }
}
