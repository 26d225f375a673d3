//! Folders on Linux: inotify, and an eventfd for whoever wakes the sleep.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::Changes;

/// Room for some changes; each has a name of at most 255 bytes.
const ROOM: usize = 4096;

/// Waits for changes in folders.
#[derive(Debug)]
pub struct FolderWatch {
    /// Made for the first folder: the kernel may have no more of them for this user, and
    /// has one later.
    queue: OnceLock<OwnedFd>,
    poked: OwnedFd,
}

impl FolderWatch {
    /// A watch of no folder.
    ///
    /// # Errors
    /// The kernel's when it has no more descriptors.
    pub fn new() -> io::Result<Self> {
        let poked = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { queue: OnceLock::new(), poked })
    }

    fn queue(&self) -> io::Result<&OwnedFd> {
        match self.queue.get() {
            Some(queue) => Ok(queue),
            None => {
                let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
                Ok(self.queue.get_or_init(|| queue))
            }
        }
    }

    /// Watches a folder from now on; its number. One that is watched keeps its number.
    ///
    /// # Errors
    /// The kernel's: it is not there, or too many are watched, here or by this user.
    pub fn watch(&self, folder: &Path) -> io::Result<i32> {
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        Ok(inotify::add_watch(self.queue()?, folder, flags)?)
    }

    /// Sleeps until something changes, somebody pokes, or the time is over.
    ///
    /// # Errors
    /// The kernel's; an interrupted sleep is not one.
    pub fn wait(&self, limit: Option<Duration>, changes: &mut Changes) -> io::Result<()> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut waits: Vec<_> = std::iter::once(&self.poked)
            .chain(self.queue.get())
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        match poll(&mut waits, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut count = [0; 8];
        // Empty when nobody has poked.
        let _ = rustix::io::read(&self.poked, &mut count);
        self.queue.get().map_or(Ok(()), |queue| read(queue, changes))
    }

    /// Ends the sleep of whoever waits.
    pub fn poke(&self) {
        // It is full only when the sleep has been ended already.
        let _ = rustix::io::write(&self.poked, &1_u64.to_ne_bytes());
    }
}

fn read(queue: &OwnedFd, changes: &mut Changes) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut reader = Reader::new(queue, &mut room);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let lost = ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED;
        match event.file_name() {
            Some(name) => {
                let name = std::ffi::OsStr::from_bytes(name.to_bytes());
                changes.names.push((event.wd(), OsString::from(name)));
            }
            None => changes.all |= event.events().intersects(lost),
        }
    }
}
