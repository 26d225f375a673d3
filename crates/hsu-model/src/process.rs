//! Processes: what makes a PID trustworthy.

use core::fmt;

/// A process of this boot: its PID together with the moment it started.
///
/// A bare PID is worthless as identity after seconds; the pair is unique until
/// the next boot, and [`BootId`] tells boots apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// The process id; greater than 1.
    pub pid: u32,
    /// Clock ticks after boot at which the process started.
    // Source: proc_pid_stat(5), field 22.
    pub started_at: u64,
}

/// The random id that the kernel gives each boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BootId(pub [u8; 16]);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
