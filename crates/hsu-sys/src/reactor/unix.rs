//! The reactor on Unix: poll(2), and a pipe that threads and signal handlers write to.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use super::{MasterSignal, Ready, Wait};

pub use std::os::fd::AsFd as Source;

/// The write end of the pipe, for the signal handler; -1 before a reactor exists.
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);
/// One bit for each signal that came.
static PENDING: AtomicU32 = AtomicU32::new(0);

const SIGNALS: [(i32, MasterSignal); 5] = [
    (libc::SIGTERM, MasterSignal::Terminate),
    (libc::SIGINT, MasterSignal::Interrupt),
    (libc::SIGHUP, MasterSignal::Hangup),
    (libc::SIGQUIT, MasterSignal::Quit),
    (libc::SIGCHLD, MasterSignal::Child),
];

/// Waits for the loop; there is one a process, because signals are.
#[derive(Debug)]
pub struct Reactor {
    read: OwnedFd,
    shared: Arc<Shared>,
}

/// Wakes the loop from any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    write: OwnedFd,
    woken: AtomicBool,
}

impl Reactor {
    /// Makes the reactor and takes over the signals of this process.
    ///
    /// # Errors
    /// The kernel's error, when it has no more descriptors.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe()?;
        SIGNAL_PIPE.store(write.as_raw_fd(), Ordering::SeqCst);
        for (number, _) in SIGNALS {
            install(number)?;
        }
        ignore(libc::SIGPIPE)?;
        Ok(Self { read, shared: Arc::new(Shared { write, woken: AtomicBool::new(false) }) })
    }

    /// A handle that wakes this reactor.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker { shared: Arc::clone(&self.shared) }
    }

    pub(super) fn poll<S: Source>(&mut self, wait: &Wait<'_, S>) -> io::Result<Ready> {
        let events = if wait.write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
        let link = wait.link.map_or(-1, |link| link.as_fd().as_raw_fd());
        let mut slots = [
            libc::pollfd { fd: self.read.as_raw_fd(), events: libc::POLLIN, revents: 0 },
            // A negative descriptor is skipped by the kernel.
            libc::pollfd { fd: link, events, revents: 0 },
        ];
        // Rounded up, so that a deadline is over when the call returns for it.
        let timeout = wait.timeout.map_or(-1, |span| {
            i32::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: the array of two outlives the call.
        let seen = unsafe { libc::poll(slots.as_mut_ptr(), 2, timeout) };
        if seen < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let mut ready = Ready::default();
        if seen > 0 {
            let on_link = slots[1].revents;
            ready.readable = on_link & !libc::POLLOUT != 0;
            ready.writable = on_link & libc::POLLOUT != 0;
            if slots[0].revents != 0 {
                drain(self.read.as_raw_fd());
            }
        }
        ready.woken = self.shared.woken.swap(false, Ordering::AcqRel);
        let bits = PENDING.swap(0, Ordering::AcqRel);
        let came = SIGNALS.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
        ready.signals = came.map(|(_, (_, signal))| *signal).collect();
        Ok(ready)
    }
}

impl Waker {
    /// Wakes the reactor; costs a system call only when it was not woken already.
    pub fn wake(&self) {
        if !self.shared.woken.swap(true, Ordering::AcqRel) {
            poke(self.shared.write.as_raw_fd());
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for end in ends {
        set_flags(end)?;
    }
    // SAFETY: pipe(2) gave this descriptor to us alone.
    let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let write = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    Ok((read, write))
}

fn set_flags(fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let closed = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: no memory is passed.
    let quick = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
    if closed < 0 || quick < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn poke(fd: RawFd) {
    let byte = 1_u8;
    // A full pipe is as good as a written byte: the reader wakes.
    // SAFETY: one byte is read from a live variable.
    unsafe { libc::write(fd, (&raw const byte).cast(), 1) };
}

fn drain(fd: RawFd) {
    let mut bytes = [0_u8; 64];
    // SAFETY: the buffer outlives the call, and its length is given.
    while unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) } > 0 {}
}

extern "C" fn on_signal(number: i32) {
    if let Some(bit) = SIGNALS.iter().position(|(signal, _)| *signal == number) {
        PENDING.fetch_or(1 << bit, Ordering::AcqRel);
    }
    let fd = SIGNAL_PIPE.load(Ordering::SeqCst);
    if fd >= 0 {
        poke(fd);
    }
}

fn install(number: i32) -> io::Result<()> {
    let handler: extern "C" fn(i32) = on_signal;
    set_action(number, handler as *const () as libc::sighandler_t, libc::SA_RESTART)
}

fn ignore(number: i32) -> io::Result<()> {
    set_action(number, libc::SIG_IGN, 0)
}

fn set_action(number: i32, handler: libc::sighandler_t, flags: i32) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the action is initialised; the handler is async-signal-safe.
    let done = unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
