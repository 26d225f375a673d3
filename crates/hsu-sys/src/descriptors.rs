//! Descriptors: how many there may be, and the first three.

/// Lets this process hold as many descriptors as it may; how many that are.
#[cfg(unix)]
#[must_use]
pub fn raise_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let had = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the structure outlives the call.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
    if raised { limit.rlim_max } else { had }
}

/// This platform knows no such limit.
#[cfg(not(unix))]
#[must_use]
pub fn raise_limit() -> u64 {
    u64::MAX
}

/// Opens the null device in place of standard descriptors that are closed, so
/// that no file or socket ever becomes one by accident.
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
