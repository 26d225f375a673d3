//! Local sockets on Unix.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use hsu_model::process::ProcessKey;

/// A connection for an async runtime.
pub type AsyncStream = tokio::net::UnixStream;

/// A bound socket.
#[derive(Debug)]
pub struct LocalListener(UnixListener);

/// The same inside an async runtime.
#[derive(Debug)]
pub struct AsyncListener(tokio::net::UnixListener);

/// Connects to a socket of anybody, inside an async runtime.
///
/// # Errors
/// The kernel's.
pub async fn connect_async(path: &Path) -> io::Result<AsyncStream> {
    tokio::net::UnixStream::connect(path).await
}

/// The PID and the user of who made the socket at the other end wait for others; no PID
/// when that process cannot be seen from here.
///
/// # Errors
/// The kernel's.
// Source: unix(7), SO_PEERCRED.
pub fn listener_of(stream: &AsyncStream) -> io::Result<(Option<u32>, u32)> {
    let peer = stream.peer_cred()?;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    Ok((pid, peer.uid()))
}

impl LocalListener {
    /// Binds a path with mode 0660; a socket that is there belonged to an earlier master, and
    /// clients find one or the other at every moment.
    ///
    /// # Errors
    /// The kernel's; [`io::ErrorKind::AlreadyExists`] for anything but a socket.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {}
            Ok(_) => {
                let text = "something that is no socket is there (hint: move it away, or give this \
                            master another `base_directory`)";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // No longer than the path itself, which the kernel keeps short.
        let new = path.with_extension("new");
        drop(std::fs::remove_file(&new));
        // The folder is ours alone, so nobody connects before the mode is set.
        let listener = UnixListener::bind(&new)?;
        std::fs::set_permissions(&new, Permissions::from_mode(0o660))?;
        listener.set_nonblocking(true)?;
        std::fs::rename(&new, path)?;
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

    /// The process that listens at the other end, as it is known here.
    ///
    /// # Errors
    /// The kernel's; [`io::ErrorKind::NotFound`] when it lives in a PID namespace that
    /// hides it, [`io::ErrorKind::Unsupported`] where no kernel tells.
    pub fn peer(&self) -> io::Result<ProcessKey> {
        crate::process::identify(peer_pid(&self.0)?)
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

/// The PID of the process that listens at the other end.
// Source: unix(7), SO_PEERCRED; 0 stands for a process that cannot be seen from here.
#[cfg(target_os = "linux")]
fn peer_pid(stream: &UnixStream) -> io::Result<u32> {
    use std::os::fd::AsRawFd as _;
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes into `peer`, which is that long.
    let done = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    match (done, u32::try_from(peer.pid)) {
        (0, Ok(pid)) if pid > 0 => Ok(pid),
        (0, _) => Err(io::Error::from(io::ErrorKind::NotFound)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn peer_pid(_: &UnixStream) -> io::Result<u32> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// The user that a path belongs to; of a link itself, not of what it leads to.
///
/// # Errors
/// The kernel's.
pub fn owner(path: &Path) -> io::Result<u32> {
    Ok(std::fs::symlink_metadata(path)?.uid())
}

/// The user that this process is.
#[must_use]
pub fn own_uid() -> u32 {
    // SAFETY: no memory is passed.
    unsafe { libc::geteuid() }
}
