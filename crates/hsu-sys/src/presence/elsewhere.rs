//! Presence where nobody watches: it is looked at.

use std::io;
use std::path::Path;

/// There is none.
#[derive(Debug)]
pub(super) enum Watch {}

impl Watch {
    pub(super) fn of(_: &Path) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    pub(super) async fn changed(&self) {
        match *self {}
    }
}
