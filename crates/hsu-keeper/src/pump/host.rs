//! The disk and the pipes of this host, as [`super::disk`] asks for them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileExt, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::disk::{Access, Disk, DiskFile, Facts, Missing, Pipe};
use super::kernel;

/// The files of this host.
#[derive(Clone, Copy, Debug)]
pub struct Host;

fn facts_of(facts: &fs::Metadata) -> Facts {
    Facts {
        is_file: facts.is_file(),
        inode: facts.ino(),
        links: facts.nlink(),
        length: facts.len(),
        modified: facts.mtime(),
    }
}

impl Disk for Host {
    type File = File;

    fn open(&self, path: &Path, missing: Missing) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(missing == Missing::Make)
            .truncate(false)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, bytes)
    }

    fn facts(&self, path: &Path) -> io::Result<Facts> {
        fs::metadata(path).map(|facts| facts_of(&facts))
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        fs::symlink_metadata(path).map(|facts| facts.ino())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folders(&self, path: &Path, access: Access) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        if access == Access::Own {
            builder.mode(0o700);
        }
        builder.recursive(true).create(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }
}

impl DiskFile for File {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn facts(&self) -> io::Result<Facts> {
        self.metadata().map(|facts| facts_of(&facts))
    }

    fn set_modified(&self, seconds: i64) -> io::Result<()> {
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Self::set_modified(self, SystemTime::UNIX_EPOCH + since)
    }

    fn copy_rest(&self, from: u64, to: &Self) -> io::Result<()> {
        let (mut source, mut target) = (self, to);
        source.seek(SeekFrom::Start(from))?;
        io::copy(&mut source, &mut target).map(|_| ())
    }
}

/// Where bytes go that are looked at and stay in their pipe.
#[derive(Debug)]
pub struct Scratch {
    entry: io::PipeWriter,
    exit: io::PipeReader,
}

impl Scratch {
    /// Two ends of a pipe.
    ///
    /// # Errors
    /// The system's when it has no more descriptors.
    pub fn new() -> io::Result<Self> {
        let (exit, entry) = io::pipe()?;
        Ok(Self { entry, exit })
    }
}

impl Pipe<File> for OwnedFd {
    type Scratch = Scratch;

    fn splice(&self, file: &File, at: u64, most: usize) -> io::Result<usize> {
        kernel::splice_to_file(self.as_fd(), file.as_fd(), at, most)
    }

    fn waiting(&self) -> io::Result<usize> {
        kernel::waiting_bytes(self.as_fd())
    }

    fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        kernel::read(self.as_fd(), buffer)
    }

    fn peek(&self, scratch: &mut Scratch, buffer: &mut [u8]) -> io::Result<usize> {
        let copied = kernel::tee(self.as_fd(), scratch.entry.as_fd(), buffer.len())?;
        let part = buffer.get_mut(..copied).unwrap_or_default();
        scratch.exit.read_exact(part)?;
        Ok(copied)
    }

    fn capacity(&self) -> io::Result<usize> {
        kernel::pipe_capacity(self.as_fd())
    }

    fn grow(&self, size: usize) -> io::Result<usize> {
        kernel::grow_pipe(self.as_fd(), size)
    }
}
