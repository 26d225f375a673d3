//! Processes where there are no pidfds yet: a hold cannot be had, and says so.

use std::io;

use hsu_model::exit::Exit;
use hsu_model::process::ProcessKey;

/// What a handle is made of.
#[cfg(unix)]
pub type Owned = std::os::fd::OwnedFd;
/// What a handle is made of.
#[cfg(windows)]
pub type Owned = std::os::windows::io::OwnedHandle;

/// A hold on one process.
#[derive(Debug)]
pub struct ProcessHandle(#[expect(dead_code, reason = "kept open")] Owned);

impl ProcessHandle {
    /// Takes a descriptor of a process.
    #[must_use]
    pub fn from_owned(owned: Owned) -> Self {
        Self(owned)
    }

    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn open(_: ProcessKey) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn signal(&self, _: i32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn copy(&self) -> io::Result<Owned> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Not told on this platform.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        false
    }

    /// Not told on this platform.
    #[must_use]
    pub fn exit_status(&self) -> Option<Exit> {
        None
    }
}

/// The master has no children on this platform.
pub fn reap_children() {}

/// Always refused here.
pub fn begin_anew(_: &[std::ffi::CString], _: &[std::ffi::CString]) -> io::Error {
    io::ErrorKind::Unsupported.into()
}
