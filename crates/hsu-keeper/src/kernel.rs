//! The few calls to the kernel that the keeper makes, with errors as values.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use hsu_model::exit::Exit;
use hsu_model::time::{Now, Tick, WallTime};

/// Turns -1 into the error that the kernel left.
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes a descriptor that a call has just returned.
pub(crate) fn own(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the call returned this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn read_clock(clock: libc::clockid_t) -> (u64, u64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// The monotonic clock.
fn tick() -> Tick {
    let (seconds, nanoseconds) = read_clock(libc::CLOCK_MONOTONIC);
    Tick(seconds * 1_000_000_000 + nanoseconds)
}

/// The wall clock.
fn wall() -> WallTime {
    let (seconds, nanoseconds) = read_clock(libc::CLOCK_REALTIME);
    WallTime(i64::try_from(seconds * 1_000_000_000 + nanoseconds).unwrap_or(i64::MAX))
}

/// Both clocks.
pub(crate) fn now() -> Now {
    Now { tick: tick(), wall: wall() }
}

/// The time since the boot, also while the host slept: what start times are of. Asked of
/// the kernel itself, whose start times a faked clock does not change.
pub(crate) fn nanoseconds_after_boot() -> u64 {
    // Seconds and nanoseconds, as 64-bit kernels write them.
    let mut time = [0_u64; 2];
    // SAFETY: the structure outlives the call; this clock always exists.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_BOOTTIME, time.as_mut_ptr()) };
    let [seconds, nanoseconds] = time;
    seconds * 1_000_000_000 + nanoseconds
}

/// The nanoseconds of a clock tick, in which the kernel tells start times.
pub(crate) fn nanoseconds_per_tick() -> u64 {
    // SAFETY: no memory is passed.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    1_000_000_000 / u64::try_from(ticks).ok().filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// Gives freed memory back; a millisecond for each few megabytes.
pub(crate) fn give_back_heap() {
    // SAFETY: the allocator's own function; it takes its own locks.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A folder, to name it in other calls.
pub(crate) fn open_folder(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the path ends with its zero.
    own(unsafe { libc::open(path.as_ptr(), flags) }.into())
}

/// A hold on a process that is not reaped by anybody else meanwhile.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal through a hold.
pub(crate) fn pidfd_signal(handle: BorrowedFd<'_>, signal: i32, group: bool) -> io::Result<()> {
    // Source: linux/pidfd.h, PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9).
    let flags: libc::c_uint = if group { 1 << 2 } else { 0 };
    // SAFETY: no memory is passed.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            handle.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            flags,
        )
    };
    check(sent).map(drop)
}

/// Sends a signal to a process group that cannot be anybody else's.
pub(crate) fn signal_group(pid: u32, signal: i32) -> io::Result<()> {
    let Some(group) = i32::try_from(pid).ok().filter(|pid| *pid > 1) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    // SAFETY: no memory is passed; the number is never 0, 1 or -1.
    check(unsafe { libc::kill(-group, signal) }.into()).map(drop)
}

/// When a process started, in clock ticks after boot.
pub(crate) fn started_at(pid: u32) -> Option<u64> {
    started_in(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The start time in the text of `/proc/PID/stat`. Allocates nothing.
// Source: proc_pid_stat(5), field 22; the name in field 2 may hold anything.
pub(crate) fn started_in(stat: &[u8]) -> Option<u64> {
    field(stat, 22)?.parse().ok()
}

/// A field behind the name, by its number in proc_pid_stat(5).
fn field(stat: &[u8], number: usize) -> Option<&str> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = stat.get(name_end + 1..)?.split(u8::is_ascii_whitespace);
    let found = fields.filter(|field| !field.is_empty()).nth(number.checked_sub(3)?)?;
    std::str::from_utf8(found).ok()
}

/// The exit status of a process that has ended, while the zombie waits for its own parent.
/// None when it is another process by now, or the kernel does not tell us.
// Source: proc_pid_stat(5), fields 3, 22 and 52. Linux fs/proc/array.c: the last is 0 for
// whoever may not trace the process, and fs/proc/base.c: such a one may not read `io` either.
pub(crate) fn exit_of_zombie(pid: u32, started_at: u64) -> Option<Exit> {
    std::fs::read(format!("/proc/{pid}/io")).ok()?;
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let is_it = field(&stat, 3)? == "Z" && started_in(&stat)? == started_at;
    let status = field(&stat, 52)?.parse().ok()?;
    is_it.then(|| exit_of_status(status))
}

/// What the status of wait(2) says.
fn exit_of_status(status: libc::c_int) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else {
        Exit::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
    }
}

/// Whether the process behind a hold has ended; its zombie may still stand.
pub(crate) fn has_ended(handle: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the structure outlives the call, and there is one.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

/// Whether the process behind a hold has ended and is reaped.
pub(crate) fn is_reaped(handle: BorrowedFd<'_>) -> bool {
    pidfd_signal(handle, 0, false).is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}

/// What waitid(2) tells of one child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    pub(crate) pid: u32,
    pub(crate) exit: Exit,
}

/// Which children to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    /// Any.
    Any,
    /// The one behind this hold.
    This(BorrowedFd<'a>),
    /// The one whose zombie stands: until it is reaped, its number is nobody else's.
    Zombie(u32),
}

/// Whether a look leaves the zombie where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reap {
    /// It is gone afterwards.
    Yes,
    /// It stays, and so does its PID.
    No,
}

/// Looks for a child that has ended; none when none has.
pub(crate) fn wait(which: Which<'_>, reap: Reap) -> io::Result<Option<Waited>> {
    let (kind, id) = match which {
        Which::Any => (libc::P_ALL, 0),
        Which::This(handle) => {
            (libc::P_PIDFD, libc::id_t::try_from(handle.as_raw_fd()).unwrap_or(0))
        }
        Which::Zombie(pid) => (libc::P_PID, pid),
    };
    let keep = if reap == Reap::No { libc::WNOWAIT } else { 0 };
    let options = libc::WEXITED | libc::WNOHANG | keep;
    // SAFETY: all zeroes is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the structure outlives the call.
    check(unsafe { libc::waitid(kind, id, &raw mut info, options) }.into())?;
    // SAFETY: waitid fills these fields, and zero says that no child was found.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        code => Exit::Signal { number: status, core: code == libc::CLD_DUMPED },
    };
    Ok(u32::try_from(pid).ok().filter(|pid| *pid > 0).map(|pid| Waited { pid, exit }))
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

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// The exit status of a process that is gone, from a hold that outlived it.
/// None when this kernel does not tell, or the process is not reaped yet.
pub(crate) fn exit_of_gone(handle: BorrowedFd<'_>) -> Option<Exit> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    let size = libc::Ioctl::try_from(size_of::<PidfdInfo>()).ok()?;
    // Source: asm-generic/ioctl.h, _IOWR(0xFF, 11, struct pidfd_info).
    let request = (3 << 30) | (size << 16) | (0xFF << 8) | 11;
    // SAFETY: the structure outlives the call and has the size that the request names.
    let done = unsafe { libc::ioctl(handle.as_raw_fd(), request, &raw mut info) };
    if done < 0 || info.mask & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    Some(exit_of_status(info.exit_code))
}

/// Waits for many descriptors at once.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into()).map(Self)
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, libc::EPOLLIN)
    }

    /// Tells each change once. A zombie that a debugger holds back stays readable
    /// for as long as it likes, and must not keep us awake.
    pub(crate) fn add_process(&self, handle: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, handle, token, libc::EPOLLIN | libc::EPOLLET)
    }

    /// Also waits for room, while messages wait for it.
    pub(crate) fn want_room(&self, fd: BorrowedFd<'_>, token: u64, want: bool) -> io::Result<()> {
        let events = if want { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        self.control(libc::EPOLL_CTL_MOD, fd, token, events)
    }

    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        // A descriptor that is not there needs no removal.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    fn control(&self, what: i32, fd: BorrowedFd<'_>, token: u64, events: i32) -> io::Result<()> {
        // One of the flags is the sign.
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token };
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the structure outlives the call.
        check(unsafe { libc::epoll_ctl(epoll, what, fd, &raw mut event) }.into()).map(drop)
    }

    /// Sleeps until something is ready; appends the tokens.
    pub(crate) fn wait(&self, timeout: Option<Duration>, into: &mut Vec<u64>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 128];
        let milliseconds = timeout.map_or(-1, |span| {
            i32::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: the array outlives the call, and its length is given.
        let count =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 128, milliseconds) };
        match check(count.into()) {
            Ok(count) => {
                let count = usize::try_from(count).unwrap_or(0);
                into.extend(events.iter().take(count).map(|event| event.u64));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Rust handles these to tell a stack overflow, unless they were ignored before;
/// executing a program resets what is handled.
const FAULTS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = [0_u64; 4];
    let none = std::ptr::null::<u64>();
    // SAFETY: the kernel fills its own structure, which outlives the call.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, none, action.as_mut_ptr(), 8) };
    action.first() == Some(&(libc::SIG_IGN as u64))
}

/// Blocks every signal of this thread and those it starts; returns a descriptor
/// for SIGCHLD. What we inherited as ignored, workers shall not inherit from us.
pub(crate) fn take_signals() -> io::Result<OwnedFd> {
    // All zeroes is the kernel's own structure for the default. The C library's
    // wrapper would leave out the two signals that it keeps for itself.
    let default = [0_u64; 4];
    for signal in (1..=64).filter(|signal| !FAULTS.contains(signal) || is_ignored(*signal)) {
        let none = std::ptr::null_mut::<u64>();
        // SAFETY: the structure outlives the call. SIGKILL and SIGSTOP are refused.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8) };
    }
    // SAFETY: all zeroes is a valid sigset_t.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set outlives the call.
    unsafe { libc::sigfillset(&raw mut all) };
    let (how, old) = (libc::SIG_SETMASK, std::ptr::null_mut());
    // SAFETY: the set outlives the call.
    let masked = unsafe { libc::pthread_sigmask(how, &raw const all, old) };
    check(masked.into())?;
    // SAFETY: all zeroes is a valid sigset_t.
    let mut child: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set outlives the call.
    unsafe { libc::sigaddset(&raw mut child, libc::SIGCHLD) };
    // SAFETY: the set outlives the call.
    own(unsafe { libc::signalfd(-1, &raw const child, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }
        .into())
}

/// A descriptor that another thread can make readable.
pub(crate) fn event_descriptor() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())
}

/// Makes an event descriptor readable.
pub(crate) fn poke(fd: BorrowedFd<'_>) {
    let one = 1_u64;
    // SAFETY: eight bytes of a live variable are read.
    unsafe { libc::write(fd.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Empties an event or signal descriptor.
pub(crate) fn drain(fd: BorrowedFd<'_>) {
    let mut bytes = [0_u8; 1024];
    // SAFETY: the buffer outlives the call, and its length is given.
    while unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) } > 0 {}
}

/// Becomes the parent of every orphan among our descendants.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into()).map(drop)
}

/// Lets this process hold as many descriptors as it may; returns how many.
pub(crate) fn raise_descriptor_limit() -> RawFd {
    let mut limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
    // SAFETY: the structure outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: the structure outlives the call. A refusal leaves the old limit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    RawFd::try_from(limit.rlim_cur).unwrap_or(RawFd::MAX)
}

/// Leaves the terminal and the process group of whoever started us.
pub(crate) fn become_session_leader() {
    // SAFETY: no memory is passed. It fails only when we lead a group already.
    unsafe { libc::setsid() };
}

/// Closes whatever we inherited by mistake.
pub(crate) fn close_strays() {
    // SAFETY: no memory is passed; nothing of ours is open yet. An old kernel closes none.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// The socket that is our standard input, with the null device in its place; none when
/// it is something else.
pub(crate) fn take_standard_socket() -> Option<OwnedFd> {
    let stdin = io::stdin();
    option_of(stdin.as_fd(), libc::SO_TYPE, 0).ok()?;
    let socket = stdin.as_fd().try_clone_to_owned().ok()?;
    let null = std::fs::File::open("/dev/null").ok()?;
    // SAFETY: no memory is passed; nobody reads what was there.
    unsafe { libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO) };
    Some(socket)
}

/// A pipe whose ends programs do not inherit: the read end never blocks.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the array has room for two descriptors.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    Ok((own(ends[0].into())?, own(ends[1].into())?))
}

/// Reads an option of a socket that has the type of `value`.
pub(crate) fn option_of<T>(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    mut value: T,
) -> io::Result<T> {
    let mut length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    let (raw, place) = (socket.as_raw_fd(), (&raw mut value).cast());
    // SAFETY: the value outlives the call, and its length is given.
    let asked = unsafe { libc::getsockopt(raw, libc::SOL_SOCKET, option, place, &raw mut length) };
    check(asked.into())?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_wakes_although_nobody_reaps_it() {
        let epoll = Epoll::new().unwrap();
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let handle = pidfd_open(child.id()).unwrap();
        epoll.add_process(handle.as_fd(), 7).unwrap();
        child.kill().unwrap();
        let mut tokens = Vec::new();
        epoll.wait(Some(Duration::from_secs(20)), &mut tokens).unwrap();
        child.wait().unwrap();
        assert_eq!(tokens, [7]);
    }
}
