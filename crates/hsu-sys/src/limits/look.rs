//! Looks: what the processes of one run use.
//!
//! Only the run's own group, or what descends from its process, is looked at, and only
//! what its limits are about. Where the kernel counts the tasks of the group, the list
//! of its members is read only when they may be others: a run of one process costs one
//! read of an open file for its count, one for its process, and one for each other thing
//! that its limits are about.

use std::fs;

use hsu_model::limits::{LimitKind, Limits, Rule};
use hsu_model::process::ProcessKey;
use hsu_model::usage::{Reading, Totals, Usage};

use super::kept::Kept;
use super::places::{Controller, Version, pids};
use super::settings::controller;
use super::{Counts, Group, Storage};
use crate::procfs::{Stat, read};
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
    kept: &mut Kept,
    group: Option<&Group>,
    process: ProcessKey,
    limits: &Limits,
    storage: &Storage,
) -> Option<Usage> {
    let at = crate::clock::now().tick;
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
    let mut sums = sum(kept, group, process, needs);
    if sums.totals.processes == 0 {
        return None;
    }
    if let Some(milliseconds) = group.and_then(|group| cpu_time(kept, group)) {
        sums.totals.cpu_milliseconds = milliseconds;
    }
    let readings = limits.rules.iter().map(|rule| Reading {
        value: value(rule, &sums, storage),
        held: group.map_or(0, |group| held(kept, rule, group)),
    });
    let readings = readings.collect();
    let before = group.map_or(0, |group| group.before.kills);
    let mut buffer = [0; EVENTS];
    let kills = group.and_then(|group| {
        let (controller, file) = kill_file(group)?;
        labelled_word(kept.text(group, controller, file, &mut buffer)?, "oom_kill")
    });
    let oom_kills = kills.unwrap_or(0).saturating_sub(before);
    Some(Usage { at, totals: sums.totals, readings, oom_kills })
}

/// Adds up what the processes of a run use.
fn sum(kept: &mut Kept, group: Option<&Group>, process: ProcessKey, needs: Needs) -> Sums {
    let counted = group.and_then(|group| kept.count(group));
    let mut sums = Sums::default();
    if kept.may_know_all(counted)
        && kept.each(counted, |pid, stat| add(pid, stat, needs, &mut sums))
    {
        return sums;
    }
    sums = Sums::default();
    kept.set_members(members(group, process));
    kept.each(counted, |pid, stat| add(pid, stat, needs, &mut sums));
    sums
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

/// Adds what a process uses; how many tasks it has, and has had until somebody waits for it.
fn add(pid: u32, stat: &Stat<'_>, needs: Needs, sums: &mut Sums) -> u64 {
    let number = |place| stat.number(place).unwrap_or(0);
    let tasks = number(20);
    if stat.state() == b'Z' {
        return tasks;
    }
    let units = units();
    let totals = &mut sums.totals;
    totals.processes += 1;
    totals.threads += u32::try_from(tasks).unwrap_or(0);
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
    tasks
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

fn value(rule: &Rule, sums: &Sums, storage: &Storage) -> Option<u64> {
    let totals = &sums.totals;
    let count = |count: u32| Some(u64::from(count));
    match rule.kind {
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
    }
}

/// Room for a file of counters: a few lines of a word and a number.
const EVENTS: usize = 512;
/// Room for `cpu.stat`; what is read of it is its first line.
const TIMES: usize = 1024;

/// How often the kernel has held the worker back, as far as that says that it wanted
/// more than its limit: a group with much in its caches is at its limit all the time.
fn held(kept: &mut Kept, rule: &Rule, group: &Group) -> u64 {
    let (source, before) = if rule.kind == LimitKind::Resident {
        (waits_file(group), group.before.waits)
    } else if controller(rule.kind) == Some(Controller::Pids) {
        (Some(REFUSALS), group.before.refusals)
    } else {
        return 0;
    };
    let Some((controller, file, label)) = source else { return 0 };
    let mut buffer = [0; EVENTS];
    let text = kept.text(group, controller, file, &mut buffer);
    text.and_then(|text| labelled_word(text, label)).unwrap_or(0).saturating_sub(before)
}

/// Where the kernel counts the processes and threads that it has refused to a group.
const REFUSALS: (Controller, &str, &str) = (Controller::Pids, "pids.events", "max");

/// Where it counts how often it slowed down whoever wanted more memory; version 1 does not.
fn waits_file(group: &Group) -> Option<(Controller, &'static str, &'static str)> {
    match group.folders.get(&Controller::Memory)?.0 {
        Version::Two => Some((Controller::Memory, "memory.events", "high")),
        Version::One => None,
    }
}

/// What the kernel has counted in a group so far.
pub(super) fn counts(group: &Group) -> Counts {
    let waits = waits_file(group).map_or(0, |source| count(group, source));
    Counts { kills: kills(group), refusals: refusals(group), waits }
}

/// How many processes and threads the kernel has refused to a group.
pub(super) fn refusals(group: &Group) -> u64 {
    count(group, REFUSALS)
}

/// The number after a word in a file of a group.
fn count(group: &Group, (controller, file, label): (Controller, &str, &str)) -> u64 {
    let Some((_, folder)) = group.folders.get(&controller) else { return 0 };
    let text = fs::read_to_string(folder.join(file));
    text.ok().and_then(|text| labelled_word(&text, label)).unwrap_or(0)
}

/// The number after a word at the beginning of a line.
fn labelled_word(text: &str, label: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(word, _)| *word == label)?.1.trim().parse().ok()
}

/// The file that counts the processes of a group that the kernel kills for want of memory.
fn kill_file(group: &Group) -> Option<(Controller, &'static str)> {
    let file = match group.folders.get(&Controller::Memory)?.0 {
        Version::Two => "memory.events",
        Version::One => "memory.oom_control",
    };
    Some((Controller::Memory, file))
}

/// How many processes of a group the kernel has killed for want of memory.
pub(super) fn kills(group: &Group) -> u64 {
    kill_file(group).map_or(0, |(controller, file)| count(group, (controller, file, "oom_kill")))
}

/// The CPU time of everything that was ever in a group, in milliseconds.
fn cpu_time(kept: &mut Kept, group: &Group) -> Option<u64> {
    let in_group = |controller| Some((controller, group.folders.get(&controller)?.0));
    let (controller, version) =
        in_group(Controller::CpuAccount).or_else(|| in_group(Controller::Cpu))?;
    let mut buffer = [0; TIMES];
    match version {
        Version::Two => {
            let text = kept.text(group, controller, "cpu.stat", &mut buffer)?;
            Some(labelled_word(text, "usage_usec")? / 1000)
        }
        Version::One => {
            let text = kept.text(group, controller, "cpuacct.usage", &mut buffer)?;
            Some(text.trim().parse::<u64>().ok()? / 1_000_000)
        }
    }
}

#[cfg(test)]
mod tests;
