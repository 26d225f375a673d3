//! Programs: where they are, and whether they can be executed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

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
    /// It has no permission to be executed.
    #[error(
        "{} has no permission to be executed (hint: chmod +x, or `make_executable: true`)",
        path.display()
    )]
    NotExecutable {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be looked at.
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
/// # Errors
/// [`LookupError`].
pub fn find_program(
    program: &Path,
    search: Option<&OsStr>,
    current: &Path,
) -> Result<PathBuf, LookupError> {
    if program.components().count() > 1 || program.is_absolute() {
        let path = current.join(program);
        return check(&path).map(|()| path);
    }
    let folders = search.map(std::env::split_paths).into_iter().flatten();
    let mut worst = None;
    for folder in folders {
        let path = current.join(folder).join(program);
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(error @ LookupError::NotExecutable { .. }) => worst = Some(error),
            Err(_) => {}
        }
    }
    Err(worst.unwrap_or_else(|| LookupError::NotInPath { name: program.to_owned() }))
}

fn check(path: &Path) -> Result<(), LookupError> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LookupError::Missing { path: path.to_owned() });
        }
        Err(source) => {
            return Err(LookupError::Io { path: path.to_owned(), source });
        }
    };
    if found.is_dir() {
        return Err(LookupError::Folder { path: path.to_owned() });
    }
    if is_executable(&found) {
        Ok(())
    } else {
        Err(LookupError::NotExecutable { path: path.to_owned() })
    }
}

#[cfg(unix)]
fn is_executable(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
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
