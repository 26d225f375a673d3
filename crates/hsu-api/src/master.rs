//! The master on the wire.

use serde::{Deserialize, Serialize};

/// `GET /v1/master`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterView {
    /// Its version.
    pub version: String,
    /// Its PID.
    pub pid: u32,
    /// The PID of its keeper.
    pub keeper_pid: u32,
    /// When it started.
    pub started_at: String,
    /// The configuration it runs.
    pub config: String,
    /// Its state folder.
    pub state_directory: String,
    /// How many workers it knows.
    pub workers: usize,
    /// How many run.
    pub running: usize,
    /// Why the state cannot be written at present.
    pub degraded: Option<String>,
    /// Why the state was begun anew in this life of the master.
    #[serde(default)]
    pub state_replaced: Option<String>,
    /// The outputs that take nothing at present.
    #[serde(default)]
    pub stuck_outputs: Vec<StuckOutputView>,
}

/// An output that takes nothing at present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckOutputView {
    /// Its worker; null is an output of the master.
    pub worker: Option<String>,
    /// Which: a stream of the worker, or a file or console of the master.
    pub output: String,
    /// Why.
    pub reason: String,
}

/// `POST /v1/master/shutdown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {
    /// What becomes of the workers.
    #[serde(default)]
    pub mode: ShutdownMode,
    /// Kill at once what does not stop.
    #[serde(default)]
    pub force: bool,
}

/// What becomes of the workers when the master ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownMode {
    /// They are stopped.
    #[default]
    StopWorkers,
    /// They go on, and the next master takes them over.
    KeepWorkers,
}

/// What was done for a request about the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// In words.
    pub message: String,
}

/// `POST /v1/master/upgrade`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// The executable that takes over; without it, the present path, read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// Workers that left the configuration are stopped however many they are.
    #[serde(default)]
    pub confirm_mass_stop: bool,
}

/// `GET /v1/capabilities`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// What the host can do.
    pub host: Vec<CapabilityView>,
    /// Keys of the configuration that are not built yet.
    pub not_built: Vec<FeatureView>,
}

/// One thing that the host can or cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilityView {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub available: bool,
    /// How, or why not.
    pub detail: String,
}

/// A key that is not built yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureView {
    /// The key, with dots.
    pub key: String,
    /// What it will do.
    pub what: String,
}

/// `GET /v1/version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// The version of the master.
    pub version: String,
    /// The version of the contract.
    pub api: String,
}
