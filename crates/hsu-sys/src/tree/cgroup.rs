//! Cgroups: folders of processes that can be killed as one.
//!
//! One folder for each worker, below one folder of the master, so that two
//! masters of a host stay apart. A folder is made when the first process is put
//! into it and kept for the runs to come; making and removing one costs about
//! 60 us. No controller is switched on: this room kills, it does not limit.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;

use super::family::Member;
use super::hierarchy::Hierarchies;
use super::kill_exactly;
use crate::process::{ProcessHandle, identify};
use crate::procfs::Seen;

/// How long a group may take to stand still before its processes are killed anyway.
const STANDSTILL: Duration = Duration::from_millis(200);

/// How a group is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    /// One write kills all, new ones too. Linux 5.14.
    Kill,
    /// The group is held still, and each process killed.
    // Source: kernel, admin-guide/cgroup-v2.rst, "cgroup.freeze" (Linux 5.2).
    Freeze,
    /// The same, in version 1.
    // Source: kernel, admin-guide/cgroup-v1/freezer-subsystem.rst.
    Freezer,
}

impl Mechanism {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "cgroup.kill",
            Self::Freeze => "cgroup.freeze and SIGKILL",
            Self::Freezer => "the freezer of cgroup v1 and SIGKILL",
        }
    }
}

/// The folder of a master's groups.
#[derive(Clone, Debug)]
pub(super) struct Base {
    mechanism: Mechanism,
    pub(super) folder: PathBuf,
    /// Where limits hold workers still in the freezer of version 1, beside a version 2
    /// tree: whoever is killed dies there once it goes on.
    freezer: Option<PathBuf>,
}

/// The cgroups of this master's workers, or why there are none.
#[derive(Debug)]
pub(super) struct Cgroups {
    base: Result<Base, String>,
}

/// A run that is in the cgroup of its worker as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enclosure {
    /// Its worker.
    pub worker: WorkerId,
    /// The run.
    pub run: RunId,
    folder: PathBuf,
}

impl Enclosure {
    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Another run of this worker is born in it.
    #[must_use]
    pub fn of_next(&self, run: RunId) -> Self {
        Self { run, ..self.clone() }
    }

    /// Whether nothing of the run is left. One read, about 10 us.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        is_empty(&self.folder)
    }
}

impl Cgroups {
    /// Looks for a hierarchy that can kill and takes folders of ours, and removes those
    /// that an earlier master of this name has left empty.
    pub(super) fn detect(name: &str) -> Self {
        let found = Self { base: find_base(name) };
        found.remove_all();
        found
    }

    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn none() -> Self {
        Self { base: Err("none in tests".to_owned()) }
    }

    /// Whether there are any.
    pub(super) fn is_available(&self) -> bool {
        self.base.is_ok()
    }

    pub(super) fn describe(&self) -> String {
        match &self.base {
            Ok(base) => base.describe(),
            Err(reason) => format!("process group, session and environment mark ({reason})"),
        }
    }

    /// Puts processes into the group of a worker; whether each of them is in it, or gone.
    pub(super) fn add(&self, worker: &WorkerId, processes: &[ProcessKey]) -> bool {
        let Ok(base) = &self.base else { return false };
        let Ok(folder) = base.make(worker) else { return false };
        processes.iter().all(|process| {
            let is_gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
            base.put(&folder, *process).is_ok() || ProcessHandle::open(*process).is_err_and(is_gone)
        })
    }

    fn folder(&self, worker: &WorkerId) -> Option<PathBuf> {
        self.base.as_ref().ok().map(|base| base.folder.join(worker.as_str()))
    }

    /// Where runs can be born; none where there are no cgroups of version 2.
    // Source: clone(2), CLONE_INTO_CGROUP.
    pub(super) fn birthplaces(&self) -> Birthplaces {
        let takes_births = |base: &&Base| base.mechanism != Mechanism::Freezer;
        Birthplaces(self.base.as_ref().ok().filter(takes_births).cloned())
    }

    /// Says that everything of a run is in the group of its worker.
    pub(super) fn enclose(&self, worker: &WorkerId, run: RunId) -> Option<Enclosure> {
        let folder = self.folder(worker)?;
        Some(Enclosure { worker: worker.clone(), run, folder })
    }

    /// Whether any process is in the group of a worker.
    pub(super) fn is_populated(&self, worker: &WorkerId) -> bool {
        self.folder(worker).is_some_and(|folder| !is_empty(&folder) && folder.is_dir())
    }

    /// Kills whatever is in the group of a worker and removes the group.
    pub(super) fn kill(&self, worker: &WorkerId) {
        if let (Ok(base), Some(folder)) = (&self.base, self.folder(worker)) {
            base.kill(&folder);
        }
        self.remove(worker);
    }

    /// The processes in the group of a worker.
    pub(super) fn members(&self, worker: &WorkerId) -> Vec<Member> {
        self.folder(worker).map(|folder| members(&folder)).unwrap_or_default()
    }

    /// Removes the group of a worker; one that is not empty yet stays until later.
    pub(super) fn remove(&self, worker: &WorkerId) {
        if let Some(folder) = self.folder(worker) {
            drop(fs::remove_dir(folder));
        }
    }

    /// Removes every group that is empty.
    fn remove_all(&self) {
        let Ok(base) = &self.base else { return };
        let folders = fs::read_dir(&base.folder).into_iter().flatten().flatten();
        for folder in folders.map(|entry| entry.path()).filter(|path| path.is_dir()) {
            drop(fs::remove_dir(folder));
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.remove_all();
        if let Ok(base) = &self.base {
            // Refused while workers go on in it.
            drop(fs::remove_dir(&base.folder));
        }
    }
}

/// Where runs can be born.
#[derive(Clone, Debug)]
pub struct Birthplaces(Option<Base>);

impl Birthplaces {
    /// None anywhere: runs are put into cgroups later, or never.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Makes the cgroup of a worker for a run that is born in it; about 25 us, and none
    /// where there can be none.
    #[must_use]
    pub fn make(&self, worker: &WorkerId, run: RunId) -> Option<Enclosure> {
        let folder = self.0.as_ref()?.make(worker).ok()?;
        Some(Enclosure { worker: worker.clone(), run, folder })
    }
}

impl Base {
    /// The folder of a worker, made when it is missing.
    fn make(&self, worker: &WorkerId) -> io::Result<PathBuf> {
        let folder = self.folder.join(worker.as_str());
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // The base is made with the first worker that needs it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(&folder)?,
            made => made?,
        }
        Ok(folder)
    }

    /// How, and where.
    pub(super) fn describe(&self) -> String {
        format!("{} under {}", self.mechanism.as_str(), self.folder.display())
    }

    /// Moves one process. A PID may have become another's at the very moment: then
    /// that one is put back to where we are, which is as good as where it was.
    pub(super) fn put(&self, folder: &Path, process: ProcessKey) -> io::Result<()> {
        let hold = ProcessHandle::open(process)?;
        write(&folder.join("cgroup.procs"), process.pid)?;
        let is_ours = identify(process.pid).is_ok_and(|now| now == process);
        if hold.has_exited() && !is_ours {
            let parent = self.folder.parent().unwrap_or(&self.folder);
            // Refused when nobody has the PID any more.
            drop(write(&parent.join("cgroup.procs"), process.pid));
        }
        Ok(())
    }

    /// Kills everything in a group, as far as one attempt does.
    pub(super) fn kill(&self, folder: &Path) {
        let (file, hold, go_on) = match self.mechanism {
            Mechanism::Kill => {
                // Whatever this leaves is found by its mark.
                drop(write(&folder.join("cgroup.kill"), 1));
                if let (Some(freezer), Some(worker)) = (&self.freezer, folder.file_name()) {
                    drop(write(&freezer.join(worker).join("freezer.state"), "THAWED"));
                }
                return;
            }
            Mechanism::Freeze => ("cgroup.freeze", "1", "0"),
            Mechanism::Freezer => ("freezer.state", "FROZEN", "THAWED"),
        };
        let switch = folder.join(file);
        drop(write(&switch, hold));
        let begin = Instant::now();
        while !self.stands_still(folder) && begin.elapsed() < STANDSTILL {
            std::thread::sleep(Duration::from_millis(1));
        }
        members(folder).into_iter().for_each(|member| kill_exactly(member.key));
        // In version 1 they die once they go on.
        drop(write(&switch, go_on));
    }

    fn stands_still(&self, folder: &Path) -> bool {
        let (file, word) = match self.mechanism {
            Mechanism::Kill => return true,
            Mechanism::Freeze => ("cgroup.events", "frozen 1"),
            Mechanism::Freezer => ("freezer.state", "FROZEN"),
        };
        fs::read_to_string(folder.join(file))
            .is_ok_and(|text| text.lines().any(|line| line == word))
    }
}

/// Writes one value; unlike `fs::write` it never creates a file.
fn write(path: &Path, value: impl std::fmt::Display) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(value.to_string().as_bytes())
}

/// Whether no process is in a group or below it. What cannot be read is not empty.
fn is_empty(folder: &Path) -> bool {
    match fs::read_to_string(folder.join("cgroup.events")) {
        Ok(text) => text.lines().any(|line| line == "populated 0"),
        // Version 1 tells of one folder only.
        Err(_) => {
            let has_folders = || {
                let mut inside = fs::read_dir(folder).into_iter().flatten().flatten();
                inside.any(|entry| entry.path().is_dir())
            };
            fs::read_to_string(folder.join("cgroup.procs")).is_ok_and(|text| text.is_empty())
                && !has_folders()
        }
    }
}

pub(super) fn members(folder: &Path) -> Vec<Member> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let processes = pids_in(&text).filter_map(|pid| Seen::look(pid).ok());
    processes.filter(|process| !process.has_ended()).map(|process| (&process).into()).collect()
}

/// The members that a `cgroup.procs` lists; 0 stands for a process of another namespace.
// Source: cgroups(7), pid_namespaces(7).
pub(super) fn pids_in(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0)
}

pub(super) fn find_base(name: &str) -> Result<Base, String> {
    let read = |path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    let found = Hierarchies::parse(&mounts, &own);
    let mut reasons = Vec::new();
    let unified = found.unified.map(|folder| (folder, false));
    let legacy = found.freezer.clone().map(|folder| (folder, true));
    for (parent, is_legacy) in unified.into_iter().chain(legacy) {
        match try_base(&parent.join(format!("hsu-{name}")), is_legacy) {
            Ok(base) => {
                let freezer = found.freezer.map(|folder| folder.join(format!("hsu-{name}")));
                return Ok(Base { freezer, ..base });
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        reasons.push(format!("{}, and none that can kill is in sight", found.layout.as_str()));
    }
    Err(reasons.join("; "))
}

/// Makes the folder to see what it can do, and removes it again.
fn try_base(folder: &Path, is_legacy: bool) -> Result<Base, String> {
    let made = fs::create_dir(folder);
    if !folder.is_dir() {
        let reason = made.err().map_or_else(String::new, |error| error.to_string());
        return Err(format!("{} cannot be made: {reason}", folder.display()));
    }
    let has = |file: &str| folder.join(file).exists();
    let mechanism = if is_legacy {
        has("freezer.state").then_some(Mechanism::Freezer)
    } else if has("cgroup.kill") {
        Some(Mechanism::Kill)
    } else {
        has("cgroup.freeze").then_some(Mechanism::Freeze)
    };
    if made.is_ok() {
        drop(fs::remove_dir(folder));
    }
    let none = || format!("{} can neither be killed nor held still", folder.display());
    mechanism
        .map(|mechanism| Base { mechanism, folder: folder.to_owned(), freezer: None })
        .ok_or_else(none)
}

#[cfg(test)]
mod tests;
