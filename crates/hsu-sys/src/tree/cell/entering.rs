//! How a brief process gets into its cell.

use std::fs::{self, File};
use std::path::PathBuf;

use hsu_model::process::ProcessKey;

use super::{Cell, MOST_PROCESSES};
use crate::limits::places::{make_group, write};
use crate::procfs::Seen;
use crate::tree::cgroup::pids_in;
use crate::tree::family::children_of;

/// Whether the processes of a cell are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Yes,
    No,
}

impl Cell {
    /// Makes it, before anybody is there to be put into it.
    pub(crate) fn make(&self) -> Counted {
        let counted = self.count();
        if let Some((_, folder)) = &self.inside {
            // What cannot be made takes nobody in.
            drop(fs::create_dir_all(folder));
        }
        counted
    }

    fn count(&self) -> Counted {
        let Some((place, number)) = &self.counting else { return Counted::No };
        let made = make_group(place, number);
        let set = made.and_then(|group| write(&group.join("pids.max"), MOST_PROCESSES));
        if set.is_ok() { Counted::Yes } else { Counted::No }
    }

    /// Where a process that is about to be a program goes in by itself; none where there
    /// is nothing to go into.
    pub(crate) fn doors(&self) -> Vec<File> {
        let counting = self.counting.as_ref().map(|(place, number)| place.folder.join(number));
        let inside = self.inside.as_ref().map(|(_, folder)| folder.clone());
        let mut folders: Vec<_> = counting.into_iter().chain(inside).collect();
        folders.dedup();
        let open =
            |folder: PathBuf| File::options().write(true).open(folder.join("cgroup.procs")).ok();
        folders.into_iter().filter_map(open).collect()
    }

    /// Puts a process into it, and what it has started meanwhile, unless it went in by
    /// itself; whether it is in.
    pub(crate) fn take(&self, process: ProcessKey) -> bool {
        let Some((base, folder)) = &self.inside else { return false };
        // All that it starts is in by then. To follow a family that multiplies takes longer
        // than the family may have.
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        if pids_in(&text).any(|member| member == process.pid) {
            return true;
        }
        if base.put(folder, process).is_err() {
            return false;
        }
        let mut open: Vec<Seen> = Seen::look(process.pid).into_iter().collect();
        while let Some(parent) = open.pop() {
            let children = children_of(&parent).unwrap_or_default().into_iter();
            let born = children.filter_map(|child| Seen::look(child).ok());
            let born = born.filter(|child| child.parent == parent.key.pid);
            open.extend(born.filter(|child| base.put(folder, child.key).is_ok()));
        }
        true
    }
}
