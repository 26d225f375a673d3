//! The pump: carries the output of workers from pipes into spools.
//!
//! It moves bytes with `splice`, which consumes the pipe and extends the file in
//! one step: SIGKILL at any instant loses and doubles nothing, and a full disk
//! leaves the bytes in the pipe. It decides nothing: which spool is where, how it
//! is rotated and what a full one means is the master's plan. It never reads what
//! the workers write, except to find line ends.
//!
//! What it decides is in [`carrier`] and below, apart from the kernel. One thread, no
//! async runtime. Only Linux has `splice`; elsewhere [`Pump::open`]
//! says so. Why: docs/design/0005-spools.md.

use std::io;
use std::path::PathBuf;

use hsu_model::id::RunId;
use hsu_model::spool::SpoolId;

pub mod carrier;
pub mod disk;
mod files;
mod ledger;
mod overflow;
mod pacing;
mod recovery;
mod rotation;
mod spool;

#[cfg(target_os = "linux")]
pub mod host;
#[cfg(target_os = "linux")]
mod inlet;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod notices;
#[cfg(target_os = "linux")]
mod plans;
#[cfg(target_os = "linux")]
mod turns;

#[cfg(not(target_os = "linux"))]
mod elsewhere;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Inlet, Pump};
#[cfg(target_os = "linux")]
pub use inlet::Inlet;
#[cfg(target_os = "linux")]
pub use turns::Pump;

/// Where a pump works.
#[derive(Clone, Debug)]
pub struct PumpOptions {
    /// The folder of all spools; made when missing.
    pub spools: PathBuf,
    /// The datagram socket of the master that takes notices. It need not exist.
    pub notices: PathBuf,
}

/// What a turn of the pump has to tell its caller.
#[derive(Debug, Default)]
pub struct Turn {
    /// Whether the link has something to say.
    pub link: bool,
    /// Streams whose last byte is in the spool; their pipes are closed.
    pub drained: Vec<(RunId, SpoolId)>,
}

/// Why a pump cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PumpError {
    /// The folder of the spools or its lock cannot be had.
    #[error("cannot use the spools in {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused what the pump stands on.
    #[error("cannot wait for pipes")]
    Kernel {
        /// Why not.
        source: io::Error,
    },
    /// The platform cannot move bytes from a pipe to a file in one step.
    #[error("the pump needs splice, which only Linux has; workers write their files directly here")]
    Unsupported,
}
