//! The heap: memory that nobody uses any more, given back.

/// Gives freed memory back to the kernel; what is in use stays. Takes a
/// millisecond for each few megabytes, so it belongs after a burst.
pub fn give_back() {
    // SAFETY: the allocator's own function; it takes its own locks.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}
