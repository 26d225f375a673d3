//! The text of a configuration file, and how it is read without being fooled.

use std::io;
use std::path::{Path, PathBuf};

/// The bytes of a file and the name that messages call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name in messages.
    pub name: String,
    /// The bytes as they are on disk.
    pub text: Vec<u8>,
}

/// How large and how deep a file may be. Anything beyond is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Mappings and sequences within each other.
    pub depth: usize,
    /// Values, those that aliases repeat included.
    pub nodes: usize,
    /// Aliases (`*name`).
    pub aliases: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            depth: 32,
            nodes: 50_000,
            aliases: 100,
        }
    }
}

/// Why a configuration file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, a pipe, a socket or a device.
    #[error("{} is {kind}, not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// More bytes than allowed.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        limit: usize,
    },
    /// Others may write it, and the master runs as root.
    #[error("{} can be written by others ({reason}), and root runs what it says", path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Who may write it.
        reason: &'static str,
    },
}

/// Reads a configuration file of at most 1 MiB.
///
/// # Errors
/// See [`ReadError`]. A pipe or a device is refused without waiting for it.
pub fn read(path: &Path) -> Result<Source, ReadError> {
    read_with_limit(path, Limits::default().bytes)
}

/// Reads a configuration file of at most `limit` bytes.
///
/// # Errors
/// See [`ReadError`].
pub fn read_with_limit(path: &Path, limit: usize) -> Result<Source, ReadError> {
    let _ = limit;
    let text = std::fs::read(path).map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(Source {
        name: path.display().to_string(),
        text,
    })
}
