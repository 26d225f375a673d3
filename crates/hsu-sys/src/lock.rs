//! The lock of a master: one at a time per state folder, and one per runtime folder.
//!
//! Two masters on one state would write over each other. Two with states of their own and
//! one runtime folder would share a keeper, its workers and every socket.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a master that was killed may still hold its lock.
const LETS_GO_WITHIN: Duration = Duration::from_millis(500);

/// Held for as long as this value lives, and not by any child of ours.
#[derive(Debug)]
pub struct MasterLock {
    _state: File,
    _runtime: File,
}

/// What a folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// What outlives a master.
    State,
    /// The sockets and the keeper.
    Runtime,
}

impl Place {
    /// The name of the file that is locked. Two names, because both may be one folder.
    fn file(self) -> &'static str {
        match self {
            Self::State => "master.lock",
            Self::Runtime => "runtime.lock",
        }
    }

    /// What somebody can do who is refused.
    fn hint(self) -> &'static str {
        match self {
            Self::State => {
                "its state is there; `hsu-master-cli master shutdown` ends it, \
                 `hsu-master-cli master upgrade` replaces it, and another `base_directory` or \
                 XDG_STATE_HOME lets this one run beside it"
            }
            Self::Runtime => {
                "its sockets and its keeper are there; another `base_directory`, \
                 `service_context` or XDG_RUNTIME_DIR lets this one run beside it"
            }
        }
    }
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another master has it.
    #[error(
        "another master{} owns {} (hint: {})",
        holder.map(|pid| format!(" (PID {pid})")).unwrap_or_default(),
        folder.display(),
        place.hint()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// What it is for.
        place: Place,
        /// The PID of the other master, as far as it has said so.
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
    #[error("cannot lock {}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl MasterLock {
    /// Takes the locks of two folders that exist, or neither. A master that was just killed
    /// lets go of them within a moment, so that is waited for: half a second each. The
    /// kernel gives them back when this process ends, however it ends.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire(state: &Path, runtime: &Path) -> Result<Self, LockError> {
        Ok(Self { _state: lock(state, Place::State)?, _runtime: lock(runtime, Place::Runtime)? })
    }
}

fn lock(folder: &Path, place: Place) -> Result<File, LockError> {
    let path = folder.join(place.file());
    let io = |source| LockError::Io { file: path.clone(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    follow_no_link(&mut options);
    let mut file = options.open(&path).map_err(io)?;
    if place == Place::State && is_remote(&file) {
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
                return Err(LockError::Held { folder: folder.to_owned(), place, holder });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
    // Who holds it is only for people: a full disk does not stop a master.
    drop(write_holder(&mut file));
    Ok(file)
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

    fn folders() -> (tempfile::TempDir, tempfile::TempDir) {
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
    }

    fn refused(state: &Path, runtime: &Path) -> LockError {
        MasterLock::acquire(state, runtime).unwrap_err()
    }

    #[test]
    fn a_second_master_is_refused_and_told_who_is_there_until_the_first_ends() {
        let ((state, runtime), (other, elsewhere)) = (folders(), folders());
        let first = MasterLock::acquire(state.path(), runtime.path()).unwrap();
        for (mine, theirs, folder, hint) in [
            (state.path(), elsewhere.path(), state.path(), "XDG_STATE_HOME"),
            (other.path(), runtime.path(), runtime.path(), "XDG_RUNTIME_DIR"),
        ] {
            let refused = refused(mine, theirs);
            assert!(matches!(refused, LockError::Held { .. }), "{refused}");
            let said = refused.to_string();
            assert!(said.contains(&*folder.to_string_lossy()), "{said}");
            assert!(said.contains("(hint: ") && said.contains(hint), "{said}");
            if cfg!(unix) {
                let wanted = format!("another master (PID {}) owns ", std::process::id());
                assert!(said.starts_with(&wanted), "{said}");
            }
        }
        assert!(MasterLock::acquire(other.path(), elsewhere.path()).is_ok(), "nothing is shared");
        drop(first);
        assert!(MasterLock::acquire(state.path(), runtime.path()).is_ok());
    }

    #[test]
    fn state_and_sockets_may_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = MasterLock::acquire(folder.path(), folder.path()).unwrap();
        assert!(matches!(refused(folder.path(), folder.path()), LockError::Held { .. }));
        drop(first);
    }

    #[test]
    fn whoever_is_refused_one_folder_leaves_the_other_alone() {
        let ((state, runtime), (other, elsewhere)) = (folders(), folders());
        let _first = MasterLock::acquire(state.path(), runtime.path()).unwrap();
        assert!(matches!(refused(other.path(), runtime.path()), LockError::Held { .. }));
        assert!(MasterLock::acquire(other.path(), elsewhere.path()).is_ok());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let (state, _) = folders();
        let missing = state.path().join("none");
        for refused in [refused(&missing, state.path()), refused(state.path(), &missing)] {
            assert!(matches!(refused, LockError::Io { .. }), "{refused}");
            assert!(refused.to_string().contains("none"), "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn whoever_left_nonsense_in_the_file_is_not_named() {
        let (state, runtime) = folders();
        let _first = MasterLock::acquire(state.path(), runtime.path()).unwrap();
        std::fs::write(state.path().join(Place::State.file()), [0xff; 100]).unwrap();
        let refused = refused(state.path(), runtime.path());
        assert!(matches!(refused, LockError::Held { holder: None, .. }), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        for place in [Place::State, Place::Runtime] {
            let (state, runtime) = folders();
            let target = state.path().join("target");
            let folder = if place == Place::State { state.path() } else { runtime.path() };
            std::os::unix::fs::symlink(&target, folder.join(place.file())).unwrap();
            assert!(MasterLock::acquire(state.path(), runtime.path()).is_err());
            assert!(!target.exists());
        }
    }
}
