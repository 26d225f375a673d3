//! Exits on Linux: pidfds in an epoll.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};

use super::CLOSED;
use crate::process::ProcessHandle;

/// So many ends are told at once.
const AT_ONCE: usize = 64;

/// Waits for the ends of processes. Processes are added and removed from any thread
/// while another one waits.
#[derive(Debug)]
pub struct ExitWatch {
    epoll: OwnedFd,
    /// Readable once the watch is closed.
    close: OwnedFd,
}

impl ExitWatch {
    /// A watch of no process.
    ///
    /// # Errors
    /// The kernel's when it has no more descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: no memory is passed.
        let close = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        let watch = Self { epoll, close };
        watch.control(libc::EPOLL_CTL_ADD, watch.close.as_raw_fd(), libc::EPOLLIN, CLOSED)?;
        Ok(watch)
    }

    /// Tells the end of a process, once, by this token.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&self, process: &ProcessHandle, token: u64) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLONESHOT;
        self.control(libc::EPOLL_CTL_ADD, process.as_fd().as_raw_fd(), events, token)
    }

    /// Tells the end of a process no more.
    pub fn remove(&self, process: &ProcessHandle) {
        // It may never have been added: then there is nothing to remove.
        drop(self.control(libc::EPOLL_CTL_DEL, process.as_fd().as_raw_fd(), 0, 0));
    }

    /// Sleeps until processes have ended, and appends their tokens; false once the
    /// watch is closed.
    ///
    /// # Errors
    /// The kernel's; an interrupted sleep is not one.
    pub fn wait(&self, ended: &mut Vec<u64>) -> io::Result<bool> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; AT_ONCE];
        let room = i32::try_from(AT_ONCE).unwrap_or(i32::MAX);
        let (epoll, first) = (self.epoll.as_raw_fd(), events.as_mut_ptr());
        // SAFETY: the array outlives the call and has the length that is given.
        let count = unsafe { libc::epoll_wait(epoll, first, room, -1) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(true) } else { Err(error) };
        }
        let told = events.iter().take(usize::try_from(count).unwrap_or(0)).map(|event| event.u64);
        let before = ended.len();
        ended.extend(told.clone().filter(|token| *token != CLOSED));
        Ok(ended.len() - before == told.count())
    }

    /// Ends the sleep of whoever waits.
    pub fn close(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes are there and are written.
        unsafe { libc::write(self.close.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    fn control(&self, verb: i32, fd: i32, events: i32, token: u64) -> io::Result<()> {
        let events = u32::try_from(events).unwrap_or(0);
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the structure outlives the call.
        let done = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), verb, fd, &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::identify;

    #[test]
    fn the_end_of_a_process_is_told_once_and_a_closed_watch_ends_the_wait() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let handle = ProcessHandle::open(identify(child.id()).unwrap()).unwrap();
        let watch = ExitWatch::new().unwrap();
        watch.add(&handle, 7).unwrap();
        child.kill().unwrap();
        let mut ended = Vec::new();
        assert!(watch.wait(&mut ended).unwrap());
        assert_eq!(ended, [7]);
        child.wait().unwrap();
        watch.remove(&handle);
        watch.close();
        assert!(!watch.wait(&mut ended).unwrap());
        assert_eq!(ended, [7]);
    }
}
