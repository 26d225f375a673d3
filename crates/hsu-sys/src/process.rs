//! Processes: identity, and a hold that no reuse of a PID can fool.

use std::io;

use hsu_model::process::ProcessKey;

use crate::procfs::Seen;

#[cfg(target_os = "linux")]
#[path = "process/linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "process/elsewhere.rs"]
mod os;

pub use os::{Owned, ProcessHandle, reap_children};

/// What makes this PID one process and no other; a zombie still has it.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when there is no such process, or no `/proc`;
/// [`io::ErrorKind::PermissionDenied`] when it is hidden from us.
pub fn identify(pid: u32) -> io::Result<ProcessKey> {
    Seen::look(pid).map(|seen| seen.key)
}

#[cfg(test)]
mod tests;
