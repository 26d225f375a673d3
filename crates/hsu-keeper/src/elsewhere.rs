//! Where there is no keeper yet: every entry point says so.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::{Flushed, FromKeeper, KeeperPlan, Program, Received, ToKeeper};

/// A link that cannot exist on this platform.
#[derive(Debug)]
pub struct Link {
    never: Infallible,
}

impl Link {
    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn connect(_: &Path, _: ToKeeper) -> io::Result<Self> {
        Err(unsupported())
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn peer(&self) -> io::Result<u32> {
        match self.never {}
    }

    /// Cannot be called: no value exists.
    pub fn queue(&mut self, _: ToKeeper) {
        match self.never {}
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        match self.never {}
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn receive(&mut self, _: &mut Vec<FromKeeper>) -> io::Result<Received> {
        match self.never {}
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Link {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.never {}
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsHandle for Link {
    fn as_handle(&self) -> std::os::windows::io::BorrowedHandle<'_> {
        match self.never {}
    }
}

/// Always refused here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn start(_: &KeeperPlan, _: &Program) -> io::Result<u32> {
    Err(unsupported())
}

/// Always refused here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn keeper_main(_: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    Err(unsupported())
}

/// Always refused here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn pump_main(_: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "workers can be run on Linux only at present")
}
