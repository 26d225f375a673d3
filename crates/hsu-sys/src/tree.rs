//! Trees: everything that belongs to a run, found and killed.
//!
//! A worker that has lived for a while has a cgroup, which catches whatever
//! descends from it. Everything else is found by `family`: by the mark in the
//! environment and by descent. Signals go through a hold on the process, never to
//! a bare PID. What survives is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;

use crate::process::ProcessHandle;

mod bond;
mod cell;
mod cgroup;
mod family;
pub(crate) mod fuzzing;
pub(crate) mod hierarchy;

pub use bond::Kinship;
#[cfg(target_os = "linux")]
pub(crate) use cell::Counted;
pub use cell::{Cell, Cells, MOST_PROCESSES};
use cgroup::Cgroups;
pub use cgroup::{Birthplaces, Enclosure};
use family::{Family, Found, Member};

/// How often processes are moved until none is found outside.
const MOST_MOVES: u32 = 4;
/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);
/// The rest between two looks at what was killed.
const SHORTEST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(50);
/// After this many rounds a tree multiplies faster than it is killed: it is held
/// still first. A stopped process neither forks nor makes room for another.
const ROUNDS_BEFORE_HOLDING: u32 = 2;
const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

/// What was sent SIGKILL, and the run it belongs to.
type Killed = BTreeMap<ProcessKey, RunId>;

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
    /// Whether it is in the cgroup of its worker as a whole, so that nothing of it is
    /// elsewhere.
    pub is_enclosed: bool,
}

/// What became of one run that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The run.
    pub run: RunId,
    /// Processes of it that were killed, besides its first one.
    pub killed: usize,
    /// What is left of it.
    pub survivors: Vec<u32>,
}

/// How long processes are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    /// One look, for what is hardly there.
    Once,
    /// Until a search cannot have missed anybody.
    UntilSettled,
}

/// One run that lives.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Its worker.
    pub worker: WorkerId,
    /// The run.
    pub run: RunId,
    /// Its first process.
    pub process: ProcessKey,
}

/// What finds and kills trees.
#[derive(Debug)]
pub struct Trees {
    family: Family,
    cgroups: Cgroups,
}

impl Trees {
    /// Looks at what this host offers; `name` tells the processes and cgroups of
    /// several masters of one host apart, and is the same in each life of a master.
    #[must_use]
    pub fn detect(name: &str) -> Self {
        Self { family: Family::new(name), cgroups: Cgroups::detect(name) }
    }

    /// Where runs can be born, so that they are contained from the beginning.
    #[must_use]
    pub fn birthplaces(&self) -> Birthplaces {
        self.cgroups.birthplaces()
    }

    /// The parent of every orphan.
    pub fn set_keeper(&mut self, pid: u32) {
        self.family.set_keeper(pid);
    }

    /// How trees are killed here, in one sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        self.cgroups.describe()
    }

    /// Whether a tree is killed by the kernel as one, so that nothing escapes.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cgroups.is_available()
    }

    /// Puts everything that belongs to these runs into the cgroups of their workers,
    /// where there are any. From then on a look at its enclosure tells whether anything
    /// of such a run is left, whatever its processes do. All of them, or none.
    pub fn contain(&mut self, trees: &[Tree]) -> Vec<Enclosure> {
        if !self.cgroups.is_available() || trees.is_empty() {
            return Vec::new();
        }
        let runs = trees.iter().map(|tree| tree.run).collect();
        let roots = trees.iter().map(|tree| (tree.process, tree.run)).collect();
        let mut moved = BTreeSet::new();
        for _ in 0..MOST_MOVES {
            let found = self.family.find(&runs, &roots);
            let (mut is_complete, mut are_in) = (self.family.is_settled(), true);
            for tree in trees {
                let members = found.get(&tree.run).into_iter().flatten().map(|(key, _)| *key);
                let new: Vec<ProcessKey> = members.filter(|key| moved.insert(*key)).collect();
                is_complete &= new.is_empty();
                are_in &= self.cgroups.add(&tree.worker, &new);
            }
            if !are_in {
                // They are looked for by mark and descent, as without cgroups.
                return Vec::new();
            }
            // Whatever was born meanwhile was born inside.
            if is_complete {
                let enclose = |tree: &Tree| self.cgroups.enclose(&tree.worker, tree.run);
                return trees.iter().filter_map(enclose).collect();
            }
        }
        Vec::new()
    }

    /// Kills everything that belongs to these runs; what became of each, in their order.
    ///
    /// Takes a second and a half at most, and the looks at the processes; usually the time
    /// that the kernel needs.
    pub fn kill(&mut self, kills: &[Kill]) -> Vec<Fate> {
        let mut killed = self.kill_enclosed(kills);
        // One that the kernel does not let go has left its cgroup and is there all the same.
        let held: BTreeSet<RunId> =
            killed.iter().filter(|(key, _)| lives(**key)).map(|(_, run)| *run).collect();
        let is_gone = |kill: &Kill| {
            let may_be_there = held.contains(&kill.run) || self.cgroups.is_populated(&kill.worker);
            kill.is_enclosed && !may_be_there
        };
        let (gone, mut open): (Vec<Kill>, Vec<Kill>) = kills.iter().cloned().partition(is_gone);
        let search = if open.is_empty() { Search::Once } else { Search::UntilSettled };
        // Whoever may leave a cgroup may have done so: a stop looks for that too.
        for kill in gone.into_iter().filter(|kill| kill.whole) {
            self.cgroups.remove(&kill.worker);
            open.push(kill);
        }
        let left =
            if open.is_empty() { Found::new() } else { self.kill_open(&open, search, &mut killed) };
        let others = |kill: &Kill| {
            let is_other =
                |of: &(&ProcessKey, &RunId)| *of.1 == kill.run && Some(*of.0) != kill.process;
            killed.iter().filter(is_other).count()
        };
        let fate = |kill: &Kill| Fate {
            run: kill.run,
            killed: others(kill),
            survivors: self.finish(kill, &left),
        };
        kills.iter().map(fate).collect()
    }

    /// Kills what a look at the cgroups could not tell to be gone.
    fn kill_open(&mut self, kills: &[Kill], search: Search, killed: &mut Killed) -> Found {
        // The first look comes before the first kill: orphans that have cleared
        // their environment are known by their parents only.
        let mut left = self.find(kills, killed);
        for kill in kills.iter().filter(|kill| kill.whole) {
            self.cgroups.kill(&kill.worker);
        }
        // The looks may take long on a busy host, and at least one kill comes after the first.
        let begin = Instant::now();
        let mut rest = SHORTEST_REST;
        let mut round = 0;
        let misses = |family: &Family| search == Search::UntilSettled && !family.is_settled();
        while (!left.is_empty() || misses(&self.family)) && begin.elapsed() < PATIENCE {
            round += 1;
            if round <= ROUNDS_BEFORE_HOLDING || !hold(&left, killed) {
                let before = killed.len();
                for (run, member) in each(&left) {
                    kill_exactly(member.key);
                    killed.insert(member.key, run);
                }
                let is_all_old = killed.len() == before;
                rest = if is_all_old { (rest * 2).min(LONGEST_REST) } else { SHORTEST_REST };
                std::thread::sleep(rest);
            }
            left = self.find(kills, killed);
        }
        left
    }

    /// Kills the runs that are in their cgroups as a whole, without a look at their
    /// families: nothing of them is elsewhere. What was there.
    fn kill_enclosed(&mut self, kills: &[Kill]) -> Killed {
        let mut killed = Killed::new();
        let mut open: Vec<_> = kills.iter().filter(|kill| kill.whole && kill.is_enclosed).collect();
        open.retain(|kill| self.cgroups.is_populated(&kill.worker));
        for kill in &open {
            let members = self.cgroups.members(&kill.worker).into_iter();
            killed.extend(members.map(|member| (member.key, kill.run)));
            self.cgroups.kill(&kill.worker);
        }
        let begin = Instant::now();
        while !open.is_empty() && begin.elapsed() < PATIENCE / 2 {
            std::thread::sleep(SHORTEST_REST);
            open.retain(|kill| self.cgroups.is_populated(&kill.worker));
        }
        killed
    }

    /// Everything that lives of these runs, and of what was killed already.
    fn find(&mut self, kills: &[Kill], killed: &Killed) -> Found {
        let runs: BTreeSet<RunId> = kills.iter().map(|kill| kill.run).collect();
        let root = |kill: &Kill| kill.process.map(|process| (process, kill.run));
        let roots: BTreeMap<ProcessKey, RunId> = kills.iter().filter_map(root).collect();
        let mut found = self.family.find(&runs, &roots);
        let is_its_own = |kill: &&Kill| kill.whole || kill.is_enclosed;
        for kill in kills.iter().filter(is_its_own) {
            for member in self.cgroups.members(&kill.worker) {
                found.entry(kill.run).or_default().insert(member.key, member);
            }
        }
        for (key, run) in killed {
            if let Some(member) = Member::look(*key) {
                found.entry(*run).or_default().insert(*key, member);
            }
        }
        found
    }

    /// What is left of a run; its cgroup is removed when that is nothing.
    fn finish(&mut self, kill: &Kill, left: &Found) -> Vec<u32> {
        if kill.whole {
            self.cgroups.remove(&kill.worker);
        }
        left.get(&kill.run).into_iter().flatten().map(|(key, _)| key.pid).collect()
    }
}

fn lives(process: ProcessKey) -> bool {
    Member::look(process).is_some()
}

fn each(left: &Found) -> impl Iterator<Item = (RunId, &Member)> {
    left.iter().flat_map(|(run, members)| members.values().map(|member| (*run, member)))
}

/// Stops whatever still multiplies; whether anything did. What was killed and is
/// on its way out is left alone.
fn hold(left: &Found, killed: &Killed) -> bool {
    let is_new = |member: &&Member| !member.is_held && !killed.contains_key(&member.key);
    let new = each(left).map(|(_, member)| member).filter(is_new);
    new.filter(|member| signal_exactly(member.key, SIGSTOP)).count() > 0
}

/// Kills this process, and never another that has its PID by now.
fn kill_exactly(process: ProcessKey) {
    // It may have ended by itself meanwhile.
    signal_exactly(process, SIGKILL);
}

fn signal_exactly(process: ProcessKey, signal: i32) -> bool {
    ProcessHandle::open(process).is_ok_and(|handle| handle.signal(signal).is_ok())
}

#[cfg(test)]
mod tests;
