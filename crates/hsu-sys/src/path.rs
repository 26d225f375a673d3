//! Programs: where they are, and whether they can be executed.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

/// Where a bare name is looked up when there is no `PATH`.
// Source: environ(7) and execvp(3): glibc's confstr(_CS_PATH).
#[cfg(unix)]
const USUAL_FOLDERS: &str = "/bin:/usr/bin";
#[cfg(not(unix))]
const USUAL_FOLDERS: &str = "";

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Nothing is there.
    #[error("no program at {} (hint: check `executable_path`)", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// No folder of `PATH` has it.
    #[error("no program {} in PATH (hint: give its full path, or set PATH for the worker)", name.display())]
    NotInPath {
        /// Its name.
        name: PathBuf,
    },
    /// It is a folder.
    #[error("{} is a folder, not a program", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
    },
    /// It is a pipe, a socket or a device.
    #[error("{} is not a regular file, so it is no program", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It has no permission to be executed.
    #[error(
        "{} has no permission to be executed (hint: chmod +x, or `make_executable: true`)",
        path.display()
    )]
    NotExecutable {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be looked at, for example because a folder above it is closed to us.
    #[error("cannot look at {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Finds a program as `execvp` would: a name without a slash in `search`, the
/// value of `PATH`; any other path from `current`.
///
/// Whether the user that a worker becomes may execute it is the kernel's to say.
///
/// # Errors
/// [`LookupError`]. A name that is found only without permission is
/// [`LookupError::NotExecutable`], not [`LookupError::NotInPath`].
pub fn find_program(
    program: &Path,
    search: Option<&OsStr>,
    current: &Path,
) -> Result<PathBuf, LookupError> {
    if has_slash(program) {
        return try_names(&current.join(program));
    }
    let not_in_path = || LookupError::NotInPath { name: program.to_owned() };
    if program.as_os_str().is_empty() {
        return Err(not_in_path());
    }
    let mut worst = None;
    for folder in std::env::split_paths(search.unwrap_or_else(|| OsStr::new(USUAL_FOLDERS))) {
        match try_names(&current.join(folder).join(program)) {
            Ok(path) => return Ok(path),
            Err(error @ LookupError::NotExecutable { .. }) => worst = worst.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(worst.unwrap_or_else(not_in_path))
}

fn has_slash(program: &Path) -> bool {
    let is_separator = |byte: &u8| std::path::is_separator(char::from(*byte));
    program.as_os_str().as_encoded_bytes().iter().any(is_separator)
}

/// A path as it is, and where programs have an ending in their names, with each of those.
fn try_names(path: &Path) -> Result<PathBuf, LookupError> {
    let first = check(path);
    if first.is_ok() || !cfg!(windows) {
        return first.map(|()| path.to_owned());
    }
    let endings = std::env::var_os("PATHEXT").unwrap_or_else(|| OsString::from(".EXE;.CMD;.BAT"));
    let mut named = std::env::split_paths(&endings).map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    });
    let found = named.find(|path| check(path).is_ok());
    found.map_or_else(|| first.map(|()| path.to_owned()), Ok)
}

fn check(path: &Path) -> Result<(), LookupError> {
    let path_again = || path.to_owned();
    let found = std::fs::metadata(path).map_err(|source| {
        let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        if missing.contains(&source.kind()) {
            LookupError::Missing { path: path_again() }
        } else {
            LookupError::Io { path: path_again(), source }
        }
    })?;
    if found.is_dir() {
        Err(LookupError::Folder { path: path_again() })
    } else if !found.is_file() {
        Err(LookupError::NotAFile { path: path_again() })
    } else if is_executable(&found) {
        Ok(())
    } else {
        Err(LookupError::NotExecutable { path: path_again() })
    }
}

#[cfg(unix)]
fn is_executable(found: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    true
}

/// Gives a program the permission to be executed by whoever may read it.
///
/// # Errors
/// [`LookupError::Io`].
#[cfg(unix)]
pub fn make_executable(path: &Path) -> Result<(), LookupError> {
    use std::os::unix::fs::PermissionsExt as _;
    let io = |source| LookupError::Io { path: path.to_owned(), source };
    let mut permissions = std::fs::metadata(path).map_err(io)?.permissions();
    let mode = permissions.mode();
    permissions.set_mode(mode | (mode & 0o444) >> 2);
    std::fs::set_permissions(path, permissions).map_err(io)
}

/// Every file can be executed on this platform.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn make_executable(_: &Path) -> Result<(), LookupError> {
    Ok(())
}

#[cfg(test)]
mod tests;
