//! Folders where nobody tells what changes: only the time and a poke end the sleep.

use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Changes;

/// Waits for somebody to poke.
#[derive(Debug, Default)]
pub struct FolderWatch {
    poked: Mutex<bool>,
    bell: Condvar,
}

impl FolderWatch {
    /// A watch of no folder.
    ///
    /// # Errors
    /// None here.
    pub fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn watch(&self, _: &Path) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sleeps until somebody pokes, or the time is over; then everything may have changed.
    ///
    /// # Errors
    /// None here.
    pub fn wait(&self, limit: Option<Duration>, changes: &mut Changes) -> io::Result<()> {
        let poked = self.poked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut poked = match limit {
            Some(limit) => {
                let waited = self.bell.wait_timeout_while(poked, limit, |poked| !*poked);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.bell.wait_while(poked, |poked| !*poked);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
        *poked = false;
        changes.all = true;
        Ok(())
    }

    /// Ends the sleep of whoever waits.
    pub fn poke(&self) {
        *self.poked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }
}
