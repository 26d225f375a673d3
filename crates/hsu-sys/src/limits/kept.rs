//! Kept files: what is read of a run at each look stays open, so that a look costs reads.
//!
//! To open and close a small file of the kernel costs four times what a read does. Each
//! file that was read takes 4 KiB of the kernel's memory while it is open, and one
//! descriptor: where too few of those are left, files are opened at each look.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hsu_model::id::WorkerId;
use hsu_model::process::ProcessKey;

use super::Group;
use super::places::Controller;
use crate::files;
use crate::procfs::{self, STAT, Stat};

/// No more files stay open than these: 64 MiB of the kernel's memory.
const MOST: usize = 16 << 10;

/// The kept files of all runs.
#[derive(Debug)]
pub(super) struct Shelf {
    runs: BTreeMap<WorkerId, Kept>,
    room: Room,
}

impl Shelf {
    /// A third of the descriptors that there may be is for it.
    pub(super) fn new() -> Self {
        let descriptors = usize::try_from(crate::descriptors::raise_limit()).unwrap_or(usize::MAX);
        Self { runs: BTreeMap::new(), room: Room::of((descriptors / 3).min(MOST)) }
    }

    /// The files of the run of a worker that this process began.
    pub(super) fn of(&mut self, worker: &WorkerId, process: ProcessKey) -> Option<&mut Kept> {
        if self.runs.get(worker).is_none_or(|kept| kept.process != process) {
            self.runs.insert(worker.clone(), Kept::new(process, self.room.clone()));
        }
        self.runs.get_mut(worker)
    }

    /// The run of a worker is over, or its groups are others.
    pub(super) fn close(&mut self, worker: &WorkerId) {
        self.runs.remove(worker);
    }

    /// Nothing is looked at any more.
    pub(super) fn close_all(&mut self) {
        self.runs.clear();
    }
}

/// How many files may stay open.
#[derive(Clone, Debug)]
struct Room {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl Room {
    fn of(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    fn take(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.taken));
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.most).then_some(place)
    }
}

/// A place for one file; it is free again when this is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A file that stays open.
#[derive(Debug)]
struct Open {
    file: File,
    _place: Place,
}

impl Open {
    /// What it says by now, as far as one read goes.
    fn read<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        files::read_again(&self.file, buffer)
    }
}

/// The files of one run.
#[derive(Debug)]
pub(super) struct Kept {
    process: ProcessKey,
    room: Room,
    of_groups: Vec<(Controller, &'static str, Open)>,
    members: Vec<Member>,
    /// The tasks of the members, when those were all tasks of their group.
    tasks: Option<u64>,
}

/// A process of the run.
#[derive(Debug)]
struct Member {
    pid: u32,
    stat: Option<Open>,
    /// When it started, in ticks of the kernel.
    started_at: u64,
    /// Whether it was among the members just now.
    is_listed: bool,
}

impl Kept {
    fn new(process: ProcessKey, room: Room) -> Self {
        Self { process, room, of_groups: Vec::new(), members: Vec::new(), tasks: None }
    }

    /// Keeps nothing.
    pub(super) fn nothing(process: ProcessKey) -> Self {
        Self::new(process, Room::of(0))
    }

    /// What a file of a group says; none when there is no such file.
    pub(super) fn text<'b>(
        &mut self,
        group: &Group,
        controller: Controller,
        name: &'static str,
        buffer: &'b mut [u8],
    ) -> Option<&'b str> {
        let (_, folder) = group.folders.get(&controller)?;
        let is_it = |(c, n, _): &(Controller, &str, Open)| *c == controller && *n == name;
        let length = if let Some(place) = self.of_groups.iter().position(is_it) {
            let known = self.of_groups.get(place).map(|(_, _, open)| open.read(buffer));
            match known {
                Some(Ok(bytes)) => bytes.len(),
                // The group is gone; another one may be in its place.
                Some(Err(_)) | None => {
                    self.of_groups.swap_remove(place);
                    self.open(folder, controller, name, buffer)?
                }
            }
        } else {
            self.open(folder, controller, name, buffer)?
        };
        std::str::from_utf8(buffer.get(..length)?).ok()
    }

    fn open(
        &mut self,
        folder: &Path,
        controller: Controller,
        name: &'static str,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let mut file = File::open(folder.join(name)).ok()?;
        let length = file.read(buffer).ok()?;
        if let Some(place) = self.room.take() {
            self.of_groups.push((controller, name, Open { file, _place: place }));
        }
        Some(length)
    }

    /// How many tasks a group has, with those below it; members that end count until
    /// somebody has waited for them.
    // Source: cgroup-v1/pids.rst, cgroup-v2.rst: `pids.current`.
    pub(super) fn count(&mut self, group: &Group) -> Option<u64> {
        let mut buffer = [0; 32];
        self.text(group, Controller::Pids, "pids.current", &mut buffer)?.trim().parse().ok()
    }

    /// Whether the members that are known may be all, by what the kernel counts: they
    /// were at the last look, and as many tasks.
    pub(super) fn may_know_all(&self, counted: Option<u64>) -> bool {
        counted.is_some() && self.tasks == counted
    }

    /// These are the members, by a list of this moment.
    pub(super) fn set_members(&mut self, pids: Vec<u32>) {
        let mut before = std::mem::take(&mut self.members);
        let member = |pid| {
            let known = before.iter().position(|member| member.pid == pid);
            let stat = known.and_then(|place| before.swap_remove(place).stat);
            Member { pid, stat, started_at: 0, is_listed: true }
        };
        self.members = pids.into_iter().map(member).collect();
    }

    /// Looks at each member; an answer is how many tasks it has. Whether these are all
    /// that the kernel counts.
    pub(super) fn each(
        &mut self,
        counted: Option<u64>,
        mut look: impl FnMut(u32, &Stat<'_>) -> u64,
    ) -> bool {
        let mut buffer = [0; STAT];
        let mut tasks = 0;
        for member in &mut self.members {
            if let Some(stat) = member.stat(&self.room, &mut buffer) {
                tasks += look(member.pid, &stat);
            }
        }
        self.tasks = counted.filter(|counted| *counted == tasks);
        self.tasks.is_some()
    }
}

impl Member {
    /// None when it is gone: who has its PID later is somebody else until it is listed.
    fn stat<'b>(&mut self, room: &Room, buffer: &'b mut [u8; STAT]) -> Option<Stat<'b>> {
        let known = self.stat.as_ref().and_then(|open| open.read(buffer).ok()).map(<[u8]>::len);
        let length = match known {
            Some(length) => length,
            None => {
                let mut file = procfs::open(self.pid, "stat").ok()?;
                let length = file.read(buffer).ok()?;
                self.stat = room.take().map(|place| Open { file, _place: place });
                length
            }
        };
        let stat = Stat::parse(buffer.get(..length)?)?;
        let started_at = stat.number(22)?;
        if std::mem::take(&mut self.is_listed) {
            self.started_at = started_at;
        }
        (self.started_at == started_at).then_some(stat)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
