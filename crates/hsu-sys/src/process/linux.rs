//! Processes on Linux: pidfds.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use hsu_model::exit::{Exit, UnknownExit};
use hsu_model::process::ProcessKey;

use crate::procfs::{STAT, Stat};

/// How often, and how far apart, an ended process is asked whether it was reaped.
const ASKED: u32 = 50;
const APART: Duration = Duration::from_micros(200);

/// What a handle is made of.
pub type Owned = OwnedFd;

/// A hold on one process: it stays this process whatever becomes of the PID.
///
/// It is readable, for poll(2), once the process has ended.
#[derive(Debug)]
pub struct ProcessHandle(OwnedFd);

/// What the kernel tells of a process through its pidfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Exit(Exit),
    /// It lives, or nobody has reaped it.
    NotYet,
    /// Never: the kernel is too old.
    Never,
}

impl ProcessHandle {
    /// Takes a descriptor of a process.
    #[must_use]
    pub fn from_owned(owned: OwnedFd) -> Self {
        Self(owned)
    }

    /// A hold on exactly this process of this boot; it may have ended already.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is gone, or the PID is another's by now;
    /// the kernel's.
    pub fn open(process: ProcessKey) -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            let is_gone = error.raw_os_error() == Some(libc::ESRCH);
            return Err(if is_gone { io::ErrorKind::NotFound.into() } else { error });
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the kernel gave this descriptor to us alone.
        let handle = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // The hold first, the comparison after it: now the answer cannot change.
        if super::identify(process.pid)? == process {
            Ok(handle)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Another hold on the same process, to be given away.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
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

    /// Whether the process has ended, reaped or not.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        let mut slot = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the structure outlives the call.
        unsafe { libc::poll(&raw mut slot, 1, 0) > 0 }
    }

    /// How the process ended; none while it lives.
    ///
    /// Told by its zombie to whoever may trace it, and otherwise once it is reaped, which is
    /// waited for, at most 10 ms. [`Exit::Unknown`] when nobody reaped it then, or it is reaped
    /// and the kernel is older than 6.15.
    #[must_use]
    pub fn exit_status(&self) -> Option<Exit> {
        if !self.has_exited() {
            return None;
        }
        for _ in 0..ASKED {
            let told = self.ask();
            if let Told::Exit(exit) = told {
                return Some(exit);
            }
            if let Some(exit) = self.exit_of_zombie() {
                return Some(exit);
            }
            if told == Told::Never {
                break;
            }
            // Its parent reaps it in a moment; the pidfd tells the status only then.
            std::thread::sleep(APART);
        }
        Some(Exit::Unknown(UnknownExit::NotOurChild))
    }

    /// The status that a zombie keeps for its parent, when we may see it.
    // Source: proc_pid_stat(5), field 52, which is 0 for whoever may not trace the process;
    // Linux fs/proc/base.c: such a one may not read `io` either.
    fn exit_of_zombie(&self) -> Option<Exit> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.0.as_raw_fd()));
        let info = info.ok()?;
        // It is -1 once it is reaped.
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
        fs::read(format!("/proc/{pid}/io")).ok()?;
        let mut buffer = [0; STAT];
        let stat = Stat::read(pid, &mut buffer).ok()?;
        let status = i32::try_from(stat.number(52)?).ok()?;
        // Until it is reaped, its PID is nobody else's.
        let stands = stat.state() == b'Z' && self.signal(0).is_ok();
        stands.then(|| decode(status))
    }

    fn ask(&self) -> Told {
        told_by(|| self.ask_once())
    }

    fn ask_once(&self) -> io::Result<Told> {
        let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
        let size = libc::Ioctl::try_from(size_of::<PidfdInfo>()).map_err(io::Error::other)?;
        // Source: asm-generic/ioctl.h, _IOWR(0xFF, 11, struct pidfd_info).
        let request = (3 << 30) | (size << 16) | (0xFF << 8) | 11;
        // SAFETY: the structure outlives the call and has the size that the request names.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), request, &raw mut info) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        let is_told = info.mask & INFO_EXIT != 0;
        Ok(if is_told { Told::Exit(decode(info.exit_code)) } else { Told::NotYet })
    }
}

impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a question comes to that may meet the process being reaped: between two looks of the
/// kernel at it, it is gone without a word, and from then on its status is there.
// Source: Linux fs/pidfs.c, pidfd_info().
fn told_by(mut ask: impl FnMut() -> io::Result<Told>) -> Told {
    ask().or_else(|_| ask()).unwrap_or(Told::Never)
}

/// A status as wait(2) gives it.
fn decode(status: i32) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else {
        Exit::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
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

/// Reaps the children of this very process that have ended and that nobody waits for:
/// keepers that the master has started.
pub fn reap_children() {
    // Somebody is starting a child, and comes here after it.
    let Some(waited) = super::waited::present() else { return };
    while let Some(pid) = first_ended() {
        // Whoever waits for that one looks for the others afterwards.
        if waited.contains(&pid) {
            return;
        }
        let pid = libc::pid_t::try_from(pid).unwrap_or(-1);
        let mut status = 0;
        // SAFETY: the status outlives the call.
        unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    }
}

/// A child that has ended and is not reaped.
fn first_ended() -> Option<u32> {
    // SAFETY: all zero is a valid value of this structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the structure outlives the call.
    let done = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, how) };
    if done < 0 {
        return None;
    }
    // SAFETY: waitid has filled it in, or it is zero.
    let pid = unsafe { info.si_pid() };
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Runs this very program from its beginning in this process, whatever is at its path by now;
/// the words and pairs are its arguments and its environment. Returns only when that fails.
/// What is open and not marked to be closed stays open.
pub fn begin_anew(words: &[CString], pairs: &[CString]) -> io::Error {
    // By its path the process keeps its name, as long as the same file is there.
    let own = fs::read_link(OWN).ok().filter(|path| is_same_file(path));
    let own = own.and_then(|path| CString::new(path.into_os_string().into_vec()).ok());
    let list = |texts: &[CString]| {
        let pointers = texts.iter().map(|text| text.as_ptr());
        pointers.chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, envp) = (list(words), list(pairs));
    let program = own.as_deref().unwrap_or(c"/proc/self/exe");
    // SAFETY: both lists end with a null, and they and their texts outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

const OWN: &str = "/proc/self/exe";

fn is_same_file(path: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    file(path).is_some_and(|found| file(Path::new(OWN)) == Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_reaped_during_a_question_is_asked_once_more() {
        let gone = || Err(io::Error::from_raw_os_error(libc::ESRCH));
        let told = Told::Exit(Exit::Code(42));
        let mut answers = [gone(), Ok(told)].into_iter();
        assert_eq!(told_by(|| answers.next().unwrap()), told);
        assert_eq!(told_by(gone), Told::Never, "a kernel that does not tell");
    }
}
