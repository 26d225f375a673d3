//! Processes on Linux: pidfds.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::process::ProcessKey;

/// What a handle is made of.
pub type Owned = OwnedFd;

/// A hold on one process: it stays this process whatever becomes of the PID.
#[derive(Debug)]
pub struct ProcessHandle(OwnedFd);

impl ProcessHandle {
    /// Takes a descriptor of a process.
    #[must_use]
    pub fn from_owned(owned: OwnedFd) -> Self {
        Self(owned)
    }

    /// A hold on exactly this process.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when the PID is another's by now; the kernel's.
    pub fn open(process: ProcessKey) -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) };
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel gave this descriptor to us alone.
        let handle = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // The hold first, the comparison after it: now the answer cannot change.
        if super::identify(process.pid)? == process {
            Ok(handle)
        } else {
            Err(io::Error::from(io::ErrorKind::NotFound))
        }
    }

    /// Sends a signal to this process and to no other.
    ///
    /// # Errors
    /// The kernel's; ESRCH when it has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let nothing = std::ptr::null::<libc::siginfo_t>();
        let raw = self.0.as_raw_fd();
        // SAFETY: no memory is passed.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, raw, signal, nothing, 0) };
        if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// How the process ended; none while it lives.
    #[must_use]
    pub fn exit_status(&self) -> Option<Exit> {
        let mut slot = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the structure outlives the call.
        let ended = unsafe { libc::poll(&raw mut slot, 1, 0) } > 0;
        if !ended {
            return None;
        }
        // Its parent reaps it in a moment; the kernel tells the status only then.
        for _ in 0..50 {
            if let Some(exit) = self.told_exit() {
                return Some(exit);
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        Some(Exit::Unknown(UnknownExit::NotOurChild))
    }

    fn told_exit(&self) -> Option<Exit> {
        let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
        let size = libc::Ioctl::try_from(size_of::<PidfdInfo>()).ok()?;
        // Source: asm-generic/ioctl.h, _IOWR(0xFF, 11, struct pidfd_info).
        let request = (3 << 30) | (size << 16) | (0xFF << 8) | 11;
        // SAFETY: the structure outlives the call and has the size that the request names.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), request, &raw mut info) };
        if done < 0 || info.mask & INFO_EXIT == 0 {
            return None;
        }
        let status = info.exit_code;
        Some(if libc::WIFEXITED(status) {
            Exit::Code(libc::WEXITSTATUS(status))
        } else {
            Exit::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
        })
    }
}

/// The beginning of `struct pidfd_info`.
// Source: linux/pidfd.h, Linux 6.15.
#[repr(C)]
#[derive(Debug, Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
    coredump: [u32; 2],
}

const INFO_EXIT: u64 = 1 << 3;

/// Reaps every child of this very process that has ended.
///
/// The master's only children are keepers that it started: nobody waits for their status.
pub fn reap_children() {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    while unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } > 0 {}
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_handle_tells_the_exit_code_of_a_process_that_somebody_else_reaped() {
        let mut child = Command::new("sh")
            .args(["-c", "read x; exit 42"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let key = super::super::identify(child.id()).unwrap();
        let handle = ProcessHandle::open(key).unwrap();
        assert_eq!(handle.exit_status(), None);
        drop(child.stdin.take());
        child.wait().unwrap();
        let told = handle.exit_status();
        // Kernels before 6.15 do not tell.
        let unknown = Exit::Unknown(UnknownExit::NotOurChild);
        assert!(told == Some(Exit::Code(42)) || told == Some(unknown), "{told:?}");
    }

    #[test]
    fn a_pid_that_is_another_process_by_now_is_not_opened() {
        let mut key = super::super::identify(std::process::id()).unwrap();
        key.started_at += 1;
        assert!(ProcessHandle::open(key).is_err());
    }
}
