//! Bonds: how a process is known to be one of a run.
//!
//! What is shown is shown of a process that is held: whoever has its PID later is
//! another one, and was not looked at. The cgroup of a worker holds nobody else; where
//! there is none, descent and the mark in the environment show what they show to
//! whoever kills the run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hsu_model::id::RunId;
use hsu_model::notify::{Bond, Named};
use hsu_model::process::ProcessKey;

use super::cgroup::pids_in;
use super::family::{DEEPEST, Mark, children_of, environ_of};
use crate::process::{ProcessHandle, identify};
use crate::procfs::Seen;

/// Groups below that of a worker that are looked into.
const MOST_GROUPS: usize = 64;

/// What makes a process one of a run.
#[derive(Clone, Copy, Debug)]
pub struct Kinship<'a> {
    /// The run.
    pub run: RunId,
    /// What this master is called in the environment of its workers.
    pub master: &'a str,
    /// The parent of every orphan.
    pub keeper: u32,
    /// The process of the run, as far as it is known.
    pub process: Option<ProcessKey>,
    /// The cgroup in which the run is as a whole, when there is one.
    pub folder: Option<&'a Path>,
}

impl Kinship<'_> {
    /// Looks at a process that was named. Some reads of small files; a fraction of a
    /// millisecond.
    #[must_use]
    pub fn look(&self, pid: u32) -> Named {
        let nobody = Named { pid, process: None, bond: None };
        let Ok(process) = identify(pid) else { return nobody };
        let Ok(hold) = ProcessHandle::open(process) else { return nobody };
        let bond = self.bond(pid);
        // What was read was of this very process if it still has not ended.
        if hold.has_exited() { nobody } else { Named { pid, process: Some(process), bond } }
    }

    /// How a process is known to be of the run. One that has a PID only until it is
    /// looked at may be another's: hold it.
    #[must_use]
    pub fn bond(&self, pid: u32) -> Option<Bond> {
        if pid <= 1 || pid == self.keeper || pid == std::process::id() {
            return None;
        }
        if self.folder.is_some_and(|folder| is_in(folder, pid)) {
            return Some(Bond::Cgroup);
        }
        let look = |pid: u32| Seen::look(pid).ok().filter(|seen| seen.key.pid > 1);
        let line = std::iter::successors(look(pid), |seen| look(seen.parent));
        let line: Vec<ProcessKey> = line.take(DEEPEST).map(|seen| seen.key).collect();
        if self.process.is_some_and(|process| line.contains(&process)) {
            return Some(Bond::Descent);
        }
        let is_below_keeper = line.iter().any(|above| above.pid == self.keeper);
        (is_below_keeper && self.is_marked(pid)).then_some(Bond::Mark)
    }

    /// A process of the run that is what is looked for. The process of the run is asked
    /// about first, then who descends from it, then who else is in its cgroup. Only where
    /// there is none the children of the keeper are looked at, for the mark of the run.
    #[must_use]
    pub fn find(&self, mut is_it: impl FnMut(u32) -> bool) -> Option<ProcessKey> {
        let mut asked = BTreeSet::new();
        // Whoever got the PID since it was listed is none of the run.
        let mut ask = |pid: u32, is_it: &mut dyn FnMut(u32) -> bool| {
            let is_new = asked.insert(pid);
            (is_new && is_it(pid)).then(|| self.look(pid)).filter(|named| named.bond.is_some())
        };
        let root = self.process.filter(|process| identify(process.pid).ok() == Some(*process));
        let mut found = root.and_then(|root| first_of(root.pid, &mut |pid| ask(pid, &mut is_it)));
        if let (None, Some(folder)) = (&found, self.folder) {
            found = members_in(folder).into_iter().find_map(|pid| ask(pid, &mut is_it));
        }
        if found.is_none() && self.folder.is_none() && self.keeper > 1 {
            let keeper = Seen::look(self.keeper).ok();
            let orphans = keeper.and_then(|keeper| children_of(&keeper)).unwrap_or_default();
            let mut own = orphans.into_iter().filter(|pid| self.is_marked(*pid));
            found = own.find_map(|pid| first_of(pid, &mut |pid| ask(pid, &mut is_it)));
        }
        found.and_then(|named| named.process)
    }

    fn is_marked(&self, pid: u32) -> bool {
        let Some(environ) = environ_of(pid) else { return false };
        let mark = Mark::of(&environ);
        mark.run == Some(self.run) && mark.master == Some(self.master.as_bytes())
    }
}

/// A process and those below it, until one of them is it.
fn first_of(root: u32, ask: &mut dyn FnMut(u32) -> Option<Named>) -> Option<Named> {
    let (mut open, mut seen) = (vec![root], BTreeSet::new());
    while let Some(pid) = open.pop() {
        if !seen.insert(pid) {
            continue;
        }
        if let Some(found) = ask(pid) {
            return Some(found);
        }
        let children = Seen::look(pid).ok().and_then(|seen| children_of(&seen));
        open.extend(children.unwrap_or_default());
    }
    None
}

/// Whether a process is in a group or in one below it.
fn is_in(folder: &Path, pid: u32) -> bool {
    each_in(folder, |member| (member == pid).then_some(())).is_some()
}

/// The processes in a group and in those below it.
fn members_in(folder: &Path) -> Vec<u32> {
    let mut members = Vec::new();
    each_in(folder, |member| -> Option<()> {
        members.push(member);
        None
    });
    members
}

/// Calls back with each process in a group and in those below it, until there is an answer.
fn each_in<T>(folder: &Path, mut each: impl FnMut(u32) -> Option<T>) -> Option<T> {
    let mut open = vec![folder.to_owned()];
    let mut looked = 0;
    while let Some(folder) = open.pop() {
        looked += 1;
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        if let Some(answer) = pids_in(&text).find_map(&mut each) {
            return Some(answer);
        }
        if looked < MOST_GROUPS {
            let inside = fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = inside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            open.extend(folders.map(|entry| entry.path()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use hsu_model::environment::{MASTER_VARIABLE, RUN_VARIABLE};

    use super::*;

    const RUN: RunId = RunId(5);

    /// Everything here is below this test, which stands for the keeper of others.
    fn kinship(process: Option<u32>, folder: Option<&Path>) -> Kinship<'_> {
        let process = process.map(|pid| identify(pid).unwrap());
        Kinship { run: RUN, master: "m", keeper: std::process::id(), process, folder }
    }

    fn sleeper(run: &str, master: &str) -> Child {
        let mut command = Command::new("sleep");
        command.arg("100").env(RUN_VARIABLE, run).env(MASTER_VARIABLE, master);
        command.spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn an_orphan_is_known_by_its_mark_and_by_no_other() {
        for (run, master, bond) in
            [("5", "m", Some(Bond::Mark)), ("6", "m", None), ("5", "other", None), ("", "", None)]
        {
            let child = sleeper(run, master);
            let named = kinship(None, None).look(child.id());
            assert_eq!((named.pid, named.bond), (child.id(), bond), "{run} {master}");
            assert_eq!(named.process, identify(child.id()).ok());
            end(child);
        }
    }

    #[test]
    fn whoever_descends_from_the_process_of_the_run_needs_no_mark() {
        let child = sleeper("", "");
        assert_eq!(kinship(Some(child.id()), None).bond(child.id()), Some(Bond::Descent));
        let stranger = Kinship { keeper: 1, ..kinship(None, None) };
        assert_eq!(stranger.bond(child.id()), None);
        end(child);
    }

    #[test]
    fn a_group_tells_of_itself_and_of_those_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(folder.path().join("cgroup.procs"), "0\n").unwrap();
        let child = sleeper("", "");
        fs::write(below.join("cgroup.procs"), format!("{}\n", child.id())).unwrap();
        assert_eq!(kinship(None, Some(folder.path())).bond(child.id()), Some(Bond::Cgroup));
        fs::write(below.join("cgroup.procs"), "").unwrap();
        assert_eq!(kinship(None, Some(folder.path())).bond(child.id()), None);
        end(child);
    }

    #[test]
    fn a_process_of_the_run_is_found_by_descent_by_its_group_and_by_its_mark_and_a_stranger_never()
    {
        let folder = tempfile::tempdir().unwrap();
        let (own, stranger) = (sleeper("5", "m"), sleeper("6", "m"));
        let (pid, other) = (own.id(), stranger.id());
        fs::write(folder.path().join("cgroup.procs"), format!("{pid}\n")).unwrap();
        let only = |wanted: u32| move |pid: u32| pid == wanted;
        for kinship in [
            kinship(Some(pid), None),
            kinship(None, Some(folder.path())),
            kinship(None, None),
            // It stands for the process of the run, and its children are of the run.
            Kinship { keeper: 1, ..kinship(Some(pid), None) },
        ] {
            assert_eq!(kinship.find(only(pid)), identify(pid).ok(), "{kinship:?}");
            assert_eq!(kinship.find(only(other)), None, "{kinship:?}");
        }
        let ended = Kinship {
            process: Some(ProcessKey { pid: other, started_at: 1 }),
            folder: Some(folder.path()),
            ..kinship(None, None)
        };
        assert_eq!(ended.find(only(other)), None, "another process has that PID by now");
        end(own);
        end(stranger);
    }

    #[test]
    fn nobody_is_named_by_the_number_of_one_that_has_ended_or_of_our_own() {
        let mut child = sleeper("5", "m");
        child.kill().unwrap();
        let pid = child.id();
        // Not reaped: its number is still its own.
        let hold = ProcessHandle::open(identify(pid).unwrap()).unwrap();
        while !hold.has_exited() {
            std::thread::yield_now();
        }
        assert_eq!(kinship(None, None).look(pid), Named { pid, process: None, bond: None });
        child.wait().unwrap();
        assert_eq!(kinship(None, None).look(pid).process, None);
        for pid in [0, 1, std::process::id()] {
            assert_eq!(kinship(None, None).bond(pid), None);
        }
    }
}
