//! Small files: PID files and private folders.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// The longest PID file that is read, in bytes.
const LONGEST_PID_FILE: u64 = 32;

/// Why a PID file is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PidFileError {
    /// It cannot be read.
    #[error("cannot read the PID file")]
    Io(#[from] io::Error),
    /// It is a folder, a pipe, a link or a device.
    #[error("the PID file is not a regular file")]
    NotAFile,
    /// It belongs to somebody else.
    #[error("the PID file belongs to user {uid}")]
    Foreign {
        /// Whose it is.
        uid: u32,
    },
    /// It holds something else than one PID.
    #[error("the PID file does not hold one decimal PID greater than 1")]
    Malformed,
}

/// Writes a PID file: a reader sees the old content or the new one, never a part.
///
/// # Errors
/// The kernel's.
pub fn write_pid_file(path: &Path, pid: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    if !folder.exists() {
        fs::create_dir_all(folder)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = Path::new(&draft);
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // `create_new` follows no link and takes nothing that is there already.
    let mut file = OpenOptions::new().write(true).create_new(true).open(draft)?;
    file.write_all(format!("{pid}\n").as_bytes())?;
    fs::rename(draft, path)
}

/// Removes a PID file; one that is gone already is fine.
///
/// # Errors
/// The kernel's.
pub fn remove_pid_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Reads a PID file without being fooled: see [`PidFileError`].
///
/// # Errors
/// [`PidFileError`]; a pipe or a device is refused without waiting for it.
pub fn read_pid_file(path: &Path) -> Result<u32, PidFileError> {
    let kind = fs::symlink_metadata(path)?;
    if !kind.is_file() {
        return Err(PidFileError::NotAFile);
    }
    check_owner(&kind)?;
    let mut text = Vec::new();
    fs::File::open(path)?.take(LONGEST_PID_FILE + 1).read_to_end(&mut text)?;
    parse_pid(&text).ok_or(PidFileError::Malformed)
}

fn parse_pid(text: &[u8]) -> Option<u32> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    number.parse().ok().filter(|pid| *pid > 1 && *pid <= i32::MAX.unsigned_abs())
}

#[cfg(unix)]
fn check_owner(file: &fs::Metadata) -> Result<(), PidFileError> {
    use std::os::unix::fs::MetadataExt as _;
    // SAFETY: no memory is passed.
    let own = unsafe { libc::geteuid() };
    let uid = file.uid();
    if uid == 0 || uid == own { Ok(()) } else { Err(PidFileError::Foreign { uid }) }
}

#[cfg(not(unix))]
fn check_owner(_: &fs::Metadata) -> Result<(), PidFileError> {
    Ok(())
}

/// Makes a folder and its parents; the last one only for us.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::PermissionDenied`] for a link or somebody else's folder.
pub fn private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let found = fs::symlink_metadata(path)?;
    let is_ours = check_owner(&found).is_ok();
    if found.is_dir() && is_ours {
        return Ok(());
    }
    let text = format!("{} is a link or belongs to somebody else", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests;
