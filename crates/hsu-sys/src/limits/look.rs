//! Looks: what the processes of one run use.
//!
//! Only the run's own group, or what descends from its process, is looked at, and only
//! what its limits are about. A run of one process costs two small files with usual
//! limits, about 20 us.

use std::fs;
use std::path::{Path, PathBuf};

use hsu_model::limits::{LimitKind, Limits, Rule};
use hsu_model::process::ProcessKey;
use hsu_model::usage::{Reading, Totals, Usage};

use super::places::{Controller, Version, pids};
use super::settings::controller;
use super::{Group, Storage};
use crate::procfs::{STAT, Stat, read};
use crate::usage::units;

/// Descendants are followed no further than this: a family that hides deeper is for a cgroup.
const MOST_MEMBERS: usize = 10_000;

/// What all processes together use.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    totals: Totals,
    virtual_memory: u64,
    heap: u64,
    swap: u64,
    reads: u64,
    writes: u64,
    most_files: u64,
    sockets: u64,
}

pub(super) fn measure(
    group: Option<&Group>,
    process: ProcessKey,
    limits: &Limits,
    storage: &Storage,
) -> Option<Usage> {
    let at = crate::clock::now().tick;
    let members = members(group, process);
    let wants = |kinds: &[LimitKind]| limits.rules.iter().any(|rule| kinds.contains(&rule.kind));
    let needs = Needs {
        heap: wants(&[LimitKind::Heap]),
        swap: wants(&[LimitKind::Swap]),
        io: wants(&[
            LimitKind::ReadBytes,
            LimitKind::WriteBytes,
            LimitKind::ReadOperations,
            LimitKind::WriteOperations,
        ]),
        files: wants(&[LimitKind::OpenFiles, LimitKind::Connections]),
        sockets: wants(&[LimitKind::Connections]),
    };
    let mut sums = Sums::default();
    for pid in members {
        add(pid, needs, &mut sums);
    }
    if sums.totals.processes == 0 {
        return None;
    }
    if let Some(milliseconds) = group.and_then(cpu_time) {
        sums.totals.cpu_milliseconds = milliseconds;
    }
    let readings = limits.rules.iter().map(|rule| reading(rule, group, &sums, storage)).collect();
    let before = group.map_or(0, |group| group.kills_before);
    let oom_kills = group.map_or(0, kills).saturating_sub(before);
    Some(Usage { at, totals: sums.totals, readings, oom_kills })
}

/// The files that are read of each process, besides the first.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether one file is read")]
struct Needs {
    heap: bool,
    swap: bool,
    io: bool,
    files: bool,
    sockets: bool,
}

fn add(pid: u32, needs: Needs, sums: &mut Sums) {
    let mut buffer = [0; STAT];
    let Ok(stat) = Stat::read(pid, &mut buffer) else { return };
    if stat.state() == b'Z' {
        return;
    }
    let number = |place| stat.number(place).unwrap_or(0);
    let units = units();
    let totals = &mut sums.totals;
    totals.processes += 1;
    totals.threads += u32::try_from(number(20)).unwrap_or(0);
    totals.resident = totals.resident.saturating_add(number(24).saturating_mul(units.page));
    let ticks = (14..=17).map(number).sum::<u64>();
    totals.cpu_milliseconds += ticks.saturating_mul(1000) / units.ticks_per_second;
    sums.virtual_memory = sums.virtual_memory.saturating_add(number(23));
    if needs.heap {
        // Source: proc_pid_statm(5), field 6: data and stack, in pages.
        let pages = field(pid, "statm", |text| text.split(' ').nth(5)?.parse().ok());
        sums.heap = sums.heap.saturating_add(pages.unwrap_or(0).saturating_mul(units.page));
    }
    if needs.swap {
        let kibibytes = field(pid, "status", |text| labelled(text, "VmSwap:"));
        sums.swap = sums.swap.saturating_add(kibibytes.unwrap_or(0).saturating_mul(1024));
    }
    if needs.io {
        add_io(pid, sums);
    }
    if needs.files {
        add_files(pid, needs, sums);
    }
}

// Source: proc_pid_io(5).
fn add_io(pid: u32, sums: &mut Sums) {
    let mut buffer = [0; 512];
    let Ok(bytes) = read(pid, "io", &mut buffer) else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let more =
        |sum: Option<u64>, label| Some(sum.unwrap_or(0) + labelled(text, label).unwrap_or(0));
    sums.totals.read = more(sums.totals.read, "read_bytes:");
    sums.totals.written = more(sums.totals.written, "write_bytes:");
    sums.reads += labelled(text, "syscr:").unwrap_or(0);
    sums.writes += labelled(text, "syscw:").unwrap_or(0);
}

fn add_files(pid: u32, needs: Needs, sums: &mut Sums) {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut count = 0;
    for file in files {
        count += 1;
        let leads_to = || fs::read_link(file.path()).ok();
        if needs.sockets && leads_to().is_some_and(|to| to.to_string_lossy().starts_with("socket:"))
        {
            sums.sockets += 1;
        }
    }
    sums.most_files = sums.most_files.max(count);
}

fn field(pid: u32, name: &str, find: impl FnOnce(&str) -> Option<u64>) -> Option<u64> {
    let mut buffer = [0; 4096];
    let bytes = read(pid, name, &mut buffer).ok()?;
    find(std::str::from_utf8(bytes).ok()?)
}

/// The number in the line that begins with a label.
fn labelled(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The processes of a run: those in its group, else what descends from its first one.
pub(super) fn members(group: Option<&Group>, process: ProcessKey) -> Vec<u32> {
    let order = [Controller::Pids, Controller::Memory, Controller::Cpu, Controller::Freezer];
    let folders =
        group.into_iter().flat_map(|group| order.iter().filter_map(|c| group.folders.get(c)));
    for (_, folder) in folders {
        let members = pids(folder);
        if !members.is_empty() {
            return members;
        }
    }
    let is_alive = crate::process::identify(process.pid).is_ok_and(|now| now == process);
    if !is_alive {
        return Vec::new();
    }
    let mut all = vec![process.pid];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        if all.len() > MOST_MEMBERS {
            break;
        }
        all.extend(children(pid));
    }
    all
}

/// The children of every thread of a process.
// Source: proc_pid_task(5), `children`.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

fn reading(rule: &Rule, group: Option<&Group>, sums: &Sums, storage: &Storage) -> Reading {
    let totals = &sums.totals;
    let count = |count: u32| Some(u64::from(count));
    let value = match rule.kind {
        LimitKind::Resident => Some(totals.resident),
        LimitKind::Virtual => Some(sums.virtual_memory),
        LimitKind::Swap => Some(sums.swap),
        LimitKind::Heap => Some(sums.heap),
        LimitKind::Cpu | LimitKind::CpuTime => Some(totals.cpu_milliseconds),
        LimitKind::ReadBytes => totals.read,
        LimitKind::WriteBytes => totals.written,
        LimitKind::ReadOperations => totals.read.map(|_| sums.reads),
        LimitKind::WriteOperations => totals.written.map(|_| sums.writes),
        LimitKind::Processes => count(totals.processes),
        LimitKind::Threads => count(totals.threads),
        LimitKind::Children => count(totals.processes.saturating_sub(1)),
        LimitKind::OpenFiles => Some(sums.most_files),
        LimitKind::Connections => Some(sums.sockets),
        LimitKind::Directory | LimitKind::Temporary | LimitKind::Logs => {
            storage.bytes(rule.kind, &rule.paths)
        }
    };
    Reading { value, held: group.map_or(0, |group| held(rule, group)) }
}

/// How often the kernel has held the worker back, as far as that says that it wanted
/// more than its limit: a group with much in its caches is at its limit all the time.
fn held(rule: &Rule, group: &Group) -> u64 {
    let at = |controller, file: &str, label| {
        let (_, folder) = group.folders.get(&controller)?;
        event(folder, file, label)
    };
    let counted = if rule.kind == LimitKind::Resident {
        at(Controller::Memory, "memory.events", "high")
    } else if controller(rule.kind) == Some(Controller::Pids) {
        at(Controller::Pids, "pids.events", "max")
    } else {
        None
    };
    counted.unwrap_or(0)
}

fn event(folder: &Path, file: &str, label: &str) -> Option<u64> {
    labelled_word(&fs::read_to_string(folder.join(file)).ok()?, label)
}

/// The number after a word at the beginning of a line.
fn labelled_word(text: &str, label: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(word, _)| *word == label)?.1.trim().parse().ok()
}

/// How many processes of a group the kernel has killed for want of memory.
pub(super) fn kills(group: &Group) -> u64 {
    let Some((version, folder)) = group.folders.get(&Controller::Memory) else { return 0 };
    let file = match version {
        Version::Two => "memory.events",
        Version::One => "memory.oom_control",
    };
    event(folder, file, "oom_kill").unwrap_or(0)
}

/// The CPU time of everything that was ever in a group, in milliseconds.
fn cpu_time(group: &Group) -> Option<u64> {
    let text = |folder: &PathBuf, file: &str| fs::read_to_string(folder.join(file)).ok();
    let (version, folder) = group
        .folders
        .get(&Controller::CpuAccount)
        .or_else(|| group.folders.get(&Controller::Cpu))?;
    match version {
        Version::Two => Some(labelled_word(&text(folder, "cpu.stat")?, "usage_usec")? / 1000),
        Version::One => {
            Some(text(folder, "cpuacct.usage")?.trim().parse::<u64>().ok()? / 1_000_000)
        }
    }
}

#[cfg(test)]
mod tests;
