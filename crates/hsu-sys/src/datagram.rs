//! Datagrams of the pump to the master.

use std::io;
use std::path::Path;

#[cfg(unix)]
mod os {
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A bound socket that one thread reads and any thread closes.
    #[derive(Debug)]
    pub struct NoticeSocket {
        pub(super) socket: UnixDatagram,
        pub(super) path: PathBuf,
        pub(super) closed: AtomicBool,
    }

    impl NoticeSocket {
        /// Waits for a datagram; none when the socket was closed.
        #[must_use]
        pub fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
            loop {
                let received = self.socket.recv(buffer);
                if self.closed.load(Ordering::Acquire) {
                    return None;
                }
                match received {
                    Ok(length) => return Some(length),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return None,
                }
            }
        }

        /// Ends the wait of the reading thread.
        pub fn close(&self) {
            self.closed.store(true, Ordering::Release);
            drop(self.socket.shutdown(std::net::Shutdown::Both));
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(not(unix))]
mod os {
    /// A socket that does not exist on this platform.
    #[derive(Debug)]
    pub struct NoticeSocket(());

    impl NoticeSocket {
        /// Nothing comes on this platform.
        #[must_use]
        pub fn receive(&self, _: &mut [u8]) -> Option<usize> {
            None
        }

        /// Nothing to close on this platform.
        pub fn close(&self) {}
    }
}

pub use os::NoticeSocket;

impl NoticeSocket {
    /// Binds a path; whatever was there belonged to an earlier master.
    ///
    /// # Errors
    /// The kernel's.
    #[cfg(unix)]
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        Ok(Self {
            socket: std::os::unix::net::UnixDatagram::bind(path)?,
            path: path.to_owned(),
            closed: false.into(),
        })
    }

    /// Always refused on this platform.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    #[cfg(not(unix))]
    pub fn bind(_: &Path) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
