//! Exits where a process that is not ours cannot be held: there is nothing to wait for.

use std::io;

use crate::process::ProcessHandle;

/// Waits for the ends of processes.
#[derive(Debug)]
pub struct ExitWatch(());

impl ExitWatch {
    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn add(&self, _: &ProcessHandle, token: u64) -> io::Result<()> {
        debug_assert_ne!(token, super::CLOSED, "no process has this token");
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nothing was ever added.
    pub fn remove(&self, _: &ProcessHandle) {}

    /// Nothing can end here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn wait(&self, _: &mut Vec<u64>) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nobody waits.
    pub fn close(&self) {}
}
