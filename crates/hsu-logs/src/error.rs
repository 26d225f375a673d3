//! What can go wrong between a spool and its readers.

use std::io;
use std::path::{Path, PathBuf};

/// Why a spool, a cursor or an output could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The path is a link, a device, a pipe, a folder, or has a second name.
    #[error("{} is not a plain file of its own", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The engine's thread could not be started.
    #[error("cannot start the log thread")]
    Thread {
        /// Why not.
        source: io::Error,
    },
}

impl LogError {
    /// For `map_err`: names what was tried on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}
