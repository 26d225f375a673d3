//! Usage and limits on the wire.

use serde::{Deserialize, Serialize};

/// One limit of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitView {
    /// Its key, such as `memory.max_rss`.
    pub limit: String,
    /// The folders or files that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The limit, in the unit of the key: bytes, thousandths of a CPU, milliseconds, or a count.
    pub most: u64,
    /// The same for people.
    pub text: String,
    /// What was used at the latest look, in the same unit.
    pub value: Option<u64>,
    /// The same for people.
    pub value_text: Option<String>,
    /// What is done beyond it.
    pub policy: Vec<String>,
    /// Whether the kernel keeps the worker within it.
    pub enforced: bool,
    /// By what, or why not.
    pub mechanism: String,
}

/// How much of the last ten seconds something of a worker has waited, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PressureView {
    /// For a CPU.
    pub cpu_percent: f64,
    /// For memory.
    pub memory_percent: f64,
    /// For a disk.
    pub io_percent: f64,
}

/// `GET /v1/usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageList {
    /// What each worker with limits used at the latest look, by id.
    pub workers: Vec<UsageView>,
}

/// What one worker used at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// The worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The PID of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When.
    pub at: String,
    /// CPUs, in thousandths, since the look before.
    pub cpu_thousandths: Option<u64>,
    /// Memory in RAM.
    pub memory_bytes: u64,
    /// Bytes read from disks per second.
    pub read_bytes_per_second: Option<u64>,
    /// Bytes written to disks per second.
    pub written_bytes_per_second: Option<u64>,
    /// Processes.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// By what it is slowed down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed_by: Option<String>,
}

/// `GET /v1/workers/{id}/usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecords {
    /// The records, oldest first.
    pub records: Vec<UsageView>,
}
