//! Descriptors that travel beside messages.

#[cfg(unix)]
use std::os::fd::{AsRawFd as _, OwnedFd as Owned};
#[cfg(windows)]
use std::os::windows::io::{AsRawHandle as _, OwnedHandle as Owned};

/// A descriptor that belongs to whoever holds this.
#[derive(Debug)]
pub struct Descriptor(Owned);

impl Descriptor {
    /// Takes a descriptor.
    #[must_use]
    pub fn new(owned: Owned) -> Self {
        Self(owned)
    }

    /// Gives it away.
    #[must_use]
    pub fn into_inner(self) -> Owned {
        self.0
    }

    /// The descriptor itself.
    #[must_use]
    pub fn inner(&self) -> &Owned {
        &self.0
    }
}

impl PartialEq for Descriptor {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(unix)]
        return self.0.as_raw_fd() == other.0.as_raw_fd();
        #[cfg(windows)]
        return self.0.as_raw_handle() == other.0.as_raw_handle();
    }
}
