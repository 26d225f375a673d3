//! Local sockets where they are not built yet: every attempt says so.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use hsu_model::process::ProcessKey;

/// A connection for an async runtime; none is ever made.
pub type AsyncStream = tokio::io::DuplexStream;

/// A socket that cannot exist.
#[derive(Debug)]
pub struct LocalListener(Infallible);

/// A socket that cannot exist.
#[derive(Debug)]
pub struct AsyncListener(Infallible);

/// A connection that cannot exist.
#[derive(Debug)]
pub struct LocalStream(Infallible);

/// Always refused here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub async fn connect_async(_: &Path) -> io::Result<AsyncStream> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Always refused here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn listener_of(_: &AsyncStream) -> io::Result<(Option<u32>, u32)> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

impl LocalListener {
    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn bind(_: &Path) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn into_async(self) -> io::Result<AsyncListener> {
        match self.0 {}
    }
}

impl AsyncListener {
    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self) -> io::Result<(AsyncStream, u32)> {
        match self.0 {}
    }
}

impl LocalStream {
    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn connect(_: &Path, _: Option<Duration>) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn peer(&self) -> io::Result<ProcessKey> {
        match self.0 {}
    }
}

impl Read for LocalStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for LocalStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

/// No users have numbers on this platform.
#[must_use]
pub fn own_uid() -> u32 {
    u32::MAX
}

/// No users have numbers on this platform.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn owner(_: &Path) -> io::Result<u32> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
