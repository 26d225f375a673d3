//! Families: which processes belong to which run.
//!
//! A process belongs to a run when its environment says so, or when it descends
//! from one that does. Orphans become children of the keeper, so a look at the
//! keeper's children and at theirs finds them without a scan of the host. After
//! the loss of a keeper its workers are nobody's children: then the whole host is
//! looked at, and there only the name of this master in the environment counts,
//! because another master numbers its runs alike.
//!
//! A process is identified before anything else is read about it: if its PID
//! becomes another's meanwhile, the kill that follows finds nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use hsu_model::environment::{MASTER_VARIABLE, RUN_VARIABLE};
use hsu_model::id::RunId;
use hsu_model::process::ProcessKey;

use crate::procfs::Seen;

/// How often a list of children is read at most until it stays the same.
const MOST_READINGS: u32 = 4;
/// How long the kernel may take to set up a program, or to take down a process: on a
/// busy host, with memory to give back.
const BETWEEN: Duration = Duration::from_millis(500);
/// How far up the line of parents is followed.
pub(super) const DEEPEST: usize = 64;

/// Who is looked for, and among whom.
#[derive(Debug)]
pub(super) struct Family {
    /// What this master is called in the environment of its workers.
    master: String,
    keeper: u32,
    /// Which process that is; none when it had ended when it was looked at.
    holder: Option<ProcessKey>,
    /// Children of the keeper that were looked at before, and their runs. One of
    /// another run needs no second look.
    children: BTreeMap<u32, Option<RunId>>,
    /// Whether the last search ended with a list of children that stayed the same. While
    /// many end, others may have become children after the last reading.
    settled: bool,
    /// Whether processes of ours may live outside of the keeper's family.
    strays: bool,
}

/// A process that lives, and how it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) key: ProcessKey,
    /// It does not run, because it was stopped.
    pub(super) is_held: bool,
}

impl From<&Seen> for Member {
    fn from(process: &Seen) -> Self {
        Self { key: process.key, is_held: process.state == b'T' }
    }
}

impl Member {
    /// Looks at a process; none when it has ended, or its PID is another's.
    pub(super) fn look(key: ProcessKey) -> Option<Self> {
        let process = Seen::look(key.pid).ok()?;
        (process.key == key && !process.has_ended()).then(|| Self::from(&process))
    }
}

/// What was found: for each run, its processes.
pub(super) type Found = BTreeMap<RunId, BTreeMap<ProcessKey, Member>>;

impl Family {
    pub(super) fn new(master: &str) -> Self {
        let children = BTreeMap::new();
        let master = master.to_owned();
        Self { master, keeper: 0, holder: None, children, settled: true, strays: true }
    }

    /// Whether the last search can have missed nobody.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// The parent of every orphan. Whatever an earlier one held is elsewhere.
    pub(super) fn set_keeper(&mut self, pid: u32) {
        let holder = living(pid);
        if self.keeper != pid || self.holder != holder {
            self.keeper = pid;
            self.holder = holder;
            self.children.clear();
            self.strays = true;
        }
    }

    /// The living processes of these runs; `roots` are processes that are known
    /// to belong to one.
    pub(super) fn find(
        &mut self,
        runs: &BTreeSet<RunId>,
        roots: &BTreeMap<ProcessKey, RunId>,
    ) -> Found {
        let (master, keeper) = (self.master.as_str(), self.keeper);
        let (seen, found) = (BTreeSet::new(), Found::new());
        let mut look = Look { runs, master, keeper, seen, found };
        for (root, run) in roots {
            look.take(root.pid, Origin::Exactly(*root), Some(*run));
        }
        let Some(mut children) = read_children(keeper).filter(|_| keeper > 1) else {
            self.settled = true;
            look.scan();
            return look.found;
        };
        let known = std::mem::take(&mut self.children);
        self.settled = false;
        for reading in 0..=MOST_READINGS {
            for child in &children {
                if self.children.contains_key(child) {
                    continue;
                }
                let run = match known.get(child) {
                    // Every end of a run is looked at, so whoever has this PID by
                    // now was looked at since.
                    Some(Some(run)) if !runs.contains(run) => Some(*run),
                    _ => look.take(*child, Origin::ChildOf(keeper), None),
                };
                self.children.insert(*child, run);
            }
            // Whose parent ended before it was looked at has become a child meanwhile.
            let again = read_children(keeper).unwrap_or_default();
            self.settled = again == children;
            if self.settled || reading == MOST_READINGS {
                break;
            }
            children = again;
        }
        // A keeper that has ended has no children, and nobody may have noticed its
        // end yet. Its list counts when it still lives after the look at it.
        if self.strays || self.holder.is_none() || self.holder != living(keeper) {
            self.strays = look.scan() > 0;
        }
        look.found
    }
}

/// The process with this PID, unless it is about to let go of its children.
fn living(pid: u32) -> Option<ProcessKey> {
    Seen::look(pid).ok().filter(|process| !process.is_ending()).map(|process| process.key)
}

/// How a process came to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It was named by its identity.
    Exactly(ProcessKey),
    /// It was among the children of this one.
    ChildOf(u32),
    /// It was met on the host.
    Met,
}

impl Origin {
    fn is_true_of(self, process: &Seen) -> bool {
        match self {
            Self::Exactly(key) => process.key == key,
            Self::ChildOf(parent) => process.parent == parent,
            Self::Met => true,
        }
    }
}

/// One search.
struct Look<'a> {
    runs: &'a BTreeSet<RunId>,
    master: &'a str,
    keeper: u32,
    seen: BTreeSet<u32>,
    found: Found,
}

impl Look<'_> {
    /// Looks at a process and everything below it; the run it belongs to.
    fn take(&mut self, pid: u32, origin: Origin, inherited: Option<RunId>) -> Option<RunId> {
        let mut open = vec![(pid, origin, inherited)];
        let mut first = None;
        while let Some((below, origin, inherited)) = open.pop() {
            if below <= 1 || below == std::process::id() || self.seen.contains(&below) {
                continue;
            }
            let looked = Seen::look(below).ok();
            // Whoever has another parent by now is met where that one's children are
            // looked at, or on the host.
            let Some(process) = looked.filter(|process| origin.is_true_of(process)) else {
                continue;
            };
            self.seen.insert(below);
            if process.has_ended() {
                continue;
            }
            // Whoever is named is known, and needs no mark.
            let run = match (origin, inherited) {
                (Origin::Exactly(_), Some(run)) => Some(run),
                _ => self.run_of(below, origin).or(inherited),
            };
            if below == pid {
                first = run;
            }
            self.note(&process, run);
            // Whoever is below a process of another run is none of ours.
            if run.is_none_or(|run| self.runs.contains(&run)) {
                let children = children_of(&process).unwrap_or_default();
                open.extend(children.into_iter().map(|child| (child, Origin::ChildOf(below), run)));
            }
        }
        first
    }

    fn note(&mut self, process: &Seen, run: Option<RunId>) {
        if let Some(run) = run.filter(|run| self.runs.contains(run)) {
            self.found.entry(run).or_default().insert(process.key, process.into());
        }
    }

    /// Looks at every process of the host; how many of this master were met
    /// outside of its keeper's family.
    fn scan(&mut self) -> usize {
        let folder = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids: Vec<u32> =
            folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        let mut strays = 0;
        for pid in pids {
            // The environment comes first: most processes are not ours.
            if !self.seen.contains(&pid) && self.run_of(pid, Origin::Met).is_some() {
                strays += usize::from(!self.descends_from_keeper(pid));
                self.take(pid, Origin::Met, None);
            }
        }
        strays
    }

    fn descends_from_keeper(&self, pid: u32) -> bool {
        let parent = |pid: &u32| Seen::look(*pid).ok().map(|process| process.parent);
        std::iter::successors(Some(pid), parent).take(DEEPEST).any(|pid| pid == self.keeper)
    }

    /// The run that the environment of a process names, when we believe it.
    fn run_of(&self, pid: u32, origin: Origin) -> Option<RunId> {
        let environ = environ_of(pid)?;
        let mark = Mark::of(&environ);
        let is_ours = match mark.master {
            Some(master) => master == self.master.as_bytes(),
            // Whoever was started without a name belongs to the one who holds it.
            None => origin != Origin::Met,
        };
        mark.run.filter(|_| is_ours)
    }
}

/// The environment of a process; none when it has ended, or is none with one.
///
/// It is waited for while the process is being set up, and so is the end of one that
/// is on its way out: nobody can tell whose it was, and it may still hold what the
/// next run needs. That an environment is empty is believed when the same program
/// had been there before.
pub(super) fn environ_of(pid: u32) -> Option<Vec<u8>> {
    let begin = Instant::now();
    let mut program = None;
    loop {
        let environ = read_environ(pid)?;
        if !environ.is_empty() || begin.elapsed() > BETWEEN {
            return Some(environ);
        }
        let process = Seen::look(pid).ok().filter(|process| !process.is_bare())?;
        let before = std::mem::replace(&mut program, process.program());
        if program.is_none() {
            std::thread::sleep(Duration::from_micros(100));
        } else if program == before {
            return Some(environ);
        }
    }
}

/// The environment as the kernel shows it, by the first thread that still has one;
/// none when it is not ours to read, or the process is gone.
// Source: linux fs/proc/base.c, proc_mem_open: ESRCH for a thread that has no memory.
fn read_environ(pid: u32) -> Option<Vec<u8>> {
    match std::fs::read(format!("/proc/{pid}/environ")) {
        Ok(environ) if !environ.is_empty() => return Some(environ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        Ok(_) | Err(_) => {}
    }
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let mut environs =
        threads.filter_map(|thread| std::fs::read(thread.path().join("environ")).ok());
    Some(environs.find(|environ| !environ.is_empty()).unwrap_or_default())
}

/// What an environment says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark<'a> {
    pub(super) run: Option<RunId>,
    pub(super) master: Option<&'a [u8]>,
}

impl<'a> Mark<'a> {
    /// Reads an environment; of two equal names the first counts, as for programs.
    pub(super) fn of(environ: &'a [u8]) -> Self {
        let value = |name: &str| {
            environ.split(|byte| *byte == 0).find_map(|pair| {
                pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
            })
        };
        let number = value(RUN_VARIABLE).and_then(|text| std::str::from_utf8(text).ok());
        let run = number.and_then(|text| text.parse().ok()).map(RunId);
        Self { run, master: value(MASTER_VARIABLE) }
    }
}

/// The children of a process; none when the kernel does not tell, or it is gone.
///
/// While children end, the kernel's list may lack one that lives: a list counts
/// when it reads the same again.
// Source: proc_pid_task_tid_children(5); needs CONFIG_PROC_CHILDREN.
pub(super) fn children_of(process: &Seen) -> Option<BTreeSet<u32>> {
    let mut all = read_children_of(process)?;
    for _ in 1..MOST_READINGS {
        let again = read_children_of(process)?;
        let is_same = again == all;
        // One that is gone by now does no harm: whoever is looked at is identified.
        all.extend(again);
        if is_same {
            break;
        }
    }
    Some(all)
}

/// The children of a process that was looked at: one file, when it has one thread.
fn read_children_of(process: &Seen) -> Option<BTreeSet<u32>> {
    let pid = process.key.pid;
    if process.has_one_thread()
        && let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
    {
        return Some(numbers_in(&text).collect());
    }
    read_children(pid)
}

fn numbers_in(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok())
}

fn read_children(pid: u32) -> Option<BTreeSet<u32>> {
    let mut children = BTreeSet::new();
    let mut told = false;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        if let Ok(text) = std::fs::read_to_string(thread.path().join("children")) {
            told = true;
            children.extend(numbers_in(&text));
        }
    }
    told.then_some(children)
}

#[cfg(test)]
mod tests;
