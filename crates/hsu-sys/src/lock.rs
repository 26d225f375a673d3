//! The lock of a state folder: one master at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of the file that is locked.
const NAME: &str = "master.lock";
/// How long a master that was killed may still hold its lock.
const LETS_GO_WITHIN: Duration = Duration::from_millis(500);

/// Held for as long as this value lives, and not by any child of ours.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another master has it.
    #[error(
        "another master{} owns {}",
        holder.map(|pid| format!(" (PID {pid})")).unwrap_or_default(),
        folder.display()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Its PID, as far as it has said so.
        holder: Option<u32>,
    },
    /// The folder is shared between hosts: neither a lock nor the database is safe there.
    #[error(
        "{} is on a network file system, where state is not safe (hint: a folder on a local disk)",
        folder.display()
    )]
    Remote {
        /// The folder.
        folder: PathBuf,
    },
    /// The file cannot be used.
    #[error("cannot lock {}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl StateLock {
    /// Takes the lock of a folder that exists. A master that was just killed lets go of it
    /// within a moment, so that is waited for: half a second. The kernel gives it back
    /// when this process ends, however it ends.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { folder: folder.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        follow_no_link(&mut options);
        let mut file = options.open(folder.join(NAME)).map_err(io)?;
        if is_remote(&file) {
            return Err(LockError::Remote { folder: folder.to_owned() });
        }
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begin.elapsed() < LETS_GO_WITHIN => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    let holder = read_holder(&mut file);
                    return Err(LockError::Held { folder: folder.to_owned(), holder });
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
        // Who holds it is only for people: a full disk does not stop a master.
        drop(write_holder(&mut file));
        Ok(Self { _file: file })
    }
}

fn read_holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

#[cfg(unix)]
fn follow_no_link(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.custom_flags(libc::O_NOFOLLOW).mode(0o640);
}

#[cfg(not(unix))]
fn follow_no_link(_: &mut OpenOptions) {}

/// Whether a file system is known to be shared between hosts.
// Source: statfs(2), f_type of NFS, SMB1, SMB2 and later, AFS, Coda, Ceph and OCFS2.
#[cfg(target_os = "linux")]
fn is_remote(file: &File) -> bool {
    use std::os::fd::AsRawFd as _;
    const REMOTE: [u32; 7] =
        [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x5346_414f, 0x7375_7245, 0x00c3_6400, 0x7461_636f];
    // SAFETY: all zeroes is a valid statfs.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the structure outlives the call.
    let done = unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut found) };
    // The type of the field differs between C libraries, its low 32 bits do not.
    let kind = i128::from(found.f_type) & i128::from(u32::MAX);
    done == 0 && REMOTE.iter().any(|magic| i128::from(*magic) == kind)
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_master_is_refused_and_told_who_is_there_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateLock::acquire(folder.path()).unwrap();
        let refused = StateLock::acquire(folder.path()).unwrap_err();
        assert!(matches!(refused, LockError::Held { .. }), "{refused}");
        if cfg!(unix) {
            let wanted = format!("another master (PID {}) owns ", std::process::id());
            assert!(refused.to_string().starts_with(&wanted), "{refused}");
        }
        drop(first);
        assert!(StateLock::acquire(folder.path()).is_ok());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = StateLock::acquire(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, LockError::Io { .. }), "{missing}");
    }

    #[cfg(unix)]
    #[test]
    fn whoever_left_nonsense_in_the_file_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        let _first = StateLock::acquire(folder.path()).unwrap();
        std::fs::write(folder.path().join(NAME), [0xff; 100]).unwrap();
        let refused = StateLock::acquire(folder.path()).unwrap_err();
        assert!(matches!(refused, LockError::Held { holder: None, .. }), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::os::unix::fs::symlink(&target, folder.path().join(NAME)).unwrap();
        assert!(StateLock::acquire(folder.path()).is_err());
        assert!(!target.exists());
    }
}
