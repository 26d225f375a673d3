//! What a spool asks of a disk, so that its decisions stand apart from the kernel.
//!
//! Everything that becomes of a spool is made of these calls, and a pump may be killed
//! between any two of them: what must hold then is tried with a disk in memory, by the
//! simulator of `hsu-testkit`. The pump's own disk has no size and no state.
//!
//! Deliberately absent: what an error means, and what is opened when.

use std::fmt;
use std::io;
use std::path::Path;

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is a plain file.
    pub is_file: bool,
    /// Its number; 0 is none.
    pub inode: u64,
    /// Its names; none when it was deleted and is open.
    pub links: u64,
    /// Its bytes.
    pub length: u64,
    /// When it was last written, in seconds of the wall clock.
    pub modified: i64,
}

/// Whether a missing log file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is made, with its folders.
    Make,
    /// It stays missing.
    Leave,
}

/// Who may look into a folder that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody else: worker output may hold secrets.
    Own,
    /// Whoever the host lets.
    Usual,
}

/// The files of a host.
pub trait Disk: Clone + fmt::Debug {
    /// An open file.
    type File: DiskFile;

    /// Opens a file for reading and writing, and never waits. A link at the last
    /// component is not followed: it is an error.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] when it is missing and shall stay so.
    fn open(&self, path: &Path, missing: Missing) -> io::Result<Self::File>;

    /// Makes a file that is not there.
    ///
    /// # Errors
    /// The system's, and when something has the name.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Everything in a file.
    ///
    /// # Errors
    /// The system's.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Replaces everything in a file, made when missing. A kill may leave less.
    ///
    /// # Errors
    /// The system's.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// What has this name; links are followed.
    ///
    /// # Errors
    /// The system's.
    fn facts(&self, path: &Path) -> io::Result<Facts>;

    /// The number of what has this name; links are not followed.
    ///
    /// # Errors
    /// The system's.
    fn inode(&self, path: &Path) -> io::Result<u64>;

    /// Gives a file another name, and takes that from whoever had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes the name of a file away.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and those that it lies in; one that is there is none to make.
    ///
    /// # Errors
    /// The system's.
    fn make_folders(&self, path: &Path, access: Access) -> io::Result<()>;

    /// The names in a folder that are text, in any order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Whether something has this name; links are followed.
    ///
    /// # Errors
    /// The system's when it cannot say so: what cannot be seen is not taken for gone.
    fn has(&self, path: &Path) -> io::Result<bool> {
        match self.facts(path) {
            Err(error) if is_absence(&error) => Ok(false),
            facts => facts.map(|_| true),
        }
    }
}

/// Whether an error says that nothing has the name.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// An open file.
pub trait DiskFile: fmt::Debug {
    /// Fills the buffer from a place of the file.
    ///
    /// # Errors
    /// The system's, and when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all bytes at a place of the file. On a disk without room a part of them.
    ///
    /// # Errors
    /// The system's.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// What is known of it.
    ///
    /// # Errors
    /// The system's.
    fn facts(&self) -> io::Result<Facts>;

    /// Says when it was last written, in seconds of the wall clock.
    ///
    /// # Errors
    /// The system's.
    fn set_modified(&self, seconds: i64) -> io::Result<()>;

    /// Copies what follows a place to the beginning of another file.
    ///
    /// # Errors
    /// The system's. The other file has a part then.
    fn copy_rest(&self, from: u64, to: &Self) -> io::Result<()>;
}

/// The read end of a pipe that a worker writes to. Nothing here waits.
pub trait Pipe<F>: fmt::Debug {
    /// What it takes to look at bytes without taking them.
    type Scratch: fmt::Debug;

    /// Moves up to `most` bytes to a place of a file, in one step that a kill does not
    /// divide. None is the end of the pipe.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] when nothing waits.
    fn splice(&self, file: &F, at: u64, most: usize) -> io::Result<usize>;

    /// The bytes that wait.
    ///
    /// # Errors
    /// The system's.
    fn waiting(&self) -> io::Result<usize>;

    /// Takes bytes, at most as many as the buffer holds. None is the end of the pipe.
    ///
    /// # Errors
    /// The system's.
    fn take(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Copies the first bytes into the buffer and leaves them in the pipe. None is the end.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] when nothing waits.
    fn peek(&self, scratch: &mut Self::Scratch, buffer: &mut [u8]) -> io::Result<usize>;

    /// The bytes that it can hold.
    ///
    /// # Errors
    /// The system's.
    fn capacity(&self) -> io::Result<usize>;

    /// Asks for a larger pipe; answers what it can hold now.
    ///
    /// # Errors
    /// The system's.
    fn grow(&self, size: usize) -> io::Result<usize>;
}
