//! Limits: real workers that leak, spin, fork and write, held by each mechanism.
//!
//! Which cgroups are used is switched by `master.cgroups`; what this host does not have
//! is left out, and what it has is named by its own capability report.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::time::Duration;

use hsu_testkit::binaries::binary;
use hsu_testkit::{Fleet, FleetBuilder, Process, Role, Sandbox, Worker, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

#[path = "limits/holding.rs"]
mod holding;
#[path = "limits/policies.rs"]
mod policies;
#[path = "limits/scarce.rs"]
mod scarce;
#[path = "limits/strangers.rs"]
mod strangers;
#[path = "limits/telling.rs"]
mod telling;
#[path = "limits/unified.rs"]
mod unified;

const SOON: Duration = Duration::from_secs(40);
const MIB: u64 = 1 << 20;

/// The settings of `master.cgroups` that are tried.
const MODES: [&str; 3] = ["v1", "v2", "none"];

/// A worker that misbehaves like this, with these limits. Looks come often, and nothing
/// is waited for that a test does not want to wait for.
fn dummy(arguments: &[&str], limits: Value) -> Worker {
    let mut limits = limits;
    limits["monitoring"]["check_interval"] = "200ms".into();
    let at_once = json!({"max_retries": 0, "retry_delay": "0s", "backoff_rate": 1.0});
    let restarts = json!({
        "default": at_once,
        "resource_violations": at_once,
        "startup_grace_period": "0s",
        "sustained_violation_time": "0s",
    });
    Worker::new("w", binary("hsu-dummy").unwrap())
        .arguments(arguments.iter().copied())
        .set("context_aware_restart", restarts)
        .set("limits", limits)
        .grace(Duration::from_secs(10))
}

fn start<'s>(sandbox: &'s Sandbox, mode: &str, worker: Worker) -> Fleet<'s> {
    let fleet = FleetBuilder::new(sandbox).master("cgroups", mode).worker(worker).start();
    let fleet = fleet.unwrap();
    fleet.wait_until("w", "known", SOON, |view| view.state() != "registered").unwrap();
    fleet
}

/// What `describe` says of a limit.
fn limit(fleet: &Fleet<'_>, key: &str) -> Value {
    let described = fleet.ask(&["describe", "w"]).unwrap();
    let limits = described["limits"].as_array().unwrap().clone();
    limits.into_iter().find(|limit| limit["limit"] == key).unwrap()
}

fn is_enforced(fleet: &Fleet<'_>, key: &str) -> bool {
    limit(fleet, key)["enforced"] == true
}

/// The events of a kind so far.
fn events(fleet: &Fleet<'_>, kind: &str) -> Vec<Value> {
    let all = fleet.ask(&["events", "--worker", "w", "--limit", "500"]).unwrap();
    let all = all["events"].as_array().unwrap().clone();
    all.into_iter().filter(|event| event["kind"] == kind).collect()
}

fn event(fleet: &Fleet<'_>, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("an event {kind}"), SOON, || {
        let all = events(fleet, kind);
        let found = all.iter().find(|event| fits(event)).cloned();
        found.ok_or_else(|| fleet.tell(&["events"]).unwrap_or_default())
    })
    .unwrap()
}

/// What `top` says of the worker.
fn used(fleet: &Fleet<'_>) -> Value {
    let all = fleet.ask(&["top"]).unwrap();
    all["workers"].as_array().and_then(|all| all.first().cloned()).unwrap_or_default()
}

/// The living processes of the worker.
fn relatives(sandbox: &Sandbox) -> Vec<Process> {
    let mut all = sandbox.processes().unwrap();
    all.retain(|process| {
        let is_role = Role::ALL.iter().any(|role| role.is_played_by(process));
        let its = process.variable("HSU_WORKER_ID").as_deref() == Some("w");
        !process.is_zombie() && !is_role && its
    });
    all
}

/// Runs a test with each kind of cgroups that this host has, and without.
fn with_each(test: impl Fn(&Sandbox, &str)) {
    for mode in MODES {
        let sandbox = Sandbox::new().unwrap();
        test(&sandbox, mode);
    }
}
