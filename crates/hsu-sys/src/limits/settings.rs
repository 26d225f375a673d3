//! Settings: what is written where, so that the kernel keeps a limit.
//!
//! Pure tables of both generations of cgroups, and of the limits of processes.
// Source: kernel, admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/*.rst.

use hsu_model::execution::{Resource, ResourceLimit};
use hsu_model::limits::{Hold, LimitKind, Limits, Rule, Shares};

use super::places::{Controller, Version};

/// The time over which the kernel counts CPU time, in microseconds.
const PERIOD: u64 = 100_000;
/// How long a process may go on after it was told that its CPU time is over, in seconds.
const LAST_WORDS: u64 = 5;

/// One value for one file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: Controller,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Whether a host without this file is still as good.
    pub(super) may_fail: bool,
}

/// Whether a limit is in force from the start, put on or taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// The kernel keeps it, hard.
    Hard,
    /// The kernel slows down whoever exceeds it.
    Soft,
    /// Nothing.
    Off,
}

/// The controller that a kind of limit belongs to.
pub(super) fn controller(kind: LimitKind) -> Option<Controller> {
    match kind {
        LimitKind::Resident | LimitKind::Swap => Some(Controller::Memory),
        LimitKind::Cpu => Some(Controller::Cpu),
        LimitKind::ReadBytes
        | LimitKind::WriteBytes
        | LimitKind::ReadOperations
        | LimitKind::WriteOperations => Some(Controller::Io),
        LimitKind::Processes | LimitKind::Threads => Some(Controller::Pids),
        LimitKind::Virtual
        | LimitKind::Heap
        | LimitKind::CpuTime
        | LimitKind::Children
        | LimitKind::OpenFiles
        | LimitKind::Connections
        | LimitKind::Directory
        | LimitKind::Temporary
        | LimitKind::Logs => None,
    }
}

/// The file of a group that holds a limit; none where there is none of this strength.
pub(super) fn file(kind: LimitKind, version: Version, strength: Strength) -> Option<&'static str> {
    let is_soft = strength == Strength::Soft;
    Some(match (kind, version) {
        (LimitKind::Resident, Version::Two) if is_soft => "memory.high",
        (LimitKind::Resident, Version::Two) => "memory.max",
        // Version 1 has no limit that slows down.
        (LimitKind::Resident, Version::One) if is_soft => return None,
        (LimitKind::Resident, Version::One) => "memory.limit_in_bytes",
        (LimitKind::Swap, Version::Two) => "memory.swap.max",
        (LimitKind::Swap, Version::One) => return None,
        (LimitKind::Cpu, Version::Two) => "cpu.max",
        (LimitKind::Cpu, Version::One) => "cpu.cfs_quota_us",
        (LimitKind::ReadBytes | LimitKind::WriteBytes, Version::Two)
        | (LimitKind::ReadOperations | LimitKind::WriteOperations, Version::Two) => "io.max",
        (LimitKind::ReadBytes, Version::One) => "blkio.throttle.read_bps_device",
        (LimitKind::WriteBytes, Version::One) => "blkio.throttle.write_bps_device",
        (LimitKind::ReadOperations, Version::One) => "blkio.throttle.read_iops_device",
        (LimitKind::WriteOperations, Version::One) => "blkio.throttle.write_iops_device",
        (LimitKind::Processes | LimitKind::Threads, _) => "pids.max",
        _ => return None,
    })
}

/// What is written so that a limit has this strength.
pub(super) fn of_rule(
    rule: &Rule,
    version: Version,
    strength: Strength,
    devices: &[String],
) -> Vec<Setting> {
    let Some((controller, file)) = controller(rule.kind).zip(file(rule.kind, version, strength))
    else {
        return Vec::new();
    };
    let is_off = strength == Strength::Off;
    let one = |value: String| vec![Setting { controller, file, value, may_fail: is_off }];
    let number = |none: &str| if is_off { none.to_owned() } else { rule.most.to_string() };
    match (rule.kind, version) {
        (LimitKind::Cpu, Version::Two) => {
            let quota = if is_off { "max".to_owned() } else { quota(rule.most).to_string() };
            one(format!("{quota} {PERIOD}"))
        }
        (LimitKind::Cpu, Version::One) => {
            one(if is_off { "-1".to_owned() } else { quota(rule.most).to_string() })
        }
        (LimitKind::Resident, Version::One) => one(number("-1")),
        (
            LimitKind::ReadBytes
            | LimitKind::WriteBytes
            | LimitKind::ReadOperations
            | LimitKind::WriteOperations,
            _,
        ) => {
            let value = |device: &String| match version {
                Version::Two => format!("{device} {}={}", io_word(rule.kind), number("max")),
                Version::One => format!("{device} {}", number("0")),
            };
            let setting = |value| Setting { controller, file, value, may_fail: is_off };
            devices.iter().map(value).map(setting).collect()
        }
        _ => one(number("max")),
    }
}

/// The time within a period, for so many thousandths of a CPU. The kernel takes no less
/// than a millisecond.
fn quota(thousandths: u64) -> u64 {
    (thousandths.saturating_mul(PERIOD) / 1000).max(1000)
}

/// The words of `io.max`.
const IO_WORDS: [(LimitKind, &str); 4] = [
    (LimitKind::ReadBytes, "rbps"),
    (LimitKind::WriteBytes, "wbps"),
    (LimitKind::ReadOperations, "riops"),
    (LimitKind::WriteOperations, "wiops"),
];

fn io_word(wanted: LimitKind) -> &'static str {
    IO_WORDS.iter().find(|(kind, _)| *kind == wanted).map_or("", |(_, word)| word)
}

/// What is written for weights.
pub(super) fn of_shares(shares: &Shares, controller: Controller, version: Version) -> Vec<Setting> {
    let (weight, file, value) = match (controller, version) {
        (Controller::Cpu, Version::Two) => (shares.cpu_weight, "cpu.weight", None),
        // A weight of 100 is 1024 shares.
        (Controller::Cpu, Version::One) => {
            let shares_of = |weight: u32| (u64::from(weight) * 1024 / 100).max(2).to_string();
            (shares.cpu_weight, "cpu.shares", shares.cpu_weight.map(shares_of))
        }
        (Controller::Io, Version::Two) => {
            let word = |weight: u32| format!("default {weight}");
            (shares.io_weight, "io.weight", shares.io_weight.map(word))
        }
        (Controller::Io, Version::One) => {
            let weight = shares.io_weight.map(|weight| weight.clamp(1, 1000).to_string());
            (shares.io_weight, "blkio.bfq.weight", weight)
        }
        _ => return Vec::new(),
    };
    let Some(weight) = weight else { return Vec::new() };
    let value = value.unwrap_or_else(|| weight.to_string());
    vec![Setting { controller, file, value, may_fail: false }]
}

/// The limits that are set on the first process, and that its children inherit. Nobody
/// may have more descriptors than we.
pub(super) fn of_process(limits: &Limits, descriptors: u64) -> Vec<ResourceLimit> {
    let held = limits.rules.iter().filter(|rule| rule.hold == Hold::Kernel);
    held.filter_map(|rule| {
        let resource = resource(rule.kind)?;
        let (soft, hard) = if resource == Resource::Cpu {
            let seconds = rule.most.div_ceil(1000).max(1);
            (seconds, seconds.saturating_add(LAST_WORDS))
        } else if resource == Resource::OpenFiles {
            (rule.most.min(descriptors), rule.most.min(descriptors))
        } else {
            (rule.most, rule.most)
        };
        Some(ResourceLimit { resource, soft, hard })
    })
    .collect()
}

/// The limits of a process that hold a kind.
const RESOURCES: [(LimitKind, Resource); 4] = [
    (LimitKind::Virtual, Resource::AddressSpace),
    (LimitKind::Heap, Resource::Data),
    (LimitKind::CpuTime, Resource::Cpu),
    (LimitKind::OpenFiles, Resource::OpenFiles),
];

/// The limit of a process that holds a kind.
pub(super) fn resource(wanted: LimitKind) -> Option<Resource> {
    RESOURCES.iter().find(|(kind, _)| *kind == wanted).map(|(_, resource)| *resource)
}

#[cfg(test)]
mod tests;
