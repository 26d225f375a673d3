//! What a process uses.

use std::time::Duration;

use hsu_model::process::ProcessKey;
use hsu_model::units::ByteSize;

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since it started, user plus system, in steps of 10 ms.
    pub cpu: Duration,
    /// Memory that is resident at present.
    pub resident: ByteSize,
}

/// Looks at a process once; none when it is gone, or the PID is another's by now.
///
/// Costs one read of `/proc/PID/stat`.
// Source: proc_pid_stat(5), fields 14, 15, 22 and 24.
#[must_use]
pub fn sample(process: ProcessKey) -> Option<Usage> {
    let stat = crate::process::Stat::read(process.pid)?;
    if stat.number(22)? != process.started_at {
        return None;
    }
    let ticks = stat.number(14)? + stat.number(15)?;
    Some(Usage {
        cpu: Duration::from_millis(ticks * 10),
        resident: ByteSize(stat.number(24)? * page_size()),
    })
}

#[cfg(unix)]
fn page_size() -> u64 {
    // SAFETY: no memory is passed.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

#[cfg(not(unix))]
fn page_size() -> u64 {
    4096
}
