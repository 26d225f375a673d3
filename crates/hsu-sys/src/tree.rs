//! Trees: everything that belongs to a run, found and killed.
//!
//! A worker's descendants may have left its process group and its parent, but
//! they carry the run's number in their environment, and orphans become children
//! of the keeper. So a look at the keeper's children and at theirs finds them,
//! without a scan of every process of the host. A worker that has lived for a
//! while has a cgroup too, which catches whatever escapes even that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;

use crate::process::{ProcessHandle, Stat, identify};

mod cgroup;

use cgroup::Cgroups;

/// The variable that names the run of a process.
const MARK: &str = "HSU_RUN_ID=";
/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);
const SIGKILL: i32 = 9;

/// One run to be killed.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Its worker.
    pub worker: WorkerId,
    /// The run.
    pub run: RunId,
    /// Its first process, when it still lives.
    pub process: Option<ProcessKey>,
    /// Whether the worker has no other run, so that its cgroup goes too.
    pub whole: bool,
}

/// What finds and kills trees.
#[derive(Debug)]
pub struct Trees {
    keeper: u32,
    cgroups: Cgroups,
}

impl Trees {
    /// Looks at what this host offers; `name` tells cgroups of several masters apart.
    #[must_use]
    pub fn detect(name: &str) -> Self {
        Self { keeper: 0, cgroups: Cgroups::detect(name) }
    }

    /// The parent of every orphan.
    pub fn set_keeper(&mut self, pid: u32) {
        self.keeper = pid;
    }

    /// How trees are killed here, in one sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        self.cgroups.describe()
    }

    /// Puts a process and its descendants into the cgroup of its worker, where there is one.
    pub fn contain(&mut self, worker: &WorkerId, process: ProcessKey) {
        let mut all = BTreeSet::from([process.pid]);
        add_descendants(process.pid, &mut all);
        if identify(process.pid).is_ok_and(|key| key == process) {
            self.cgroups.add(worker, &all);
        }
    }

    /// Kills everything that belongs to these runs; what is left of each, in their order.
    pub fn kill(&mut self, kills: &[Kill]) -> Vec<(RunId, Vec<u32>)> {
        for kill in kills.iter().filter(|kill| kill.whole) {
            self.cgroups.kill(&kill.worker);
        }
        for process in kills.iter().filter_map(|kill| kill.process) {
            kill_exactly(process);
        }
        let runs: BTreeSet<RunId> = kills.iter().map(|kill| kill.run).collect();
        let begin = Instant::now();
        let mut rest = Duration::from_millis(1);
        let mut left = self.find(&runs);
        while !left.is_empty() && begin.elapsed() < PATIENCE {
            left.values().flatten().copied().for_each(kill_exactly);
            std::thread::sleep(rest);
            rest = (rest * 2).min(Duration::from_millis(50));
            left = self.find(&runs);
        }
        let pids =
            |run: &RunId| left.get(run).into_iter().flatten().map(|process| process.pid).collect();
        kills.iter().map(|kill| (kill.run, pids(&kill.run))).collect()
    }

    /// The processes of these runs that live.
    fn find(&self, runs: &BTreeSet<RunId>) -> BTreeMap<RunId, Vec<ProcessKey>> {
        let mut found: BTreeMap<RunId, Vec<ProcessKey>> = BTreeMap::new();
        for pid in self.candidates() {
            let Some(run) = run_of(pid).filter(|run| runs.contains(run)) else {
                continue;
            };
            let lives = Stat::read(pid).is_some_and(|stat| !stat.is_zombie());
            if let (true, Ok(process)) = (lives, identify(pid)) {
                found.entry(run).or_default().push(process);
            }
        }
        found
    }

    fn candidates(&self) -> BTreeSet<u32> {
        let mut all = BTreeSet::new();
        let is_complete = self.keeper > 1 && add_descendants(self.keeper, &mut all);
        if !is_complete {
            all.extend(every_process());
        }
        all.remove(&std::process::id());
        all
    }
}

/// Adds the children of a process, and theirs; whether the kernel tells them at all.
fn add_descendants(pid: u32, all: &mut BTreeSet<u32>) -> bool {
    let mut open = vec![pid];
    let mut told = false;
    while let Some(pid) = open.pop() {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let Ok(text) = std::fs::read_to_string(thread.path().join("children")) else {
                continue;
            };
            told = true;
            for child in text.split_whitespace().filter_map(|word| word.parse().ok()) {
                if all.insert(child) {
                    open.push(child);
                }
            }
        }
    }
    told
}

fn every_process() -> impl Iterator<Item = u32> {
    let folder = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The run that the environment of a process names.
fn run_of(pid: u32) -> Option<RunId> {
    let environ = std::fs::read(PathBuf::from(format!("/proc/{pid}/environ"))).ok()?;
    let mut pairs = environ.split(|byte| *byte == 0);
    let number = pairs.find_map(|pair| pair.strip_prefix(MARK.as_bytes()))?;
    std::str::from_utf8(number).ok()?.parse().ok().map(RunId)
}

/// Kills this process, and never another that has its PID by now.
fn kill_exactly(process: ProcessKey) {
    if let Ok(handle) = ProcessHandle::open(process) {
        // It may end by itself meanwhile.
        drop(handle.signal(SIGKILL));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_marked_process_in_its_own_session_is_found_and_killed_and_no_other() {
        let start = |run: &str| {
            Command::new("setsid").args(["sleep", "1000"]).env("HSU_RUN_ID", run).spawn().unwrap()
        };
        // Numbers that no other test uses.
        let (mut ours, mut other) = (start("918273645"), start("918273646"));
        while run_of(ours.id()).is_none() || run_of(other.id()).is_none() {
            std::thread::yield_now();
        }
        let mut trees = Trees { keeper: std::process::id(), cgroups: Cgroups::none() };
        let worker = WorkerId::new("x").unwrap();
        let run = RunId(918_273_645);
        let reaper = std::thread::spawn(move || ours.wait().unwrap());
        let left = trees.kill(&[Kill { worker, run, process: None, whole: true }]);
        assert_eq!(left, [(run, vec![])]);
        assert!(!reaper.join().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
