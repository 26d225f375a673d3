//! Memory that nobody uses any more, given back.

/// Gives back to the kernel what was freed, and what of the program was needed for the work
/// that is over; what is in use stays or comes back by itself. Takes a millisecond for each few
/// megabytes, so it belongs after a burst.
pub fn give_back() {
    #[cfg(target_os = "linux")]
    code::give_back();
    // SAFETY: the allocator's own function; it takes its own locks.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The code and the constants of this program: pages of its file, which the kernel maps again,
/// 64 KiB at a time, from its cache. What starts, reads YAML and binds sockets is most of it.
#[cfg(target_os = "linux")]
mod code {
    use std::ffi::{c_int, c_void};

    pub(super) fn give_back() {
        // SAFETY: the function is called before this returns, and needs no data.
        unsafe { libc::dl_iterate_phdr(Some(of_object), std::ptr::null_mut()) };
    }

    /// Gives back the segments of the first object, which is the program, and ends the walk.
    #[expect(clippy::cast_possible_truncation, reason = "they are as wide as a pointer")]
    unsafe extern "C" fn of_object(
        object: *mut libc::dl_phdr_info,
        _: usize,
        _: *mut c_void,
    ) -> c_int {
        // SAFETY: the linker passes a valid structure.
        let object = unsafe { &*object };
        if object.dlpi_phdr.is_null() {
            return 1;
        }
        // SAFETY: it tells where its headers are and how many.
        let headers =
            unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
        for header in headers {
            // What was ever writable may differ from the file.
            if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0 {
                let begin = object.dlpi_addr as usize + header.p_vaddr as usize;
                forget(begin, header.p_memsz as usize);
            }
        }
        1
    }

    /// Unmaps the whole pages of a range that is never written.
    fn forget(begin: usize, length: usize) {
        // SAFETY: no memory is passed.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).unwrap_or(4096);
        let (first, end) = (begin.next_multiple_of(page), (begin + length) / page * page);
        if let Some(length) = end.checked_sub(first).filter(|length| *length > 0) {
            // SAFETY: the pages are read from the program's file again when they are touched.
            unsafe {
                libc::madvise(
                    std::ptr::with_exposed_provenance_mut(first),
                    length,
                    libc::MADV_DONTNEED,
                )
            };
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn the_program_goes_on_with_less_of_itself_in_memory() {
        // Everything that was linked is read once.
        let program = std::fs::read("/proc/self/exe").unwrap();
        let text = format!("{:?}", program.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        let before = resident();
        super::give_back();
        assert!(resident() < before, "{before} KiB before");
        assert_eq!(text, format!("{:?}", program.iter().map(|byte| u64::from(*byte)).sum::<u64>()));
    }
}
