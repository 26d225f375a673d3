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

#[cfg(target_os = "linux")]
pub(crate) mod waited;

pub use os::{Owned, ProcessHandle, begin_anew, reap_children};

/// What makes this PID one process and no other; a zombie still has it.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when there is no such process, or no `/proc`;
/// [`io::ErrorKind::PermissionDenied`] when it is hidden from us.
pub fn identify(pid: u32) -> io::Result<ProcessKey> {
    Seen::look(pid).map(|seen| seen.key)
}

/// What a process is doing, as far as it matters for whether it can react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It runs, or waits for something that will come.
    Able,
    /// It was stopped by a signal or a debugger, and does nothing until it is continued.
    Stopped,
    /// It waits for the kernel and cannot even be killed.
    Blocked,
    /// It has ended; only its status is left.
    Ended,
}

/// Looks at what exactly this process is doing.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when it is gone, or the PID is another's by now; as
/// [`identify`].
// Source: proc_pid_stat(5), field 3.
pub fn activity(process: ProcessKey) -> io::Result<Activity> {
    let seen = Seen::look(process.pid)?;
    if seen.key != process {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(match seen.state {
        _ if seen.has_ended() => Activity::Ended,
        b'T' | b't' => Activity::Stopped,
        b'D' => Activity::Blocked,
        _ => Activity::Able,
    })
}

#[cfg(test)]
mod tests;
