//! Owners and modes of Unix.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use super::{Others, Ownership, PidFileError};

/// Opens a file to read it; follows no link at its end and waits for no writer of a pipe.
pub(super) fn open_plain(path: &Path) -> Result<File, PidFileError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        // A link, or a socket.
        Some(libc::ELOOP | libc::ENXIO) => PidFileError::NotAFile,
        _ => PidFileError::Io(error),
    })
}

pub(super) fn read_again(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    file.read_at(buffer, 0)
}

pub(super) fn open_with_ownership(path: &Path) -> io::Result<(File, Option<Ownership>)> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    // SAFETY: no memory is passed.
    let reader = unsafe { libc::geteuid() };
    Ok((file, Some(Ownership { mode: found.mode(), owner: found.uid(), reader })))
}

pub(super) fn open_own(path: &Path, make: bool) -> io::Result<File> {
    // A pipe or a device is opened without waiting, and then refused.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(make).truncate(false).custom_flags(flags);
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => io::ErrorKind::InvalidInput.into(),
        _ => error,
    })?;
    let facts = file.metadata()?;
    if facts.is_file() && facts.nlink() == 1 {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// The owner, when it is neither us nor root.
pub(super) fn foreign_owner(found: &Metadata) -> Option<u32> {
    // SAFETY: no memory is passed.
    let own = unsafe { libc::geteuid() };
    Some(found.uid()).filter(|uid| *uid != 0 && *uid != own)
}

pub(super) fn is_open_to(found: &Metadata, others: Others) -> bool {
    let bits = match others {
        Others::Everybody => 0o002,
        Others::GroupToo => 0o022,
    };
    found.mode() & bits != 0
}

/// Whether everybody may replace what is in a folder: with the sticky bit, nobody but owners may.
pub(super) fn is_open_folder(found: &Metadata) -> bool {
    found.mode() & 0o1002 == 0o002
}

pub(super) fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

pub(super) fn owner(found: &Metadata) -> u32 {
    found.uid()
}

pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

pub(super) fn folder_builder(mode: u32) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    builder
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
