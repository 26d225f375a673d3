//! Limits: what a worker may use, put in force before it starts, and measured.
//!
//! Where the host has cgroups, a worker with limits has one group for each
//! controller, below one folder of the master; the keeper's child enters them before
//! it executes. What only holds for a single process is a limit of the process. What
//! nothing can hold is watched. Which of these it is, [`Survey::mechanism`] tells.
//! Deliberately absent: any judgement of what is measured (`hsu-core`).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hsu_model::execution::ResourceLimit;
use hsu_model::id::WorkerId;
use hsu_model::limits::{Brake, Cgroups, Hold, LimitKind, Limits, Rule};
use hsu_model::process::ProcessKey;
use hsu_model::usage::Usage;

use crate::capability::Capability;

mod enclosing;
mod kept;
mod look;
mod nice;
pub(crate) mod places;
mod pressure;
mod settings;
mod slowing;
mod storage;

pub use enclosing::Permission;
pub use pressure::Pressure;
pub use storage::Storage;

use enclosing::Guest;
use kept::{Kept, Shelf};
use places::{Controller, Places, Touch, Version, write};
use settings::{Setting, Strength};
use slowing::Slowing;

/// What this host can keep workers to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Survey {
    places: Arc<Places>,
}

/// Counts what the kernel does to one run within its limits. Each count costs the read of
/// one small file.
#[derive(Clone, Debug)]
pub struct Tally {
    group: Group,
}

impl Tally {
    /// How many of its processes were killed for want of memory so far.
    #[must_use]
    pub fn kills(&self) -> u64 {
        look::kills(&self.group).saturating_sub(self.group.before.kills)
    }

    /// How many processes and threads it was refused so far.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        look::refusals(&self.group).saturating_sub(self.group.before.refusals)
    }
}

impl Survey {
    /// Looks at what this host offers, and leaves it as it is.
    #[must_use]
    pub fn look(which: Cgroups) -> Self {
        let name = format!("look-{}", std::process::id());
        Self { places: Arc::new(Places::detect(&name, which, Touch::No)) }
    }

    /// How a limit is kept here.
    #[must_use]
    pub fn mechanism(&self, limits: &Limits, rule: &Rule) -> Mechanism {
        let watched = |why: String| Mechanism { is_enforced: false, detail: why };
        if rule.hold == Hold::Watch {
            return watched("watched; the policy acts".to_owned());
        }
        if let Some(resource) = settings::resource(rule.kind) {
            let detail = format!("limit of each process (`{}`)", resource.as_str());
            return Mechanism { is_enforced: cfg!(unix), detail };
        }
        if is_held_as_threads(limits, rule) {
            return watched("watched; the kernel holds `max_threads`".to_owned());
        }
        let Some(controller) = settings::controller(rule.kind) else {
            return watched("watched; no kernel limits this".to_owned());
        };
        match self.places.of(controller) {
            Err(reason) => watched(format!("watched; no {} cgroup: {reason}", controller.is_for())),
            Ok(place) => match settings::file(rule.kind, place.version, Strength::Hard) {
                Some(file) => Mechanism {
                    is_enforced: true,
                    detail: format!(
                        "{file} ({}){}",
                        place.version.as_str(),
                        caveat(rule, place.version)
                    ),
                },
                None => watched(format!("watched; {} has no such limit", place.version.as_str())),
            },
        }
    }

    /// How much of the last ten seconds a worker has waited; none where no version 2 tree
    /// tells. A running master asks of its own workers.
    #[must_use]
    pub fn pressure(&self, worker: &WorkerId) -> Option<Pressure> {
        let places = self.places.folders();
        let place = places.into_iter().find(|place| place.version == Version::Two)?;
        pressure::read(&place.folder.join(worker.as_str()))
    }

    /// What this host can keep workers to.
    #[must_use]
    pub fn capabilities(&self) -> Vec<Capability> {
        let of = |controller: Controller, name| match self.places.of(controller) {
            Ok(place) => {
                let detail = format!("{} under {}", place.version.as_str(), place.folder.display());
                Capability::new(name, true, detail)
            }
            Err(reason) => Capability::new(name, false, format!("only watched: {reason}")),
        };
        vec![
            of(Controller::Memory, "limit the memory of a worker"),
            of(Controller::Cpu, "limit the CPUs of a worker"),
            of(Controller::Io, "limit the disk of a worker"),
            of(Controller::Pids, "limit the processes of a worker"),
            Capability::new(
                "limit the network bandwidth of a worker",
                false,
                "refused in configurations: no program is put on the sockets of a worker",
            ),
            Capability::new(
                "slow a worker down",
                cfg!(target_os = "linux"),
                "by the limits above, else by holding it still for four fifths of the time",
            ),
        ]
    }
}

/// What keeps the workers of one master within their limits.
#[derive(Debug)]
pub struct Enforcer {
    survey: Survey,
    devices: Vec<String>,
    groups: BTreeMap<WorkerId, Group>,
    slowing: Slowing,
    shelf: Shelf,
}

/// The groups of one worker.
#[derive(Clone, Debug, Default)]
struct Group {
    folders: BTreeMap<Controller, (Version, PathBuf)>,
    /// What the kernel had counted before the run began.
    before: Counts,
    /// The limits that the kernel has not taken, by their place, and why.
    refused: BTreeMap<usize, String>,
    /// Of a process that somebody else has started.
    guest: Option<Guest>,
}

/// What the kernel has counted in a group.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Processes that it killed for want of memory.
    kills: u64,
    /// Processes and threads that it refused.
    refusals: u64,
    /// How often it slowed down whoever wanted more memory.
    waits: u64,
}

/// What a start needs, so that the limits of a worker hold from its first instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The files through which the process enters its groups.
    pub entrances: Vec<PathBuf>,
    /// Limits of the process itself.
    pub rlimits: Vec<ResourceLimit>,
    /// What could not be put in force, and why.
    pub failures: Vec<String>,
}

/// How a limit is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanism {
    /// Whether the kernel keeps it.
    pub is_enforced: bool,
    /// By what, or why not.
    pub detail: String,
}

impl Enforcer {
    /// Looks at what this host offers; `name` tells several masters of one host apart,
    /// and is the same in each life of a master.
    #[must_use]
    pub fn detect(name: &str, which: Cgroups) -> Self {
        Self {
            survey: Survey { places: Arc::new(Places::detect(name, which, Touch::Yes)) },
            devices: devices(),
            groups: BTreeMap::new(),
            slowing: Slowing::default(),
            shelf: Shelf::new(),
        }
    }

    /// What this host can keep workers to.
    #[must_use]
    pub fn survey(&self) -> Survey {
        self.survey.clone()
    }

    /// Makes the groups of a worker and puts its limits in force in them. Nothing of an
    /// earlier run is left by then.
    pub fn prepare(&mut self, worker: &WorkerId, limits: &Limits) -> Prepared {
        self.slowing.release(worker);
        self.shelf.close(worker);
        let mut prepared = Prepared::default();
        let mut group = Group::default();
        let mut made: Vec<(PathBuf, PathBuf)> = Vec::new();
        for controller in Controller::ALL {
            let Ok(place) = self.survey.places.of(controller) else { continue };
            let known = made.iter().find(|(folder, _)| *folder == place.folder);
            let folder = match known {
                Some((_, folder)) => Ok(folder.clone()),
                None => places::make_group(place, worker.as_str()),
            };
            match folder {
                Ok(folder) => {
                    made.push((place.folder.clone(), folder.clone()));
                    group.folders.insert(controller, (place.version, folder));
                }
                Err(error) => {
                    let folder = place.folder.display();
                    prepared.failures.push(format!("no group in {folder}: {error}"));
                }
            }
        }
        self.enforce(&mut group, limits, &mut prepared.failures);
        made.dedup();
        let mut entrances: Vec<_> =
            made.into_iter().map(|(_, folder)| folder.join("cgroup.procs")).collect();
        entrances.sort();
        entrances.dedup();
        prepared.entrances = entrances;
        prepared.rlimits = settings::of_process(limits, crate::descriptors::raise_limit());
        group.before = look::counts(&group);
        self.groups.insert(worker.clone(), group);
        prepared
    }

    /// Takes up the groups of a worker that an earlier master started: its limits are put
    /// in force again, and whatever slowed it down is taken off.
    pub fn take_up(
        &mut self,
        worker: &WorkerId,
        process: ProcessKey,
        limits: &Limits,
    ) -> Vec<String> {
        self.shelf.close(worker);
        let mut group = Group::default();
        for controller in Controller::ALL {
            let Ok(place) = self.survey.places.of(controller) else { continue };
            let folder = place.folder.join(worker.as_str());
            if folder.is_dir() {
                group.folders.insert(controller, (place.version, folder));
            }
        }
        let mut failures = Vec::new();
        slowing::thaw(&group);
        if limits.rules.iter().any(|rule| rule.brake == Brake::Nice) {
            nice::give_back(&group, process, limits.shares.nice);
        }
        self.enforce(&mut group, limits, &mut failures);
        group.before = look::counts(&group);
        self.groups.insert(worker.clone(), group);
        failures
    }

    /// The run of a worker is over: nothing slows it down any more.
    pub fn end(&mut self, worker: &WorkerId) {
        self.slowing.release(worker);
        self.shelf.close(worker);
    }

    /// Another master goes on with these groups: none of them is removed.
    pub fn leave(&mut self) {
        // Those of somebody else are taken up as they are by whoever attaches them.
        for worker in std::mem::take(&mut self.groups).into_keys() {
            self.slowing.release(&worker);
        }
        self.shelf.close_all();
    }

    /// How each limit of a worker is kept, as it has come out; none when nothing is known.
    #[must_use]
    pub fn mechanisms(
        &self,
        worker: &WorkerId,
        limits: &Limits,
    ) -> Option<Vec<(LimitKind, Mechanism)>> {
        let group = self.groups.get(worker)?;
        let all = limits.rules.iter().enumerate().map(|(place, rule)| {
            let planned = self.survey.mechanism(limits, rule);
            let not_held = group.guest.as_ref().and_then(|guest| guest.not_held(rule.kind));
            let mechanism = match not_held.or_else(|| group.refused.get(&place).cloned()) {
                Some(why) if planned.is_enforced => {
                    Mechanism { is_enforced: false, detail: format!("watched; {why}") }
                }
                Some(_) | None => planned,
            };
            (rule.kind, mechanism)
        });
        Some(all.collect())
    }

    fn enforce(&self, group: &mut Group, limits: &Limits, failures: &mut Vec<String>) {
        group.refused.clear();
        for (place, rule) in limits.rules.iter().enumerate() {
            let is_held = rule.hold == Hold::Kernel && !is_held_as_threads(limits, rule);
            let strength = if is_held { Strength::Hard } else { Strength::Off };
            let is_other =
                |other: &Rule| settings::controller(other.kind) == Some(Controller::Pids);
            // One file holds both; what is off does not undo what is on.
            if strength == Strength::Off
                && is_other(rule)
                && limits.rules.iter().any(|r| is_other(r) && r.hold == Hold::Kernel)
            {
                continue;
            }
            if let Err(reason) = self.set(group, rule, strength) {
                group.refused.insert(place, reason.clone());
                failures.push(reason);
            }
            if settings::controller(rule.kind) == Some(Controller::Memory) {
                // Whatever slowed it down.
                drop(self.set_soft_off(group, rule));
            }
        }
        for (controller, (version, _)) in &group.folders {
            for setting in settings::of_shares(&limits.shares, *controller, *version) {
                failures.extend(apply(group, &setting).err());
            }
        }
    }

    fn set_soft_off(&self, group: &Group, rule: &Rule) -> Result<(), String> {
        let Some((Version::Two, _)) = group.folders.get(&Controller::Memory) else { return Ok(()) };
        if rule.kind != LimitKind::Resident {
            return Ok(());
        }
        let (controller, file, value) = (Controller::Memory, "memory.high", "max".to_owned());
        apply(group, &Setting { controller, file, value, may_fail: true })
    }

    fn set(&self, group: &Group, rule: &Rule, strength: Strength) -> Result<(), String> {
        let Some(controller) = settings::controller(rule.kind) else { return Ok(()) };
        let Some((version, _)) = group.folders.get(&controller) else { return Ok(()) };
        let all = settings::of_rule(rule, *version, strength, &self.devices);
        all.iter().try_for_each(|setting| apply(group, setting))
    }

    /// Looks at what a run uses; none when nothing of it lives.
    ///
    /// Where the kernel counts the tasks of its group, the files that were read stay open
    /// until the run is over, as far as descriptors go.
    pub fn measure(
        &mut self,
        worker: &WorkerId,
        process: ProcessKey,
        limits: &Limits,
        storage: &Storage,
    ) -> Option<Usage> {
        let group = self.groups.get(worker);
        let counts = group.is_some_and(|group| group.folders.contains_key(&Controller::Pids));
        let kept = if counts { self.shelf.of(worker, process) } else { None };
        let mut nothing = Kept::nothing(process);
        look::measure(kept.unwrap_or(&mut nothing), group, process, limits, storage)
    }

    /// What counts what the kernel does to the latest run of a worker.
    #[must_use]
    pub fn tally(&self, worker: &WorkerId) -> Option<Tally> {
        self.groups.get(worker).map(|group| Tally { group: group.clone() })
    }

    /// Slows a run down to one of its limits; by what.
    ///
    /// # Errors
    /// Why it cannot be done, for people.
    pub fn slow_down(
        &mut self,
        worker: &WorkerId,
        process: ProcessKey,
        rule: &Rule,
    ) -> Result<String, String> {
        let group = self.groups.get(worker).cloned().unwrap_or_default();
        if let Some(why) = group.guest.as_ref().and_then(|guest| guest.denied.clone()) {
            return Err(why);
        }
        if rule.brake == Brake::Nice {
            return nice::give_way(&group, process);
        }
        let place =
            settings::controller(rule.kind).and_then(|controller| group.folders.get(&controller));
        let file =
            place.and_then(|(version, _)| settings::file(rule.kind, *version, Strength::Soft));
        if let (Some((version, _)), Some(file)) = (place, file)
            && slows_what_it_counts(rule.kind, *version)
        {
            self.set(&group, rule, Strength::Soft)?;
            return Ok(format!("{file} ({})", version.as_str()));
        }
        self.slowing.begin(worker, &group, process, rule.kind)
    }

    /// Lets a run go on as it likes.
    pub fn let_go(
        &mut self,
        worker: &WorkerId,
        process: ProcessKey,
        limits: &Limits,
        rule: &Rule,
    ) -> Vec<String> {
        self.slowing.release(worker);
        let mut failures = Vec::new();
        if rule.brake == Brake::Nice {
            let group = self.groups.get(worker).cloned().unwrap_or_default();
            nice::give_back(&group, process, limits.shares.nice);
            return failures;
        }
        if let Some(mut group) = self.groups.remove(worker) {
            self.enforce(&mut group, limits, &mut failures);
            drop(self.set_soft_off(&group, rule));
            self.groups.insert(worker.clone(), group);
        }
        failures
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        self.let_all_out();
        for group in self.groups.values() {
            for (_, folder) in group.folders.values() {
                drop(std::fs::remove_dir(folder));
            }
        }
        for place in self.survey.places.folders() {
            // Refused while workers go on in it.
            drop(std::fs::remove_dir(&place.folder));
        }
    }
}

/// The kernel counts processes and threads alike: where both are limited, it holds the threads.
fn is_held_as_threads(limits: &Limits, rule: &Rule) -> bool {
    let holds = |other: &Rule| other.kind == LimitKind::Threads && other.hold == Hold::Kernel;
    rule.kind == LimitKind::Processes && limits.rules.iter().any(holds)
}

/// Version 1 does not know whose a byte is that is written later.
fn slows_what_it_counts(kind: LimitKind, version: Version) -> bool {
    let is_write = matches!(kind, LimitKind::WriteBytes | LimitKind::WriteOperations);
    !(is_write && version == Version::One)
}

fn caveat(rule: &Rule, version: Version) -> &'static str {
    if rule.kind == LimitKind::Processes {
        ", threads count too"
    } else if !slows_what_it_counts(rule.kind, version) {
        ", for direct writes only"
    } else {
        ""
    }
}

fn apply(group: &Group, setting: &Setting) -> Result<(), String> {
    let Some((_, folder)) = group.folders.get(&setting.controller) else { return Ok(()) };
    let path = folder.join(setting.file);
    match write(&path, &setting.value) {
        Err(error) if !setting.may_fail => Err(explain(setting, &error)),
        Err(_) | Ok(()) => Ok(()),
    }
}

fn explain(setting: &Setting, error: &io::Error) -> String {
    let Setting { file, value, controller, .. } = setting;
    format!("the {} limit `{file}` = {value} was refused: {error}", controller.is_for())
}

/// The disks of this host, by their numbers.
fn devices() -> Vec<String> {
    let all = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let is_disk = |name: &str| !["loop", "ram", "zram"].iter().any(|no| name.starts_with(no));
    let disks = all.filter(|entry| entry.file_name().to_str().is_some_and(is_disk));
    let number = |path: PathBuf| std::fs::read_to_string(path.join("dev")).ok();
    disks.filter_map(|disk| number(disk.path())).map(|text| text.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests;
