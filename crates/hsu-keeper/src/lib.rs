//! The keeper and the pump, and the protocol between them and the master.
//!
//! The keeper is the parent of every worker: it starts them, holds the read ends
//! of their pipes and their exit statuses, and starts a lost master or pump
//! again. It parses no configuration, no network and no log line, and decides
//! nothing about workers. The pump carries their output into spools.
//!
//! Linux is where they run; elsewhere the entry points say that they cannot.
//! Why three roles: docs/design/0001-three-roles.md; how: docs/design/0004-keeper.md.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "it speaks with the kernel: clone, mmap, descriptor passing")
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

mod descriptor;
#[doc(hidden)]
pub mod fuzzing;
pub mod masters;
#[cfg(any(target_os = "linux", test))]
mod policy;
mod protocol;
pub mod pump;
pub mod table;
mod wire;

#[cfg(target_os = "linux")]
mod birth;
#[cfg(target_os = "linux")]
mod channel;
#[cfg(target_os = "linux")]
mod inventory;
#[cfg(target_os = "linux")]
mod keeper;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod pumping;
#[cfg(target_os = "linux")]
mod spawn;
#[cfg(target_os = "linux")]
mod start;

#[cfg(not(target_os = "linux"))]
mod elsewhere;

pub use descriptor::Descriptor;
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Link, keeper_main, pump_main, start};
#[cfg(target_os = "linux")]
pub use keeper::keeper_main;
#[cfg(target_os = "linux")]
pub use link::Link;
pub use protocol::{
    Capture, FromKeeper, GoodbyeMode, Identity, Keep, Program, Role, SignalScope, SpawnRequest,
    Stage, ToKeeper, VERSION,
};
#[cfg(target_os = "linux")]
pub use pumping::pump_main;
#[cfg(target_os = "linux")]
pub use start::start;
pub use wire::Malformed;

/// Set for a master that the keeper started after the loss of another: to [`KILLED`] or [`HUNG`].
pub const RELAUNCHED_VARIABLE: &str = "HSU_RELAUNCHED";
/// The other one was lost.
pub const KILLED: &str = "1";
/// The other one did not answer, and the keeper killed it.
pub const HUNG: &str = "hung";
/// Set for a master that shall take over from one that runs.
pub const CANDIDATE_VARIABLE: &str = "HSU_CANDIDATE";

/// Where a keeper works and what it is.
#[derive(Clone, Debug)]
pub struct KeeperPlan {
    /// The executable of keeper and pump.
    pub executable: PathBuf,
    /// The private folder with sockets and the inventory; it exists.
    pub runtime: PathBuf,
    /// The folder of the spools.
    pub spools: PathBuf,
}

impl KeeperPlan {
    /// Reads the words after the role: `--runtime DIR --spools DIR`.
    ///
    /// # Errors
    /// The words that are missing, as text.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut plan =
            Self { executable: PathBuf::new(), runtime: PathBuf::new(), spools: PathBuf::new() };
        let mut arguments = arguments.into_iter();
        while let Some(word) = arguments.next() {
            let value =
                arguments.next().ok_or_else(|| format!("{} needs a value", word.display()))?;
            match word.to_str() {
                Some("--runtime") => plan.runtime = value.into(),
                Some("--spools") => plan.spools = value.into(),
                _ => return Err(format!("unknown option {}", word.display())),
            }
        }
        if plan.runtime.as_os_str().is_empty() || plan.spools.as_os_str().is_empty() {
            return Err("--runtime DIR and --spools DIR are needed".to_owned());
        }
        plan.executable = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(plan)
    }

    /// Where the keeper listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.runtime)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn lock(&self) -> PathBuf {
        self.runtime.join("keeper.lock")
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn inventory(&self) -> PathBuf {
        self.runtime.join("inventory")
    }
}

/// Where the keeper of a runtime folder listens.
pub(crate) fn socket_in(runtime: &Path) -> PathBuf {
    runtime.join("keeper.sock")
}

/// Says at which path something failed.
#[cfg(target_os = "linux")]
pub(crate) fn at(path: &Path) -> impl Fn(std::io::Error) -> std::io::Error {
    move |error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// How far the queued messages came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// All are sent.
    Done,
    /// The link takes no more at present.
    Blocked,
}

/// What a link had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Messages.
    Some,
    /// Nothing at present.
    Nothing,
    /// The other end is gone.
    Closed,
}
