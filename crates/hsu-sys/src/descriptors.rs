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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_once_and_stays() {
        let first = raise_limit();
        assert!(first >= 3);
        assert_eq!(raise_limit(), first);
    }
}
