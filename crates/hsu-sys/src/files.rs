//! Small files that others may meddle with: PID files, drafts and private folders.
//!
//! A file is replaced as a whole, by a rename. What is read is opened without
//! following links and without waiting for a pipe, and judged by what was opened.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

#[cfg(unix)]
#[path = "files/unix.rs"]
mod os;
#[cfg(not(unix))]
#[path = "files/elsewhere.rs"]
mod os;

/// The longest PID file that is read, in bytes.
const LONGEST_PID_FILE: u64 = 32;
/// The mode of PID files: everybody may read them.
const READABLE: u32 = 0o644;
/// The mode of private folders: the group may use the socket inside.
const PRIVATE: u32 = 0o750;
/// The mode of folders above a file of ours.
const PASSABLE: u32 = 0o755;

/// Why a PID file is not believed. No variant tells what the file holds.
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
    /// Others than its owner may write it.
    #[error("the PID file can be written by others than its owner")]
    Writable,
    /// Others may put another file in its place.
    #[error("{} can be written by everybody, who may put another PID file there", folder.display())]
    OpenFolder {
        /// The folder that it is in, or one above it.
        folder: PathBuf,
    },
    /// It holds something else than one PID.
    #[error("the PID file does not hold one decimal PID greater than 1, and nothing else")]
    Malformed,
}

/// Who may write a file, and who is about to believe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Type and permissions, as `stat` gives them.
    pub mode: u32,
    /// The owner's user id.
    pub owner: u32,
    /// The effective user id of this process.
    pub reader: u32,
}

/// Opens a file to read it, and tells who may write what was opened; none where the
/// system has no such modes. Follows links; waits for no writer of a pipe.
///
/// # Errors
/// The kernel's.
pub fn open_with_ownership(path: &Path) -> io::Result<(fs::File, Option<Ownership>)> {
    os::open_with_ownership(path)
}

/// Reads an open file from its beginning, as much as one read gives.
pub(crate) fn read_again<'b>(file: &fs::File, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let length = os::read_again(file, buffer)?;
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Opens a file to read and write it, and makes it when that is asked for. Its folder
/// may be somebody's who put a link there, or a second name of another file: no link at
/// its end is followed, and what was opened is looked at.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for what is no plain file of its own; the kernel's.
pub fn open_own(path: &Path, make: bool) -> io::Result<fs::File> {
    os::open_own(path, make)
}

/// Whether a replaced file has to outlive the loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It may be lost with the power; costs no wait for the disk.
    Volatile,
    /// It and its name are on the disk when the call returns.
    Synced,
}

/// Replaces a file: a reader sees the old content or the new one, never a part.
///
/// The new file has exactly this mode, whatever the file mode creation mask. A
/// link at `path` is replaced, not followed. The draft beside it is removed when
/// anything fails.
///
/// # Errors
/// The kernel's; the old content is untouched then.
pub fn replace(path: &Path, content: &[u8], mode: u32, lasting: Persistence) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = Path::new(&draft);
    remove(draft)?;
    let written = write_draft(draft, content, mode, lasting).and_then(|()| fs::rename(draft, path));
    if written.is_err() {
        // The first error is the one to tell.
        drop(fs::remove_file(draft));
        return written;
    }
    match (lasting, path.parent()) {
        (Persistence::Synced, Some(folder)) => os::sync_folder(folder),
        (Persistence::Synced, None) | (Persistence::Volatile, _) => Ok(()),
    }
}

fn write_draft(draft: &Path, content: &[u8], mode: u32, lasting: Persistence) -> io::Result<()> {
    // `create_new` follows no link and takes nothing that is there already.
    let mut file = OpenOptions::new().write(true).create_new(true).open(draft)?;
    os::set_mode(&file, mode)?;
    file.write_all(content)?;
    match lasting {
        Persistence::Synced => file.sync_all(),
        Persistence::Volatile => Ok(()),
    }
}

/// Removes a file; one that is gone already is fine.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes a PID file, and makes its folder when there is none.
///
/// # Errors
/// The kernel's.
pub fn write_pid_file(path: &Path, pid: u32) -> io::Result<()> {
    let text = format!("{pid}\n");
    match replace(path, text.as_bytes(), READABLE, Persistence::Volatile) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_parents(path)?;
            replace(path, text.as_bytes(), READABLE, Persistence::Volatile)
        }
        other => other,
    }
}

/// Removes a PID file; one that is gone already is fine.
///
/// # Errors
/// The kernel's.
pub fn remove_pid_file(path: &Path) -> io::Result<()> {
    remove(path)
}

/// Reads a PID file without being fooled: see [`PidFileError`]. The number is a
/// hint and no identity: whoever acts on it compares more.
///
/// # Errors
/// [`PidFileError`]; a pipe or a device is refused without waiting for it.
pub fn read_pid_file(path: &Path) -> Result<u32, PidFileError> {
    let file = os::open_plain(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(PidFileError::NotAFile);
    }
    if let Some(uid) = os::foreign_owner(&found) {
        return Err(PidFileError::Foreign { uid });
    }
    if os::is_open_to(&found, Others::GroupToo) {
        return Err(PidFileError::Writable);
    }
    if found.len() > LONGEST_PID_FILE {
        return Err(PidFileError::Malformed);
    }
    let mut text = Vec::new();
    file.take(LONGEST_PID_FILE + 1).read_to_end(&mut text)?;
    parse_pid(&text).ok_or(PidFileError::Malformed)
}

pub(crate) fn parse_pid(text: &[u8]) -> Option<u32> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    number.parse().ok().filter(|pid| *pid > 1 && *pid <= i32::MAX.unsigned_abs())
}

/// What a PID file says, and what tells whether it is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidHint {
    /// The PID.
    pub pid: u32,
    /// The owner of the file.
    pub owner: u32,
    /// When it was written.
    pub written: std::time::SystemTime,
}

/// What tells one version of a file from the next, in one cheap look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    identity: (u64, u64),
    length: u64,
    written: Option<std::time::SystemTime>,
}

/// The version of a file; none when there is none. Follows no link at its end.
#[must_use]
pub fn version(path: &Path) -> Option<FileVersion> {
    let found = fs::symlink_metadata(path).ok()?;
    let (identity, length) = (os::identity(&found), found.len());
    Some(FileVersion { identity, length, written: found.modified().ok() })
}

/// Reads a PID file that somebody else wrote. Its owner is told and not judged: whoever
/// acts on it compares the owner with the process.
///
/// # Errors
/// [`PidFileError`]; a pipe or a device is refused without waiting for it, and so is a
/// file in a folder that everybody may write.
pub fn read_foreign_pid_file(path: &Path) -> Result<PidHint, PidFileError> {
    let file = os::open_plain(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(PidFileError::NotAFile);
    }
    if os::is_open_to(&found, Others::Everybody) {
        return Err(PidFileError::Writable);
    }
    if let Some(folder) = open_folder(path)? {
        return Err(PidFileError::OpenFolder { folder: folder.to_owned() });
    }
    if found.len() > LONGEST_PID_FILE {
        return Err(PidFileError::Malformed);
    }
    let mut text = Vec::new();
    file.take(LONGEST_PID_FILE + 1).read_to_end(&mut text)?;
    let pid = parse_pid(&text).ok_or(PidFileError::Malformed)?;
    Ok(PidHint { pid, owner: os::owner(&found), written: found.modified()? })
}

/// The folder in which everybody may put another file in the place of one, or of a folder
/// above it.
fn open_folder(path: &Path) -> io::Result<Option<&Path>> {
    for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        if os::is_open_folder(&fs::metadata(folder)?) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// The file of a program, whatever its path.
///
/// # Errors
/// The kernel's.
pub fn program_id(path: &Path) -> io::Result<hsu_model::discovery::ProgramId> {
    let (device, inode) = os::identity(&fs::metadata(path)?);
    Ok(hsu_model::discovery::ProgramId { device, inode })
}

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// Opens a file of somebody else to read it: no link at its end is followed, and nobody
/// is waited for.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for what is no plain file; the kernel's.
pub fn open_plain(path: &Path) -> io::Result<fs::File> {
    let file = os::open_plain(path).map_err(|error| match error {
        PidFileError::Io(error) => error,
        PidFileError::NotAFile
        | PidFileError::Foreign { .. }
        | PidFileError::Writable
        | PidFileError::OpenFolder { .. }
        | PidFileError::Malformed => not_plain(),
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_plain()) }
}

fn not_plain() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no plain file, but a link, a device or a folder",
    )
}

/// Which file is open.
///
/// # Errors
/// The kernel's.
pub fn file_id(file: &fs::File) -> io::Result<FileId> {
    let (device, inode) = os::identity(&file.metadata()?);
    Ok(FileId { device, inode })
}

/// Which file has a name; a link at its end is a file of its own.
///
/// # Errors
/// The kernel's.
pub fn file_id_at(path: &Path) -> io::Result<FileId> {
    let (device, inode) = os::identity(&fs::symlink_metadata(path)?);
    Ok(FileId { device, inode })
}

/// Device and number of a file.
pub(crate) fn identity(found: &fs::Metadata) -> (u64, u64) {
    os::identity(found)
}

/// The owner of a file.
pub(crate) fn owner(found: &fs::Metadata) -> u32 {
    os::owner(found)
}

/// Whose permission to write is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// Everybody's.
    Everybody,
    /// Everybody's and the group's.
    GroupToo,
}

/// Makes a folder and its parents; the last one only for us and our group.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::PermissionDenied`], with the reason, for a
/// link, somebody else's folder or one that everybody may write.
pub fn private_folder(path: &Path) -> io::Result<()> {
    make_parents(path)?;
    match os::folder_builder(PRIVATE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let found = fs::symlink_metadata(path)?;
    let reason = if found.is_symlink() {
        "it is a link".to_owned()
    } else if !found.is_dir() {
        "it is not a folder".to_owned()
    } else if let Some(uid) = os::foreign_owner(&found) {
        format!(
            "it belongs to user {uid} (hint: a folder of your own: `base_directory` for \
             everything, or XDG_RUNTIME_DIR for the sockets and XDG_STATE_HOME for the state)"
        )
    } else if os::is_open_to(&found, Others::Everybody) {
        "everybody may write it (hint: chmod o-w)".to_owned()
    } else {
        return Ok(());
    };
    let text = format!("{} is not a private folder: {reason}", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn make_parents(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    os::folder_builder(PASSABLE).recursive(true).create(parent)
}

#[cfg(test)]
mod tests;
