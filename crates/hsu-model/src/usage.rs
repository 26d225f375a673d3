//! Usage: what a worker uses, at one moment.

use alloc::vec::Vec;

use crate::time::Tick;

/// What all processes of a run use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// When it was looked at.
    pub at: Tick,
    /// What everybody wants to know.
    pub totals: Totals,
    /// What each limit is about, in the order of the rules.
    pub readings: Vec<Reading>,
    /// How many processes the kernel has killed in its cgroup for want of memory, so far.
    pub oom_kills: u64,
}

/// What one limit is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How much, in the unit of the kind, and for a rate the sum so far; none when the
    /// host does not tell.
    pub value: Option<u64>,
    /// How often the kernel has held the worker back, so far.
    pub held: u64,
}

/// What everybody wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// CPU time so far, in milliseconds.
    pub cpu_milliseconds: u64,
    /// Memory in RAM.
    pub resident: u64,
    /// Bytes read from disks so far, when the host tells.
    pub read: Option<u64>,
    /// Bytes written to disks so far, when the host tells.
    pub written: Option<u64>,
    /// Processes.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
}
