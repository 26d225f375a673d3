//! Limits and usage, in the shapes of the API.

use hsu_api::{LimitView, PressureView, UsageList, UsageRecords, UsageView};
use hsu_model::id::WorkerId;
use hsu_model::limits::{Action, Limits, Step};
use hsu_model::time::WallTime;
use hsu_model::worker::{Unit, WorkerSpec};
use hsu_runtime::Used;
use hsu_runtime::control::Control;
use hsu_sys::limits::Mechanism;

/// The limits of a worker, what is used of each, and what keeps it.
pub(crate) fn limits(control: &dyn Control, spec: &WorkerSpec) -> Vec<LimitView> {
    let Some(limits) = spec.limits() else { return Vec::new() };
    let (survey, used) = (control.survey(), control.used_by(&spec.id));
    let standing = control.mechanisms(&spec.id);
    let rules = limits.rules.iter().enumerate().map(|(place, rule)| {
        let stands = standing.iter().find(|(kind, _)| *kind == rule.kind);
        let stands = stands.map(|(_, mechanism)| mechanism.clone());
        let mechanism = stands.unwrap_or_else(|| match &spec.unit {
            Unit::Unmanaged(_) => {
                let detail = "watched; nothing of it is attached".to_owned();
                Mechanism { is_enforced: false, detail }
            }
            Unit::Managed(_) | Unit::Departed(_) | _ => survey.mechanism(limits, rule),
        });
        let now = used.as_ref().and_then(|used| used.most.get(place).copied());
        let value = used.as_ref().and_then(|used| used.values.get(place).copied().flatten());
        let most = now.unwrap_or(rule.most);
        let slows = rule.ladder.iter().any(|step| step.action == Action::Throttle);
        let by = used.as_ref().and_then(|used| used.slowed_by.as_ref()).filter(|_| slows);
        let slowed = by.map_or_else(String::new, |by| format!("; slowed down by {by}"));
        LimitView {
            limit: rule.kind.as_str().to_owned(),
            paths: rule.paths.clone(),
            most,
            text: rule.kind.amount(most).to_string(),
            value,
            value_text: value.map(|value| rule.kind.amount(value).to_string()),
            policy: rule.ladder.iter().map(step).collect(),
            enforced: mechanism.is_enforced,
            mechanism: mechanism.detail + &watched(limits) + &slowed,
        }
    });
    rules.collect()
}

/// How much a worker waits, where the kernel tells.
pub(crate) fn pressure(control: &dyn Control, spec: &WorkerSpec) -> Option<PressureView> {
    let pressure = control.survey().pressure(&spec.id)?;
    let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
    Some(PressureView {
        cpu_percent: percent(pressure.cpu),
        memory_percent: percent(pressure.memory),
        io_percent: percent(pressure.io),
    })
}

fn watched(limits: &Limits) -> String {
    match limits.check_interval {
        Some(interval) => format!("; looked at every {} s", interval.as_secs_f64()),
        None => "; nobody looks".to_owned(),
    }
}

fn step(step: &Step) -> String {
    match step.after.as_secs_f64() {
        0.0 => step.action.as_str().to_owned(),
        after => format!("{} after {after} s", step.action.as_str()),
    }
}

/// What every worker with limits used at the latest look.
pub(crate) fn all(control: &dyn Control) -> UsageList {
    let used = control.used().into_iter();
    UsageList { workers: used.map(|(worker, used)| view(&worker, used)).collect() }
}

fn view(worker: &WorkerId, used: Used) -> UsageView {
    UsageView {
        worker: Some(worker.as_str().to_owned()),
        pid: Some(used.pid),
        at: hsu_api::rfc3339(used.at),
        cpu_thousandths: used.cpu,
        memory_bytes: used.resident,
        read_bytes_per_second: used.read,
        written_bytes_per_second: used.written,
        processes: used.processes,
        threads: used.threads,
        slowed_by: used.slowed_by,
    }
}

/// What a worker used since a time.
pub(crate) fn records(
    control: &dyn Control,
    worker: &WorkerId,
    since: WallTime,
) -> std::io::Result<UsageRecords> {
    let records = control.usage_records(worker, since)?.into_iter().map(|record| UsageView {
        worker: None,
        pid: None,
        at: hsu_api::rfc3339(record.at),
        cpu_thousandths: record.cpu,
        memory_bytes: record.resident,
        read_bytes_per_second: record.read,
        written_bytes_per_second: record.written,
        processes: record.processes,
        threads: record.threads,
        slowed_by: None,
    });
    Ok(UsageRecords { records: records.collect() })
}
