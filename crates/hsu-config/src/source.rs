//! The text of a configuration file, and how it is read without being fooled.

use std::fs;
use std::io::{self, Read as _};
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
        Self { bytes: 1 << 20, depth: 32, nodes: 50_000, aliases: 100 }
    }
}

/// Why a configuration file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system refused.
    #[error("cannot read {}", named(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, a pipe, a socket or a device.
    #[error("{} is {kind}, not a regular file", named(path))]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// More bytes than allowed.
    #[error("{} has more than {limit} bytes", named(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        limit: usize,
    },
    /// Others may write it, and the master runs as root.
    #[error(
        "{} can be written by others ({reason}), and root runs what it says (hint: chown root, chmod o-w)",
        named(path)
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Who may write it.
        reason: &'static str,
    },
}

/// Reads a configuration file of at most 1 MiB, whoever may write it.
///
/// # Errors
/// See [`ReadError`]. A pipe or a device is refused without waiting for it.
pub fn read(path: &Path) -> Result<Source, ReadError> {
    read_through(path, |path| Ok(Opened { file: fs::File::open(path)?, access: None }))
}

/// Reads a configuration file of at most 1 MiB that `open` opens, for a caller that
/// knows how not to wait for a pipe that takes the place of the file meanwhile.
///
/// # Errors
/// See [`ReadError`].
pub fn read_through(
    path: &Path,
    open: impl FnOnce(&Path) -> io::Result<Opened>,
) -> Result<Source, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    // Before opening: a pipe would make us wait.
    refuse_special(path, fs::metadata(path).map_err(io)?.file_type())?;
    read_opened(path, open(path).map_err(io)?, Limits::default().bytes)
}

/// A file that is open, and what decides whether it can be trusted.
///
/// `hsu-sys` fills it in, since only the kernel's neighbour asks for owners and
/// modes, and opens without waiting for a pipe's other end.
#[derive(Debug)]
pub struct Opened {
    /// The file, at its beginning.
    pub file: fs::File,
    /// Who may write it; none where the system has no such modes.
    pub access: Option<Access>,
}

/// Who may write a file, and who is about to obey it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Type and permissions, as `stat` gives them.
    pub mode: u32,
    /// The owner's user id.
    pub owner: u32,
    /// The effective user id of this process.
    pub reader: u32,
}

/// Reads an open configuration file of at most `limit` bytes; `path` is for messages.
///
/// # Errors
/// See [`ReadError`].
pub fn read_opened(path: &Path, opened: Opened, limit: usize) -> Result<Source, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let kind = opened.file.metadata().map_err(io)?.file_type();
    refuse_special(path, kind)?;
    if let Some(access) = opened.access {
        refuse_untrusted(path, access)?;
    }
    Ok(Source { name: named(path), text: read_bounded(path, opened.file, limit)? })
}

/// Reads a configuration of at most `limit` bytes from a stream, for as long as it takes.
pub(crate) fn read_stream(
    name: &str,
    stream: impl io::Read,
    limit: usize,
) -> Result<Source, ReadError> {
    Ok(Source { name: name.to_owned(), text: read_bounded(Path::new(name), stream, limit)? })
}

fn read_bounded(path: &Path, stream: impl io::Read, limit: usize) -> Result<Vec<u8>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    // One byte more than allowed tells "too large" from "just fits".
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    stream.take(most).read_to_end(&mut text).map_err(io)?;
    if text.len() > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(text)
}

fn refuse_special(path: &Path, kind: fs::FileType) -> Result<(), ReadError> {
    if kind.is_file() {
        return Ok(());
    }
    let kind = if kind.is_dir() { "a folder" } else { "a pipe, a socket or a device" };
    Err(ReadError::NotAFile { path: path.to_owned(), kind })
}

/// What root obeys, only root may write.
fn refuse_untrusted(path: &Path, access: Access) -> Result<(), ReadError> {
    let untrusted = |reason| Err(ReadError::Untrusted { path: path.to_owned(), reason });
    if access.reader != 0 {
        return Ok(());
    }
    match access {
        Access { mode, .. } if mode & 0o002 != 0 => untrusted("it is writable by everybody"),
        Access { owner, .. } if owner != 0 => untrusted("it belongs to another user"),
        Access { .. } => Ok(()),
    }
}

/// A path as messages name it: bytes that are no text are shown as `\xff`.
pub(crate) fn named(path: &Path) -> String {
    let mut name = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        name.push_str(chunk.valid());
        name.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    name
}
