//! Descriptors: how many there may be, and the first three.

/// Lets this process hold as many descriptors as it may; how many that are.
/// What it starts inherits the same limit.
#[cfg(unix)]
#[must_use]
pub fn raise_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let had = limit.rlim_cur;
    limit.rlim_cur = most(limit.rlim_max);
    // SAFETY: the structure outlives the call.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
    if raised { limit.rlim_cur } else { had }
}

/// The kernel of macOS refuses more than this, whatever the hard limit says.
// Source: setrlimit(2) of macOS, COMPATIBILITY; OPEN_MAX of sys/syslimits.h.
#[cfg(target_os = "macos")]
fn most(hard: u64) -> u64 {
    hard.min(10_240)
}

#[cfg(all(unix, not(target_os = "macos")))]
fn most(hard: u64) -> u64 {
    hard
}

/// This platform knows no such limit.
#[cfg(not(unix))]
#[must_use]
pub fn raise_limit() -> u64 {
    u64::MAX
}

/// Opens the null device in place of standard descriptors that are closed, so
/// that no file or socket ever becomes one by accident. Call it first.
///
/// The runtime of Rust does the same before `main`, and ends a process that has
/// no null device; this keeps the promise where it is linked otherwise.
#[cfg(unix)]
pub fn reopen_standard() {
    for fd in 0..3 {
        // SAFETY: no memory is passed.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            // The lowest free descriptor is the closed one.
            // SAFETY: the path is a constant text with its zero.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
}

/// Nothing to do on this platform.
#[cfg(not(unix))]
pub fn reopen_standard() {}

/// Descriptors that are kept for the day when the kernel gives no others.
#[derive(Debug)]
pub struct Spares {
    files: Vec<std::fs::File>,
    wanted: usize,
}

impl Spares {
    /// Keeps so many, or as many as there are; none on a platform without a limit.
    #[must_use]
    pub fn take(wanted: usize) -> Self {
        let mut spares = Self { files: Vec::with_capacity(wanted), wanted };
        spares.refill();
        spares
    }

    /// Gives half of what is kept back to the kernel; whether there was something.
    pub fn give_back(&mut self) -> bool {
        let had = self.files.len();
        self.files.truncate(had / 2);
        had > 0
    }

    /// Keeps as many again, as far as the kernel gives them; none where there is no limit.
    pub fn refill(&mut self) {
        while cfg!(unix)
            && self.files.len() < self.wanted
            && let Ok(file) = std::fs::File::open("/dev/null")
        {
            self.files.push(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_once_and_stays() {
        let first = raise_limit();
        assert!(first >= 3);
        assert_eq!(raise_limit(), first);
    }

    #[test]
    fn spares_are_given_back_by_halves_and_kept_again() {
        let mut spares = Spares::take(8);
        let kept = spares.files.len();
        let mut left = Vec::new();
        while spares.give_back() {
            left.push(spares.files.len());
        }
        if kept == 8 {
            assert_eq!(left, [4, 2, 1, 0]);
        }
        spares.refill();
        assert_eq!(spares.files.len(), kept);
    }
}
