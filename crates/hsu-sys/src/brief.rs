//! Brief processes: a program is run for its answer, and is gone afterwards, whole.
//!
//! It gets a process group of its own, and a cell where there are cgroups; both are
//! killed at its end, in time or not, so that nothing that it started stays behind.
//! What it may start at once is bounded by the cell, and where that does not count by
//! the limit of its user, which does not hold root.
//! Its output is read to the end and only the beginning of it is kept.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::tree::Cell;
use crate::users::Identity;

#[cfg(target_os = "linux")]
#[path = "brief/linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "brief/elsewhere.rs"]
mod os;

/// The variable by which what a brief process has left behind is known.
pub const BRIEF_VARIABLE: &str = "HSU_BRIEF_ID";

/// What is run.
#[derive(Clone, Debug)]
pub struct Brief {
    /// Its path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// All its variables.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub folder: Option<PathBuf>,
    /// Who it becomes.
    pub identity: Option<Identity>,
    /// What it reads, at most 64 KiB.
    pub input: Option<Vec<u8>>,
    /// How long it may take.
    pub timeout: Duration,
    /// How much of its output is kept.
    pub keep: usize,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took too long and was killed.
    Overdue,
    /// Nobody wanted its answer any more, and it was killed.
    Unwanted,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub ending: Ending,
    /// The beginning of what it wrote, to either stream.
    pub output: Vec<u8>,
    /// What is left of it although it was killed.
    pub survivors: Vec<u32>,
}

/// Runs it; blocks until it is gone, or at most a second and a half beyond its timeout.
///
/// `is_wanted` is asked ten times a second.
///
/// # Errors
/// The kernel's, when it cannot be started.
pub fn run(brief: &Brief, cell: &Cell, is_wanted: &dyn Fn() -> bool) -> io::Result<Answer> {
    os::run(brief, cell, is_wanted)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
