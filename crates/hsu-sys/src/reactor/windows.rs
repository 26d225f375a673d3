//! The reactor on Windows: not built, and says so.

use std::io;

use super::{Ready, Wait};

pub use std::os::windows::io::AsHandle as Source;

/// Waits for the loop.
#[derive(Debug)]
pub struct Reactor(());

/// Wakes the loop from any thread.
#[derive(Clone, Debug)]
pub struct Waker(());

impl Reactor {
    /// Always refused on this platform.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn new() -> io::Result<Self> {
        Err(unsupported())
    }

    /// A handle that wakes this reactor.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(())
    }

    pub(super) fn poll<S: Source>(&mut self, _wait: &Wait<'_, S>) -> io::Result<Ready> {
        Err(unsupported())
    }
}

impl Waker {
    /// Wakes the reactor; none exists on this platform.
    pub fn wake(&self) {}
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "running workers is not supported on Windows yet")
}
