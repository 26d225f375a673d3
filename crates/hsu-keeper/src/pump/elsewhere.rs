//! Where there is no `splice` there is no pump: opening one says so.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use super::{PumpError, PumpOptions, Turn};

/// A pump that does not exist on this platform.
#[derive(Debug)]
pub struct Pump {
    never: Infallible,
}

impl Pump {
    /// Answers that this platform has no pump.
    ///
    /// # Errors
    /// Always [`PumpError::Unsupported`].
    pub fn open(_: &PumpOptions) -> Result<Self, PumpError> {
        Err(PumpError::Unsupported)
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn turn(&mut self, _: Option<Duration>) -> io::Result<Turn> {
        match self.never {}
    }
}
