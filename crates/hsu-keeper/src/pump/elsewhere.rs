//! Where there is no `splice` there is no pump: opening one says so.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use hsu_model::id::RunId;
use hsu_model::spool::SpoolId;
use hsu_model::spool::notice::Stuck;
use hsu_model::spool::plan::SpoolPlan;

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

/// A spool that is fed, which does not exist on this platform.
#[derive(Debug)]
pub struct Inlet {
    never: Infallible,
}

impl Inlet {
    /// The most bytes that one call takes.
    pub const MOST: usize = 64 << 10;

    /// Answers that this platform has no spools of the pump.
    ///
    /// # Errors
    /// Always [`io::ErrorKind::Unsupported`].
    pub fn open(_: &PumpOptions, _: SpoolId, _: SpoolPlan) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn end(&mut self) -> Result<u64, Stuck> {
        match self.never {}
    }

    /// Cannot be called: no value exists.
    ///
    /// # Errors
    /// None.
    pub fn end_line(&mut self) -> Result<u64, Stuck> {
        match self.never {}
    }

    /// Cannot be called: no value exists.
    pub fn append(&mut self, _: RunId, _: &[u8]) -> usize {
        match self.never {}
    }

    /// Cannot be called: no value exists.
    #[must_use]
    pub fn tail(&self, _: usize) -> Vec<u8> {
        match self.never {}
    }

    /// Cannot be called: no value exists.
    pub fn tell(&mut self) -> Option<Instant> {
        match self.never {}
    }
}
