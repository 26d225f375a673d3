//! The census: every process of this host, as far as we may see it.
//!
//! A look at one process costs one small file; what is asked of few of them (arguments,
//! environment, open files) is read apart. Where there is no `/proc`, nobody is there.
// Source: proc(5).

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use hsu_model::discovery::ProgramId;
use hsu_model::process::ProcessKey;

use crate::procfs::{STAT, Seen, Stat, open};

/// The longest name that the kernel keeps: a longer one is cut.
// Source: linux/sched.h, TASK_COMM_LEN without its end. Kernel threads have longer ones.
pub const LONGEST_NAME: usize = 15;

/// One look at a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// The process.
    pub process: ProcessKey,
    /// Its parent's PID.
    pub parent: u32,
    /// Its name as the kernel keeps it.
    pub name: Vec<u8>,
    /// What tells its present program from another; none when that is not shown.
    pub program: Option<u64>,
}

/// Every PID of the host, in no order.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::NotFound`] without `/proc`.
pub fn pids(into: &mut Vec<u32>) -> io::Result<()> {
    into.clear();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let number =
            name.to_str().filter(|name| name.as_bytes().first().is_some_and(u8::is_ascii_digit));
        into.extend(number.and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(())
}

/// Looks at a process; none when it is a thread of the kernel, or has ended.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when there is no such process;
/// [`io::ErrorKind::PermissionDenied`] when it is hidden from us.
pub fn face(pid: u32) -> io::Result<Option<Face>> {
    let mut buffer = [0; STAT];
    let stat = Stat::read(pid, &mut buffer)?;
    let seen = Seen::of(pid, &stat)?;
    if seen.is_bare() {
        return Ok(None);
    }
    Ok(Some(Face {
        process: seen.key,
        parent: seen.parent,
        name: stat.name().to_vec(),
        program: seen.program(),
    }))
}

/// The PID that the kernel gave last in our namespace: another one means that
/// processes or threads were started since.
#[must_use]
pub fn latest_pid() -> Option<u64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// Whether processes of other users are hidden from us.
#[must_use]
pub fn hides_others() -> bool {
    // PID 1 is everybody's neighbour and never ours alone.
    face(1).is_err()
}

/// What a process was started with: each argument ends with a zero byte, as far as
/// `limit` bytes go.
///
/// # Errors
/// The kernel's.
pub fn arguments(pid: u32, into: &mut Vec<u8>, limit: u64) -> io::Result<()> {
    read_into(pid, "cmdline", into, limit)
}

/// Its variables as they were when its program began; each ends with a zero byte.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::PermissionDenied`] for other users' processes.
pub fn environment(pid: u32, into: &mut Vec<u8>, limit: u64) -> io::Result<()> {
    read_into(pid, "environ", into, limit)
}

/// Its control groups, one a line.
///
/// # Errors
/// The kernel's.
pub fn control_groups(pid: u32, into: &mut Vec<u8>, limit: u64) -> io::Result<()> {
    read_into(pid, "cgroup", into, limit)
}

fn read_into(pid: u32, name: &str, into: &mut Vec<u8>, limit: u64) -> io::Result<()> {
    into.clear();
    open(pid, name)?.take(limit).read_to_end(into).map(drop)
}

/// The file of the program that it runs.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::PermissionDenied`] for other users' processes.
pub fn program(pid: u32) -> io::Result<ProgramId> {
    let found = fs::metadata(format!("/proc/{pid}/exe"))?;
    let (device, inode) = crate::files::identity(&found);
    Ok(ProgramId { device, inode })
}

/// The path of that program; it ends with ` (deleted)` when it is there no more.
///
/// # Errors
/// The kernel's.
pub fn program_path(pid: u32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe"))
}

/// The folder it works in.
///
/// # Errors
/// The kernel's.
pub fn working_directory(pid: u32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd"))
}

/// The user it acts as.
///
/// # Errors
/// The kernel's.
pub fn owner(pid: u32) -> io::Result<u32> {
    let found = fs::metadata(format!("/proc/{pid}"))?;
    match crate::files::owner(&found) {
        // The files of a process that may not be looked into are shown as root's.
        0 => effective_user(pid),
        uid => Ok(uid),
    }
}

fn effective_user(pid: u32) -> io::Result<u32> {
    let mut text = Vec::new();
    read_into(pid, "status", &mut text, 4096)?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    let number = line.and_then(|ids| ids.split_ascii_whitespace().nth(1)?.parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Calls back with the target of each of its descriptors, such as `socket:[4711]` or
/// `/var/log/x`, until the answer is false.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::PermissionDenied`] for other users' processes.
pub fn open_files(pid: u32, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // It may be closed meanwhile.
        if let Ok(target) = entry.and_then(|entry| fs::read_link(entry.path()))
            && !each(target.as_os_str().as_encoded_bytes())
        {
            break;
        }
    }
    Ok(())
}

/// How long the host has run, in the ticks that processes count their start in.
#[must_use]
pub fn uptime() -> Duration {
    crate::clock::since_boot()
}

/// How long after boot a process started.
#[must_use]
pub fn started_after(process: ProcessKey) -> Duration {
    let ticks = crate::usage::ticks_per_second();
    Duration::from_micros(process.started_at.saturating_mul(1_000_000) / ticks)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_among_all_and_looks_like_itself() {
        let own = std::process::id();
        let mut all = Vec::new();
        pids(&mut all).unwrap();
        assert!(all.contains(&own));
        let face = face(own).unwrap().unwrap();
        assert_eq!(face.process, crate::process::identify(own).unwrap());
        assert_eq!(program_path(own).unwrap(), std::env::current_exe().unwrap());
        assert_eq!(working_directory(own).unwrap(), std::env::current_dir().unwrap());
        let mut text = Vec::new();
        arguments(own, &mut text, 1 << 20).unwrap();
        assert!(text.ends_with(b"\0"));
        arguments(own, &mut text, 3).unwrap();
        assert_eq!(text.len(), 3, "no more than the limit is read");
        assert!(started_after(face.process) <= uptime());
    }

    #[test]
    fn a_descriptor_is_among_the_open_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wanted = file.path().as_os_str().as_encoded_bytes().to_vec();
        let mut found = false;
        open_files(std::process::id(), |target| {
            found |= target == wanted;
            !found
        })
        .unwrap();
        assert!(found);
    }
}
