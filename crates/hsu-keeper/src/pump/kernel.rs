//! The few system calls of the pump that the standard library does not offer.
//!
//! Each wrapper is safe: it borrows descriptors and passes lengths of slices it
//! holds. Nothing here decides anything.
#![expect(
    unsafe_code,
    reason = "splice, tee and epoll have no safe form without another dependency"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::carrier::Ready;

/// Moves up to `length` bytes from a pipe to `offset` of a file, without passing
/// through this process: a kill at any instant loses and doubles nothing.
///
/// Never waits for the pipe. Zero is the end of the pipe.
pub(super) fn splice_to_file(
    pipe: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: usize,
) -> io::Result<usize> {
    let mut at = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    // SAFETY: both descriptors are borrowed for the call, and `at` outlives it.
    let moved = unsafe {
        libc::splice(
            pipe.as_raw_fd(),
            std::ptr::null_mut(),
            file.as_raw_fd(),
            &raw mut at,
            length,
            libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE,
        )
    };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}

/// Copies up to `length` bytes of one pipe into another and leaves them in both.
pub(super) fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
    // SAFETY: both descriptors are borrowed for the call.
    let copied =
        unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), length, libc::SPLICE_F_NONBLOCK) };
    usize::try_from(copied).map_err(|_| io::Error::last_os_error())
}

/// Takes bytes from a pipe. A descriptor of its own is not needed for that.
pub(super) fn read(pipe: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel fills at most the whole buffer, which outlives the call.
    let taken = unsafe { libc::read(pipe.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(taken).map_err(|_| io::Error::last_os_error())
}

/// The bytes that wait in a pipe.
pub(super) fn waiting_bytes(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, and `count` is one.
    let done = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    check(done)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The bytes that a pipe can hold.
pub(super) fn pipe_capacity(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: the command takes no argument and the descriptor is borrowed.
    let size = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETPIPE_SZ) };
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}

/// Asks for a larger pipe; answers what it can hold now.
pub(super) fn grow_pipe(pipe: BorrowedFd<'_>, size: usize) -> io::Result<usize> {
    let size = i32::try_from(size).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: the command takes an int and the descriptor is borrowed.
    let size = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, size) };
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}

/// Waits until the descriptor has something to say, or the time is over.
pub(super) fn wait_readable(fd: BorrowedFd<'_>, time: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    let time = libc::timespec { tv_sec: seconds.into(), tv_nsec: time.subsec_nanos().into() };
    // SAFETY: one entry is passed with the count 1, and it and the time outlive the call.
    let ready = unsafe { libc::ppoll(&raw mut entry, 1, &raw const time, std::ptr::null()) };
    match check(ready) {
        // A stop and continue of the pump itself.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        count => count.map(|count| count > 0),
    }
}

/// Raises the soft limit of open descriptors to the hard one; answers it.
pub(super) fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills one rlimit, and `limit` is one.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 256;
    }
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: the kernel reads one rlimit, and `wanted` is one.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } {
        0 => limit.rlim_max,
        _ => limit.rlim_cur,
    }
}

/// A set of descriptors to wait for, level-triggered.
#[derive(Debug)]
pub(super) struct Epoll {
    set: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// How many descriptors one wait reports at most.
    const BATCH: usize = 512;

    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is fresh and nobody else owns it.
        let set = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { set, events: Vec::with_capacity(Self::BATCH) })
    }

    pub(super) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLHUP).cast_unsigned();
        let mut event = libc::epoll_event { events, u64: token };
        let (set, fd) = (self.set.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the event outlives the call and the descriptors are borrowed.
        check(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// Must come before a close: the keeper holds the same pipe, so closing alone
    /// would leave the entry behind.
    pub(super) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let (set, fd) = (self.set.as_raw_fd(), fd.as_raw_fd());
        let none = std::ptr::null_mut();
        // SAFETY: the removal ignores the event, and the descriptors are borrowed.
        check(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_DEL, fd, none) })?;
        Ok(())
    }

    /// Waits up to `time`, or for ever.
    pub(super) fn wait(
        &mut self,
        time: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Ready>> {
        let millis = time.map_or(-1, millis);
        let most = libc::c_int::try_from(Self::BATCH).unwrap_or(1);
        let buffer = self.events.as_mut_ptr();
        // SAFETY: the buffer has room for BATCH events, as reserved in `new`.
        let count = unsafe { libc::epoll_wait(self.set.as_raw_fd(), buffer, most, millis) };
        let count = match check(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => usize::try_from(count?).unwrap_or(0),
        };
        // SAFETY: the kernel filled the first `count` events, and `count` <= BATCH.
        unsafe { self.events.set_len(count) };
        let has = |event: &libc::epoll_event, bit: i32| event.events & bit.cast_unsigned() != 0;
        Ok(self.events.iter().map(move |event| Ready {
            token: event.u64,
            readable: has(event, libc::EPOLLIN),
            hung_up: has(event, libc::EPOLLHUP | libc::EPOLLERR),
        }))
    }
}

/// A millisecond too late is better than a turn without work.
fn millis(time: Duration) -> libc::c_int {
    libc::c_int::try_from(time.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
