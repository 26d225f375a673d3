//! A worker: the thing the user asked for, with every default filled in.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::discovery::Unmanaged;
use crate::execution::{Execution, Stop};
use crate::health::Health;
use crate::id::WorkerId;
use crate::limits::Limits;
use crate::logs::WorkerLogs;
use crate::notify::Notify;
use crate::restart::Restart;
use crate::socket::ListeningSocket;

/// The resolved specification of one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSpec {
    /// Its name.
    pub id: WorkerId,
    /// Whether it may run at all.
    pub enabled: bool,
    /// The profile that selects restart multipliers.
    pub profile: Profile,
    /// For people.
    pub metadata: Metadata,
    /// How it is checked.
    pub health: Health,
    /// What runs, and who owns it.
    pub unit: Unit,
}

impl WorkerSpec {
    /// What it may use, when anything limits it.
    #[must_use]
    pub fn limits(&self) -> Option<&Arc<Limits>> {
        match &self.unit {
            Unit::Managed(managed) => managed.limits.as_ref(),
            Unit::Unmanaged(unmanaged) => unmanaged.limits.as_ref(),
            Unit::Departed(_) => None,
        }
    }

    /// A worker that is not configured any more.
    #[must_use]
    pub fn departed(id: WorkerId, departure: Departure) -> Self {
        let (profile, metadata) = (Profile::default(), Metadata::default());
        let (health, unit) = (Health::default(), Unit::Departed(departure));
        Self { id, enabled: false, profile, metadata, health, unit }
    }
}

/// What runs, and who owns it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Unit {
    /// Started and owned by us.
    Managed(Managed),
    /// Started by somebody else, found and watched.
    Unmanaged(Unmanaged),
    /// Not configured any more: what runs of it is ended as it was to be ended.
    Departed(Departure),
}

/// What it takes to end a worker when nobody configures it any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    /// How to stop.
    pub stop: Stop,
    /// The PID file, an absolute path; empty when there is none.
    pub pid_file: String,
}

/// A worker that we start and own.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    /// What to execute.
    pub execution: Execution,
    /// When to restart.
    pub restart: Restart,
    /// How to stop.
    pub stop: Stop,
    /// The PID file, an absolute path.
    pub pid_file: String,
    /// Where its output goes.
    pub logs: WorkerLogs,
    /// What it tells of itself.
    pub notify: Notify,
    /// Sockets that it is given.
    pub sockets: Vec<ListeningSocket>,
    /// What it may use; none when nothing limits it.
    pub limits: Option<Arc<Limits>>,
}

/// Texts about a worker for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// A display name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its version, free text.
    pub version: String,
    /// Free tags.
    pub tags: Vec<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

/// What kind of program a worker is; selects restart multipliers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// A job that ends.
    Batch,
    /// A server of requests.
    Web,
    /// A keeper of data.
    Database,
    /// A background worker.
    Worker,
    /// A scheduler of others.
    Scheduler,
    /// None of these.
    #[default]
    Default,
}

impl Profile {
    /// The name in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Web => "web",
            Self::Database => "database",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
            Self::Default => "default",
        }
    }
}
