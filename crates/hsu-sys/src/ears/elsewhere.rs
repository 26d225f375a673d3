//! Where nobody can be heard: no kernel tells who speaks.

use std::io;
use std::path::Path;

use hsu_model::socket::SocketOwner;

use super::Heard;
use crate::listening::Owned;

/// Ears that cannot exist here.
#[derive(Debug)]
pub struct Ears(());

impl Ears {
    /// Always refused here.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`].
    pub fn new() -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Nothing to listen to.
    pub fn listen(&self, _: u64, _: Owned) {}

    /// Nothing to watch.
    pub fn watch(&self, _: u64, _: Owned) {}

    /// Nobody to ask.
    pub fn ask(&self, _: u64) {}

    /// Nothing to forget.
    pub fn forget(&self, _: u64) {}

    /// Nothing to end.
    pub fn close(&self) {}

    /// Nothing is ever heard.
    #[must_use]
    pub fn wait(&self) -> Option<(u64, Heard)> {
        None
    }

    /// Nothing to take.
    pub fn take(&self, _: u64) {}
}

/// Always refused here.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`].
pub fn bind(_: &Path, _: &SocketOwner) -> io::Result<Owned> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Nobody is known here.
#[must_use]
pub fn family(_: u32) -> Vec<u32> {
    Vec::new()
}

/// Nobody is known here.
#[must_use]
pub fn user(_: u32) -> Option<u32> {
    None
}

/// Nothing is known to be the same here.
#[must_use]
pub fn is_same(_: &Owned, _: &Owned) -> bool {
    false
}
