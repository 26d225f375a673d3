//! Places: where this master may make groups of processes, for each controller.
//!
//! A controller is taken from version 2 where its tree has it, else from version 1;
//! hosts with both trees have some here and some there. What is not to be had
//! carries the reason.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hsu_model::limits::Cgroups;

use crate::tree::hierarchy::{self, Hierarchies, ROLES};

const ESRCH: i32 = 3;

/// Whether a look may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Controllers are switched on, and our roles moved out of the way.
    Yes,
    /// Nothing stays changed.
    No,
}

/// A controller of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Controller {
    Memory,
    Cpu,
    CpuAccount,
    Io,
    Pids,
    Freezer,
}

impl Controller {
    pub(super) const ALL: [Self; 6] =
        [Self::Memory, Self::Cpu, Self::CpuAccount, Self::Io, Self::Pids, Self::Freezer];

    /// Its name in version 1.
    pub(super) fn version_1(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::CpuAccount => "cpuacct",
            Self::Io => "blkio",
            Self::Pids => "pids",
            Self::Freezer => "freezer",
        }
    }

    /// Its name in version 2; none for what every group has there.
    fn version_2(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some("memory"),
            Self::Cpu => Some("cpu"),
            Self::Io => Some("io"),
            Self::Pids => Some("pids"),
            Self::CpuAccount | Self::Freezer => None,
        }
    }

    /// What it is for.
    pub(super) fn is_for(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "CPU",
            Self::CpuAccount => "CPU time",
            Self::Io => "disk",
            Self::Pids => "process",
            Self::Freezer => "freezer",
        }
    }
}

/// The generation of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::One => "cgroup v1",
            Self::Two => "cgroup v2",
        }
    }
}

/// Where groups of a controller are made: one for each worker in this folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) version: Version,
    pub(crate) folder: PathBuf,
}

/// Where each controller is, or why it is nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    by_controller: Vec<(Controller, Result<Place, String>)>,
}

impl Places {
    /// Looks at what the host offers.
    pub(crate) fn detect(name: &str, which: Cgroups, touch: Touch) -> Self {
        if which == Cgroups::None {
            return Self::none("cgroups are switched off by `master.cgroups`");
        }
        let read = |path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        match (read("/proc/self/mountinfo"), read("/proc/self/cgroup")) {
            (Ok(mounts), Ok(own)) => Self::find(&mounts, &own, name, which, touch),
            (Err(error), _) | (_, Err(error)) => Self::none(&error),
        }
    }

    fn none(reason: &str) -> Self {
        let all = Controller::ALL.into_iter();
        Self { by_controller: all.map(|one| (one, Err(reason.to_owned()))).collect() }
    }

    /// The same by the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub(super) fn find(mounts: &str, own: &str, name: &str, which: Cgroups, touch: Touch) -> Self {
        let unified = Hierarchies::parse(mounts, own).unified;
        let unified = unified.ok_or_else(|| "no version 2 tree".to_owned());
        let unified = unified.and_then(|home| Unified::open(&home, name, touch));
        let find = |controller: Controller| {
            let in_two = match &unified {
                Ok(unified) => unified.place(controller),
                Err(reason) => Err(reason.clone()),
            };
            let in_one = || in_version_1(mounts, own, name, controller);
            match which {
                Cgroups::Version2 => in_two,
                Cgroups::Version1 => in_one(),
                Cgroups::Auto | Cgroups::None => {
                    in_two.or_else(|two| in_one().map_err(|one| format!("v2: {two}; v1: {one}")))
                }
            }
        };
        let all = Controller::ALL.into_iter();
        Self { by_controller: all.map(|controller| (controller, find(controller))).collect() }
    }

    /// Where a controller is, or why it is nowhere.
    pub(crate) fn of(&self, wanted: Controller) -> Result<&Place, &str> {
        let found = self.by_controller.iter().find(|(controller, _)| *controller == wanted);
        match found {
            Some((_, place)) => place.as_ref().map_err(String::as_str),
            None => Err("not looked for"),
        }
    }

    /// Every folder once.
    pub(super) fn folders(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = Vec::new();
        for place in self.by_controller.iter().filter_map(|(_, place)| place.as_ref().ok()) {
            if !places.iter().any(|other| other.folder == place.folder) {
                places.push(place);
            }
        }
        places
    }
}

fn in_version_1(
    mounts: &str,
    own: &str,
    name: &str,
    controller: Controller,
) -> Result<Place, String> {
    let word = controller.version_1();
    let home = hierarchy::of_controller(mounts, own, word)
        .ok_or_else(|| format!("no hierarchy of `{word}`"))?;
    let folder = home.join(format!("hsu-{name}"));
    try_folder(&folder)?;
    Ok(Place { version: Version::One, folder })
}

/// Makes a folder to see that it can be made, and removes it again.
fn try_folder(folder: &Path) -> Result<(), String> {
    let made = fs::create_dir(folder);
    if !folder.is_dir() {
        let reason = made.err().map_or_else(String::new, |error| error.to_string());
        return Err(format!("{} cannot be made: {reason}", folder.display()));
    }
    if made.is_ok() {
        // Somebody may be in it by now: then it stays.
        drop(fs::remove_dir(folder));
    }
    Ok(())
}

/// The version 2 tree below our own place.
struct Unified {
    folder: PathBuf,
    /// The controllers that our groups can have.
    controllers: String,
}

impl Unified {
    fn open(home: &Path, name: &str, touch: Touch) -> Result<Self, String> {
        let offered = list(home, "cgroup.controllers")?;
        let ours = Controller::ALL.into_iter().filter_map(Controller::version_2);
        let wanted: Vec<&str> = ours.filter(|name| has(&offered, name)).collect();
        let folder = home.join(format!("hsu-{name}"));
        try_folder(&folder)?;
        let may_be_ours = first_stranger(home).is_none();
        let controllers = match touch {
            Touch::Yes => {
                pass_on(home, &wanted)?;
                list(home, "cgroup.subtree_control")?
            }
            // They would be switched on.
            Touch::No if may_be_ours => offered,
            Touch::No => list(home, "cgroup.subtree_control")?,
        };
        Ok(Self { folder, controllers })
    }

    fn place(&self, controller: Controller) -> Result<Place, String> {
        let place = Place { version: Version::Two, folder: self.folder.clone() };
        match controller.version_2() {
            Some(name) if !has(&self.controllers, name) => {
                Err(format!("the version 2 tree has no `{name}` here"))
            }
            Some(_) | None => Ok(place),
        }
    }
}

/// Switches controllers on for the groups below a folder. Where processes are in the
/// way and all of them are ours, they are moved to a folder of their own first.
fn pass_on(home: &Path, wanted: &[&str]) -> Result<(), String> {
    let is_on = || list(home, "cgroup.subtree_control");
    let on = is_on()?;
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !has(&on, name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let switch = || {
        missing
            .iter()
            .try_for_each(|name| write(&home.join("cgroup.subtree_control"), format!("+{name}")))
    };
    let busy = match switch() {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => error,
        Err(error) => {
            return Err(format!("{}: controllers cannot be switched on: {error}", home.display()));
        }
    };
    if let Some(stranger) = first_stranger(home) {
        return Err(format!(
            "{}: controllers cannot be switched on while other processes are in this group \
             ({stranger}): {busy}; start the master in a group of its own, with systemd by \
             `Delegate=yes`",
            home.display()
        ));
    }
    let roles = home.join(ROLES);
    move_all(home, &roles).and_then(|()| switch()).map_err(|error| {
        format!("{}: the roles cannot be moved to their own group: {error}", home.display())
    })
}

fn first_stranger(home: &Path) -> Option<String> {
    let all = pids(home);
    if all.contains(&0) {
        // Source: cgroups(7), pid_namespaces(7).
        return Some("one of another PID namespace".to_owned());
    }
    let stranger = all.into_iter().find(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let is_ours =
            *pid == std::process::id() || ["hsu-master", "hsu-keeper"].contains(&name.trim());
        !is_ours && Path::new(&format!("/proc/{pid}")).exists()
    });
    stranger.map(|pid| format!("PID {pid}"))
}

fn move_all(home: &Path, into: &Path) -> io::Result<()> {
    if !into.is_dir() {
        fs::create_dir(into)?;
    }
    for pid in pids(home) {
        match write(&into.join("cgroup.procs"), pid) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(ESRCH) => {}
            other => other?,
        }
    }
    Ok(())
}

pub(super) fn pids(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn list(folder: &Path, file: &str) -> Result<String, String> {
    let path = folder.join(file);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn has(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|one| one == name)
}

/// Writes one value; unlike `fs::write` it never creates a file.
pub(crate) fn write(path: &Path, value: impl std::fmt::Display) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(value.to_string().as_bytes())
}

/// Makes the group of a worker, with the controllers of the tree.
pub(crate) fn make_group(place: &Place, worker: &str) -> io::Result<PathBuf> {
    let group = place.folder.join(worker);
    if place.version == Version::Two {
        make(&place.folder)?;
        if let Some(home) = place.folder.parent() {
            let on = fs::read_to_string(home.join("cgroup.subtree_control"))?;
            let below = place.folder.join("cgroup.subtree_control");
            let is_on = fs::read_to_string(&below)?;
            for name in on.split_whitespace().filter(|name| !has(&is_on, name)) {
                write(&below, format!("+{name}"))?;
            }
        }
    }
    // Of a group that nobody is in, nothing stays: what an earlier run set and counted
    // is gone with it.
    drop(fs::remove_dir(&group));
    fs::create_dir_all(&group)?;
    Ok(group)
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
