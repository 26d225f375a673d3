//! Files where owners and modes are another matter: access lists of the folder decide.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use super::{Others, Ownership, PidFileError};

pub(super) fn open_plain(path: &Path) -> Result<File, PidFileError> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(PidFileError::NotAFile);
    }
    Ok(File::open(path)?)
}

pub(super) fn read_again(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    file.rewind()?;
    file.read(buffer)
}

pub(super) fn open_with_ownership(path: &Path) -> io::Result<(File, Option<Ownership>)> {
    Ok((File::open(path)?, None))
}

pub(super) fn open_own(path: &Path, make: bool) -> io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::options().read(true).write(true).create(make).truncate(false).open(path)
}

pub(super) fn foreign_owner(_: &Metadata) -> Option<u32> {
    None
}

pub(super) fn is_open_to(_: &Metadata, _: Others) -> bool {
    false
}

pub(super) fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

pub(super) fn folder_builder(_: u32) -> DirBuilder {
    DirBuilder::new()
}

/// A folder cannot be synced here; its names are journalled.
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Access lists decide, and they are not read.
pub(super) fn is_open_folder(_: &Metadata) -> bool {
    false
}

pub(super) fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

pub(super) fn owner(_: &Metadata) -> u32 {
    0
}
