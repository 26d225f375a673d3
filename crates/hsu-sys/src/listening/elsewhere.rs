//! Where no sockets are passed to workers.

use std::io;

use hsu_model::socket::ListeningSocket;

/// A descriptor.
#[cfg(unix)]
pub type Owned = std::os::fd::OwnedFd;
/// A descriptor.
#[cfg(windows)]
pub type Owned = std::os::windows::io::OwnedHandle;

/// Always refused here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn listen(_: &ListeningSocket) -> io::Result<Owned> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Nothing was made here.
pub fn forget(_: &str) {}
