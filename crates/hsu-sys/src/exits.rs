//! Exits: one sleep for the ends of many processes that are not our children.

#[cfg(target_os = "linux")]
#[path = "exits/linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "exits/elsewhere.rs"]
mod os;

pub use os::ExitWatch;

/// The token that no process has.
const CLOSED: u64 = u64::MAX;
