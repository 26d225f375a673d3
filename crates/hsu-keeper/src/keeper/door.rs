//! The door: where masters and pumps find the keeper, for as long as it lives.
//!
//! Somebody may clean up the runtime folder under a running keeper. A master that is
//! lost then has to find the next door, so the keeper looks after its own whenever
//! somebody has left or is about to come; nothing is polled.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Keeper;
use crate::kernel::check;
use crate::link::{address, socket};
use crate::{KeeperPlan, at};

/// How long a keeper that was killed may hold its lock.
const LOCK_WITHIN: Duration = Duration::from_millis(200);
/// The mode of a runtime folder: the group may use the socket of the API inside.
const PRIVATE: u32 = 0o750;

/// A file, whatever its name is by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(found: &std::fs::Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }

    /// What is at a path, a link itself and not what it leads to; none when nothing is.
    fn at(path: &Path) -> Option<Self> {
        std::fs::symlink_metadata(path).ok().as_ref().map(Self::of)
    }
}

/// A socket that listens at a path.
#[derive(Debug)]
pub(super) struct Door {
    listener: OwnedFd,
    identity: Identity,
}

impl Door {
    /// Listens at a path; whatever was there belonged to an earlier keeper. It is replaced by
    /// rename, and so whoever comes finds one or the other.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // No longer than the path itself, which the kernel keeps short.
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let listener = socket()?;
        let address = address(&new)?;
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(0);
        let raw = listener.as_raw_fd();
        // SAFETY: the address outlives the call, and its length is given.
        check(unsafe { libc::bind(raw, (&raw const address).cast(), length) }.into())
            .map_err(at(&new))?;
        // SAFETY: no memory is passed.
        check(unsafe { libc::listen(raw, 16) }.into())?;
        // Of its name, since the descriptor is known by another number.
        let identity = std::fs::symlink_metadata(&new).map_err(at(&new))?;
        std::fs::rename(&new, path).map_err(at(path))?;
        Ok(Self { listener, identity: Identity::of(&identity) })
    }

    fn is_at(&self, path: &Path) -> bool {
        Identity::at(path) == Some(self.identity)
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Becomes the one keeper of a runtime folder. One that was just killed lets go
/// of it within a moment, so we wait for that long.
pub(super) fn take_lock(plan: &KeeperPlan) -> io::Result<File> {
    let until = Instant::now() + LOCK_WITHIN;
    loop {
        if let Some(lock) = try_lock(plan)? {
            return Ok(lock);
        }
        if Instant::now() >= until {
            let text = format!("another keeper has the folder {}", plan.runtime.display());
            return Err(io::Error::other(text));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn try_lock(plan: &KeeperPlan) -> io::Result<Option<File>> {
    let path = plan.lock();
    // No link is followed, and nothing is emptied: the folder may be another one by now.
    let mut options = File::options();
    options.write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
    let lock = options.open(&path).map_err(at(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Whether a folder is ours and no other user writes into it, as the master asks of it too.
fn is_private(folder: &Path) -> bool {
    // SAFETY: it takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    std::fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o002 == 0)
}

impl Keeper {
    /// Opens the door anew when somebody took it away. What the kernel refuses is tried
    /// again for the next one who comes.
    pub(super) fn keep_door(&mut self) {
        if !self.connections.door.is_at(&self.plan.socket()) && self.regain_folder() {
            // Whoever waits at the old one has found it in time.
            while self.accept() {}
            let _ = self.connections.move_to(&self.plan.socket(), &self.epoll);
        }
    }

    /// Whether the folder is ours, made anew or not: another keeper may have it by now.
    fn regain_folder(&mut self) -> bool {
        let _ = DirBuilder::new().mode(PRIVATE).create(&self.plan.runtime);
        let ours = self.lock.metadata().ok().as_ref().map(Identity::of);
        if ours.is_some() && Identity::at(&self.plan.lock()) == ours {
            return true;
        }
        if !is_private(&self.plan.runtime) {
            return false;
        }
        let regained = try_lock(&self.plan).ok().flatten();
        regained.map(|lock| self.lock = lock).is_some()
    }
}
