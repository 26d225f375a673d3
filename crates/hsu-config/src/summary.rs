//! The summary of a configuration that the predecessors' `GetConfigSummary` gave.

use hsu_model::discovery::Search;
use hsu_model::master::{FleetSpec, LogLevel};
use hsu_model::worker::{Unit, WorkerSpec};
use serde_json::{Value, json};

/// The summary as JSON: port, level, counts, and the workers with what they run.
#[must_use]
pub fn summary(fleet: &FleetSpec) -> Value {
    let workers: Vec<_> = fleet.workers.iter().map(worker).collect();
    json!({
        "master_port": fleet.master.port,
        "log_level": level(fleet.master.log_level),
        "total_workers": fleet.workers.len(),
        "enabled_workers": fleet.workers.iter().filter(|worker| worker.enabled).count(),
        "workers": workers,
    })
}

fn worker(spec: &WorkerSpec) -> Value {
    let id = spec.id.as_str();
    match &spec.unit {
        Unit::Managed(managed) => json!({
            "id": id,
            "type": "managed",
            "enabled": spec.enabled,
            "executable_path": managed.execution.program,
        }),
        Unit::Unmanaged(unmanaged) => json!({
            "id": id,
            "type": "unmanaged",
            "enabled": spec.enabled,
            "discovery_method": unmanaged.discovery.searches.first().map(Search::method),
        }),
        // Kinds that this version does not know have nothing more to tell.
        Unit::Departed(_) | _ => json!({ "id": id, "enabled": spec.enabled }),
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}
