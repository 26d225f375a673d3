//! The exit codes of `hsu-master`; `--help` lists them.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As asked.
    Success,
    /// Something failed while running.
    Failure,
    /// The command line or the configuration is wrong.
    Invalid,
    /// Another master owns the state or the runtime folder.
    Owned,
    /// Another master has taken over.
    Replaced,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0_u8,
            Exit::Failure => 1,
            Exit::Invalid => 2,
            Exit::Owned => 3,
            Exit::Replaced => 4,
        })
    }
}
