//! What can go wrong on the workbench itself.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a helper of the workbench could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The operating system refused something.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A condition did not come true in time.
    #[error("{what}: not within {within:?}; {last}")]
    Overdue {
        /// The condition, as a sentence.
        what: String,
        /// How long it was waited for.
        within: Duration,
        /// What was seen last.
        last: String,
    },
    /// A command ended with another exit code than 0.
    #[error("`{command}` ended with {status}: {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// Everything it wrote to standard error and output.
        output: String,
    },
    /// A program wrote something that is not the JSON it should be.
    #[error("`{command}` wrote no usable JSON: {output}")]
    Json {
        /// The command line.
        command: String,
        /// What it wrote.
        output: String,
        /// Why it is not usable.
        source: serde_json::Error,
    },
    /// This machine offers no PID namespaces to this user.
    #[error(
        "no PID namespace to be had here: {reason} (hint: run as root, or allow user namespaces)"
    )]
    NoNamespace {
        /// What `unshare` said.
        reason: String,
    },
    /// A binary of the workspace is not there and could not be built.
    #[error("no binary at {}", path.display())]
    NoBinary {
        /// Where it should be.
        path: PathBuf,
    },
    /// Processes were left over where none should be.
    #[error("processes left over: {0}")]
    LeftOver(String),
}

impl TestError {
    /// Wraps an I/O error with what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
