//! How a brief process gets into its cell.

use std::fs::{self, File};

use hsu_model::process::ProcessKey;

use super::Cell;
use crate::procfs::Seen;
use crate::tree::family::children_of;

impl Cell {
    /// Makes it, before anybody is there to be put into it.
    pub(crate) fn make(&self) {
        if let Some((_, folder)) = &self.inside {
            // What cannot be made takes nobody in.
            drop(fs::create_dir_all(folder));
        }
    }

    /// Where a process that is about to be a program goes in by itself; none where there
    /// is nothing to go into.
    pub(crate) fn door(&self) -> Option<File> {
        let (_, folder) = self.inside.as_ref()?;
        File::options().write(true).open(folder.join("cgroup.procs")).ok()
    }

    /// Puts a process into it, and what it has started meanwhile; whether it is in.
    pub(crate) fn take(&self, process: ProcessKey) -> bool {
        let Some((base, folder)) = &self.inside else { return false };
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
