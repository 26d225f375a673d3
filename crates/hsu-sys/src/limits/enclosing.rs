//! Enclosing: a process of somebody else is put into groups of ours, with what descends
//! from it, and put back where it was when it is let go.
//!
//! Only where nobody has put it: from the root of a tree, or from the group that the
//! master itself is in. Anywhere else a service manager follows it by its group, or
//! somebody limits it already, and moving it would undo that.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hsu_model::id::WorkerId;
use hsu_model::limits::{LimitKind, Limits};
use hsu_model::process::ProcessKey;

use super::look::children;
use super::places::{Controller, Place, Version, make_group, pids, write};
use super::{Enforcer, Group, look, settings};
use crate::process::{ProcessHandle, identify};
use crate::tree::hierarchy;

/// A family that grows faster than it is moved is moved as far as that goes.
const MOST_ROUNDS: usize = 20;

/// Whether limits of somebody else's process may be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// They may.
    Granted,
    /// It is only looked at, for this reason.
    Denied(String),
}

/// What is known of a process that is not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guest {
    /// Why nothing is done to it.
    pub(super) denied: Option<String>,
    /// Why it is in no group of a controller.
    outside: Vec<(Controller, String)>,
    /// The groups of ours that it is in, and where it was before.
    origins: Vec<(PathBuf, PathBuf)>,
}

impl Guest {
    /// Why the kernel does not keep it within a limit of this kind.
    pub(super) fn not_held(&self, kind: LimitKind) -> Option<String> {
        if settings::resource(kind).is_some() {
            return Some("a process takes this limit before its start only".to_owned());
        }
        let controller = settings::controller(kind);
        let found = self.outside.iter().find(|(outside, _)| Some(*outside) == controller);
        self.denied.clone().or_else(|| found.map(|(_, why)| why.clone()))
    }
}

impl Enforcer {
    /// Puts a process that somebody else started into groups of its worker, with what
    /// descends from it, and puts the limits in force, as far as it may and can be done;
    /// what was refused. What cannot be is watched, and [`Enforcer::mechanisms`] says why.
    pub fn enclose(
        &mut self,
        worker: &WorkerId,
        process: ProcessKey,
        limits: &Limits,
        permission: Permission,
    ) -> Vec<String> {
        let mut group = Group::default();
        let mut guest = Guest::default();
        let mut failures = Vec::new();
        match permission {
            Permission::Denied(why) => guest.denied = Some(why),
            Permission::Granted => self.take_in(worker, process, &mut group, &mut guest),
        }
        group.guest = Some(guest);
        self.shelf.close(worker);
        self.enforce(&mut group, limits, &mut failures);
        group.before = look::counts(&group);
        self.groups.insert(worker.clone(), group);
        failures
    }

    fn take_in(
        &self,
        worker: &WorkerId,
        process: ProcessKey,
        group: &mut Group,
        guest: &mut Guest,
    ) {
        let theirs = fs::read_to_string(format!("/proc/{}/cgroup", process.pid));
        let ours = fs::read_to_string("/proc/self/cgroup");
        let (theirs, ours) = (theirs.unwrap_or_default(), ours.unwrap_or_default());
        for controller in Controller::ALL {
            let Ok(place) = self.survey.places.of(controller) else { continue };
            let own = place.folder.join(worker.as_str());
            let known = group.folders.values().any(|(_, folder)| *folder == own);
            let entered = if known {
                Ok(())
            } else {
                origin(place, controller, &own, &theirs, &ours).and_then(|origin| {
                    let said = |error: io::Error| format!("{}: {error}", own.display());
                    if !own.is_dir() {
                        make_group(place, worker.as_str()).map_err(said)?;
                    }
                    move_family(process, &own).map_err(said)?;
                    guest.origins.push((own.clone(), origin));
                    Ok(())
                })
            };
            match entered {
                Ok(()) => drop(group.folders.insert(controller, (place.version, own))),
                Err(why) => guest.outside.push((controller, why)),
            }
        }
    }

    /// Lets go of a process that somebody else started: it goes on where it was before,
    /// as if nobody had limited it.
    pub fn let_out(&mut self, worker: &WorkerId) {
        self.slowing.release(worker);
        self.shelf.close(worker);
        let Some(guest) = self.groups.remove(worker).and_then(|group| group.guest) else { return };
        for (group, origin) in guest.origins {
            put_back(&group, &origin);
        }
    }

    /// Everything of somebody else goes on where it was before.
    pub(super) fn let_all_out(&mut self) {
        let is_guest = |group: &Group| group.guest.is_some();
        let guests = self.groups.iter().filter(|(_, group)| is_guest(group));
        for worker in guests.map(|(worker, _)| worker.clone()).collect::<Vec<_>>() {
            self.let_out(&worker);
        }
    }
}

/// Where a process is in a tree, when it may be taken from there.
fn origin(
    place: &Place,
    controller: Controller,
    own: &Path,
    theirs: &str,
    ours: &str,
) -> Result<PathBuf, String> {
    let name = match place.version {
        Version::One => Some(controller.version_1()),
        Version::Two => None,
    };
    let home = place.folder.parent().unwrap_or(&place.folder);
    let path =
        hierarchy::path_of(theirs, name).ok_or_else(|| "its group is not told".to_owned())?;
    let our_path = hierarchy::path_of(ours, name).map(hierarchy::home);
    if our_path == Some(path) {
        return Ok(home.to_owned());
    }
    if path == "/" {
        let depth =
            our_path.map_or(0, |path| path.split('/').filter(|part| !part.is_empty()).count());
        return home.ancestors().nth(depth).map(Path::to_owned).ok_or_else(|| path.to_owned());
    }
    let is_in_ours = pids(own).iter().any(|pid| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text == theirs)
    });
    if is_in_ours {
        // An earlier master put it there.
        return Ok(home.to_owned());
    }
    Err(format!("it is in the group {path}, where somebody else has put it"))
}

/// Moves a process and what descends from it.
fn move_family(process: ProcessKey, group: &Path) -> io::Result<()> {
    put(process, group)?;
    let mut moved = BTreeSet::from([process.pid]);
    for _ in 0..MOST_ROUNDS {
        let all: Vec<u32> = moved.iter().copied().flat_map(children).collect();
        let new: Vec<u32> = all.into_iter().filter(|pid| !moved.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            moved.insert(pid);
            // One that has ended meanwhile needs no group.
            if let Ok(child) = identify(pid) {
                drop(put(child, group));
            }
        }
    }
    Ok(())
}

/// Moves one process, held so that it is this one.
fn put(process: ProcessKey, group: &Path) -> io::Result<()> {
    let hold = ProcessHandle::open(process)?;
    write(&group.join("cgroup.procs"), process.pid)?;
    let is_it = identify(process.pid).is_ok_and(|now| now == process);
    if hold.has_exited() && !is_it {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(())
}

/// Moves whatever is in a group, and removes it.
fn put_back(group: &Path, origin: &Path) {
    for _ in 0..MOST_ROUNDS {
        let members = pids(group);
        if members.is_empty() {
            break;
        }
        for pid in members {
            // One that has ended meanwhile goes nowhere.
            drop(write(&origin.join("cgroup.procs"), pid));
        }
    }
    drop(fs::remove_dir(group));
}
