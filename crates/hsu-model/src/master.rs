//! The master itself: what the `master` section of the configuration says.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::limits::Cgroups;
use crate::logs::Aggregation;
use crate::restart::StartRate;
use crate::worker::WorkerSpec;

/// A whole configuration, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetSpec {
    /// The master.
    pub master: MasterSpec,
    /// The workers, in the order of the file.
    pub workers: Vec<WorkerSpec>,
    /// Outputs of every worker together.
    pub aggregation: Aggregation,
}

/// The master's own settings.
#[derive(Clone, Debug, PartialEq)]
pub struct MasterSpec {
    /// The loopback port of the compatible gRPC service, 1 to 65535.
    pub port: u16,
    /// The least severe message that the master writes about itself.
    pub log_level: LogLevel,
    /// How long a stop of everything may take before it is forced.
    pub force_shutdown_timeout: Duration,
    /// How many automatic restarts the whole master allows.
    pub start_rate: StartRate,
    /// Which cgroups keep workers within their limits.
    pub cgroups: Cgroups,
    /// Where files live.
    pub directories: Directories,
}

/// How much the master says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And what happened.
    Info,
    /// And why.
    Debug,
    /// And everything else.
    Trace,
}

/// Absolute paths of the folders that the master uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// PID and port files, and the sockets in its subfolder.
    pub runtime: String,
    /// State, journal and spools: survives a reboot.
    pub state: String,
    /// Log files of the master (aggregation).
    pub logs: String,
    /// Log files of workers.
    pub worker_logs: String,
}

impl Directories {
    /// The control socket of the master, inside the runtime folder.
    #[must_use]
    pub fn control_socket(&self) -> String {
        control_socket(&self.runtime)
    }
}

/// The control socket of a master, inside a runtime folder.
#[must_use]
pub fn control_socket(runtime: &str) -> String {
    alloc::format!("{runtime}/control.sock")
}
