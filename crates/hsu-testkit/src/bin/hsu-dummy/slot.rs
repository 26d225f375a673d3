//! The slot: a lock that two instances of one worker cannot both hold.
//!
//! The kernel gives the lock back with the last descriptor, which is when the
//! process ends and not a moment before.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;

/// Takes the slot, or notes in `FILE.twice` that somebody else has it.
pub(crate) fn take(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            let run = std::env::var("HSU_RUN_ID").unwrap_or_default();
            let mut twice = path.as_os_str().to_owned();
            twice.push(".twice");
            let mut note = OpenOptions::new().create(true).append(true).open(twice)?;
            note.write_all(format!("run {run} found the slot taken\n").as_bytes())?;
            Ok(file)
        }
    }
}
