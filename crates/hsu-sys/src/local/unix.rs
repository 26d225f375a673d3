//! Local sockets on Unix.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// A connection for an async runtime.
pub type AsyncStream = tokio::net::UnixStream;

/// A bound socket.
#[derive(Debug)]
pub struct LocalListener(UnixListener);

/// The same inside an async runtime.
#[derive(Debug)]
pub struct AsyncListener(tokio::net::UnixListener);

impl LocalListener {
    /// Binds a path with mode 0660; a socket that is there belonged to an earlier master.
    ///
    /// # Errors
    /// The kernel's; [`io::ErrorKind::AlreadyExists`] for anything but a socket.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // The folder is ours alone, so nobody connects before the mode is set.
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Hands it to the async runtime of this thread.
    ///
    /// # Errors
    /// The kernel's.
    pub fn into_async(self) -> io::Result<AsyncListener> {
        tokio::net::UnixListener::from_std(self.0).map(AsyncListener)
    }
}

impl AsyncListener {
    /// The next connection, and the user id of its other end.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn accept(&self) -> io::Result<(AsyncStream, u32)> {
        let (stream, _) = self.0.accept().await?;
        let uid = stream.peer_cred()?.uid();
        Ok((stream, uid))
    }
}

/// A connection of a client, which may block.
#[derive(Debug)]
pub struct LocalStream(UnixStream);

impl LocalStream {
    /// Connects; neither a read nor a write waits longer than `timeout`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn connect(path: &Path, timeout: Option<Duration>) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(timeout)?;
        stream.set_write_timeout(timeout)?;
        Ok(Self(stream))
    }
}

impl Read for LocalStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for LocalStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The user that this process is.
#[must_use]
pub fn own_uid() -> u32 {
    // SAFETY: no memory is passed.
    unsafe { libc::geteuid() }
}
