//! The usage board: what each worker with limits used at the latest look.
//!
//! Written by the thread that looks, read by whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::{LimitKind, Limits};
use hsu_model::time::WallTime;
use hsu_model::usage::{Reading, Usage};
use hsu_sys::limits::Mechanism;

/// What a worker used at one look, and since the look before.
#[derive(Clone, Debug, PartialEq)]
pub struct Used {
    /// By which run.
    pub run: RunId,
    /// The PID of its process.
    pub pid: u32,
    /// When.
    pub at: WallTime,
    /// CPUs since the look before, in thousandths; none after the first look.
    pub cpu: Option<u64>,
    /// Memory in RAM, in bytes.
    pub resident: u64,
    /// Bytes read from disks per second.
    pub read: Option<u64>,
    /// Bytes written to disks per second.
    pub written: Option<u64>,
    /// Processes.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// What each limit is about, in the order of the rules; a rate per second.
    pub values: Vec<Option<u64>>,
    /// The limits as they are by now, in the order of the rules.
    pub most: Vec<u64>,
    /// By what the worker is slowed down.
    pub slowed_by: Option<String>,
}

/// The latest looks.
#[derive(Debug, Default)]
pub(crate) struct UsageBoard {
    runs: Mutex<BTreeMap<(WorkerId, RunId), (Used, Usage)>>,
    /// How the limits of each worker are kept.
    standing: Mutex<BTreeMap<WorkerId, Vec<(LimitKind, Mechanism)>>>,
}

impl UsageBoard {
    /// Takes a look; what it says together with the one before.
    pub(crate) fn post(
        &self,
        worker: &WorkerId,
        (run, pid): (RunId, u32),
        at: WallTime,
        limits: &Limits,
        usage: &Usage,
        slowed_by: Option<String>,
    ) -> Used {
        let mut runs = self.lock();
        let key = (worker.clone(), run);
        let before = runs.get(&key).map(|(_, usage)| usage);
        let span = before.map(|before| usage.at.since(before.at));
        let rate = |now: Option<u64>, then: Option<u64>| {
            let nanoseconds = span?.as_nanos().max(1);
            let used = u128::from(now?.saturating_sub(then?));
            u64::try_from(used * 1_000_000_000 / nanoseconds).ok()
        };
        let (totals, old) = (&usage.totals, before.map(|usage| usage.totals));
        let value = |(place, reading): (usize, &Reading)| {
            let is_rate = limits.rules.get(place).is_some_and(|rule| rule.kind.is_rate());
            let before = || before?.readings.get(place)?.value;
            if is_rate { rate(reading.value, before()) } else { reading.value }
        };
        let used = Used {
            run,
            pid,
            at,
            cpu: rate(Some(totals.cpu_milliseconds), old.map(|old| old.cpu_milliseconds)),
            resident: totals.resident,
            read: rate(totals.read, old.and_then(|old| old.read)),
            written: rate(totals.written, old.and_then(|old| old.written)),
            processes: totals.processes,
            threads: totals.threads,
            values: usage.readings.iter().enumerate().map(value).collect(),
            most: limits.rules.iter().map(|rule| rule.most).collect(),
            slowed_by,
        };
        runs.insert(key, (used.clone(), usage.clone()));
        used
    }

    /// Forgets a worker whose run is over.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.lock().retain(|(id, _), _| id != worker);
    }

    /// Forgets one run of several.
    pub(crate) fn forget_run(&self, worker: &WorkerId, run: RunId) {
        self.lock().remove(&(worker.clone(), run));
    }

    /// What one worker used at the latest look; of several processes the oldest one stands
    /// for all of them.
    pub(crate) fn of(&self, worker: &WorkerId) -> Option<Used> {
        let first = (worker.clone(), RunId(0));
        let runs = self.lock();
        let (_, (used, _)) = runs.range(first..).next().filter(|((id, _), _)| id == worker)?;
        Some(used.clone())
    }

    /// Every run that was looked at.
    pub(crate) fn all(&self) -> Vec<(WorkerId, Used)> {
        self.lock().iter().map(|((worker, _), (used, _))| (worker.clone(), used.clone())).collect()
    }

    /// Takes how the limits of a worker are kept.
    pub(crate) fn stand(&self, worker: &WorkerId, mechanisms: Vec<(LimitKind, Mechanism)>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.insert(worker.clone(), mechanisms);
    }

    /// How the limits of a worker are kept.
    pub(crate) fn standing(&self, worker: &WorkerId) -> Vec<(LimitKind, Mechanism)> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.get(worker).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(WorkerId, RunId), (Used, Usage)>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
