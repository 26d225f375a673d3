//! Passing: descriptors that a worker finds open at its start.
//!
//! What is kept for a worker comes from number 3 on, told by `LISTEN_FDS`,
//! `LISTEN_FDNAMES` and `LISTEN_PID`; the descriptor for its word that it is ready
//! comes at the number that it asks for. The child puts them in place, with raw
//! system calls only, and writes its own PID into the environment.
// Source: sd_listen_fds(3); s6 "notification-fd".

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};

/// The first number of what is passed.
const FIRST: RawFd = 3;
/// Descriptors that one worker is passed at most.
pub(crate) const MOST_PASSED: usize = 64;
/// Where copies wait for their place: above every place, and above [`MOST_PASSED`].
const ASIDE: RawFd = 1024;

const PREFIX: &[u8] = b"LISTEN_PID=";
/// The longest PID has ten digits.
const LENGTH: usize = PREFIX.len() + 11;

/// What is passed, as the child needs it.
pub(crate) struct Passing {
    /// Where each comes from, and its number in the worker.
    moves: Vec<(RawFd, RawFd)>,
    /// `LISTEN_FDS` and `LISTEN_FDNAMES`; none when nothing is kept for the worker.
    told: Vec<CString>,
    /// `LISTEN_PID`, which the child fills in.
    pid: [AtomicU8; LENGTH],
}

impl Passing {
    pub(crate) fn of(passed: &[(String, OwnedFd)], ready: Option<(u32, &OwnedFd)>) -> Self {
        let numbers = FIRST..;
        let mut moves: Vec<_> =
            passed.iter().zip(numbers).map(|((_, fd), number)| (fd.as_raw_fd(), number)).collect();
        let ready = ready.and_then(|(number, fd)| Some((fd.as_raw_fd(), number.try_into().ok()?)));
        moves.extend(ready);
        let names: Vec<&str> = passed.iter().map(|(name, _)| name.as_str()).collect();
        let told = if passed.is_empty() {
            Vec::new()
        } else {
            let told = [
                format!("LISTEN_FDS={}", passed.len()),
                format!("LISTEN_FDNAMES={}", names.join(":")),
            ];
            told.into_iter().filter_map(|text| CString::new(text).ok()).collect()
        };
        let pid = std::array::from_fn(|at| AtomicU8::new(PREFIX.get(at).copied().unwrap_or(0)));
        Self { moves, told, pid }
    }

    /// Variables that the worker gets besides its own.
    pub(crate) fn variables(&self) -> impl Iterator<Item = *const libc::c_char> + '_ {
        let pid = (!self.told.is_empty()).then_some(self.pid.as_ptr().cast());
        self.told.iter().map(|text| text.as_ptr()).chain(pid)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// In the child: takes a table of its own with everything in it. Whether the kernel gave one.
    pub(super) fn take_table(&self) -> bool {
        // SAFETY: no memory is passed.
        unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_FILES) >= 0 }
    }

    /// In the child: puts everything at its number and closes the rest. The table is its own.
    pub(super) fn put(&self) -> bool {
        // First aside, so that no place is taken while what was there is still to be moved.
        for ((from, _), aside) in self.moves.iter().zip(ASIDE..) {
            // SAFETY: no memory is passed.
            if unsafe { libc::syscall(libc::SYS_dup3, *from, aside, 0) } < 0 {
                return false;
            }
        }
        let mut end = FIRST;
        for ((_, number), aside) in self.moves.iter().zip(ASIDE..) {
            // SAFETY: no memory is passed.
            if unsafe { libc::syscall(libc::SYS_dup3, aside, *number, 0) } < 0 {
                return false;
            }
            end = end.max(number + 1);
        }
        for place in FIRST..end {
            if !self.moves.iter().any(|(_, number)| *number == place) {
                // SAFETY: no memory is passed; the table is ours alone.
                unsafe { libc::syscall(libc::SYS_close, place) };
            }
        }
        // SAFETY: no memory is passed.
        unsafe { libc::syscall(libc::SYS_close_range, end, libc::c_uint::MAX, 0) >= 0 }
    }

    /// In the child: writes its PID into the environment.
    pub(super) fn tell_pid(&self) {
        // SAFETY: no memory is passed.
        let pid = unsafe { libc::syscall(libc::SYS_getpid) };
        let mut rest = u32::try_from(pid).unwrap_or(0);
        let digits = rest.checked_ilog10().map_or(1, |log| log as usize + 1);
        for at in (PREFIX.len()..PREFIX.len() + digits).rev() {
            if let Some(byte) = self.pid.get(at) {
                let digit = u8::try_from(rest % 10).unwrap_or(0);
                byte.store(b'0' + digit, Ordering::Relaxed);
            }
            rest /= 10;
        }
    }
}
