//! Presence on Linux: inotify.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What the kernel watches.
#[derive(Debug)]
pub(super) struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Of the file itself, whose count of names changes when one goes, and of its folder,
    /// but not of what else is in it.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let notices = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let moved = WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        add_watch(&notices, path, moved | WatchFlags::ATTRIB | WatchFlags::DONT_FOLLOW)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            add_watch(&notices, folder, moved)?;
        }
        // SAFETY: an owned descriptor is the same, and open, until it is dropped.
        let watch = unsafe { AsyncFd::register_with_interest(notices, Interest::READABLE) }?;
        Ok(Self(watch))
    }

    /// Waits for the first change; there is nothing to take, since nobody waits twice.
    pub(super) async fn changed(&self) {
        drop(self.0.readable().await);
    }
}
