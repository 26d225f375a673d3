//! Cells: cgroups for brief processes, one at a time in each.
//!
//! Whoever is put into a cell is killed with everything that it has started since, and
//! starts no more than [`MOST_PROCESSES`] at once where the kernel counts them by group.
//! Where there are no cgroups a cell holds nothing, and says so.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hsu_model::limits::Cgroups;

use super::cgroup::{Base, find_base, members};
use crate::limits::places::{Controller, Place, Places, Touch};

#[cfg(target_os = "linux")]
mod entering;

#[cfg(target_os = "linux")]
pub(crate) use entering::Counted;

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a brief process may have of processes and threads, itself included. What asks a
/// question needs a few, and a virtual machine some fifty.
pub const MOST_PROCESSES: u32 = 256;

/// The folder of all cells of a master.
#[derive(Clone, Debug)]
pub struct Cells {
    base: Result<Base, String>,
    /// Where processes are counted, which is the same folder in version 2.
    counting: Option<Place>,
}

/// One cell.
#[derive(Debug)]
pub struct Cell {
    inside: Option<(Base, PathBuf)>,
    counting: Option<(Place, String)>,
}

impl Cells {
    /// Looks at what this host offers, and ends what an earlier life has left in cells
    /// of this name.
    #[must_use]
    pub fn detect(name: &str) -> Self {
        let places = Places::detect(name, Cgroups::Auto, Touch::No);
        let counting = places.of(Controller::Pids).ok().cloned();
        let cells = Self { base: find_base(name), counting };
        if let Ok(base) = &cells.base {
            let folders = fs::read_dir(&base.folder).into_iter().flatten().flatten();
            for folder in folders.map(|entry| entry.path()).filter(|path| path.is_dir()) {
                Cell { inside: Some((base.clone(), folder)), counting: None }.clear();
            }
        }
        cells
    }

    /// How brief processes are held together, in one sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.base {
            Ok(base) => base.describe(),
            Err(reason) => format!("process group and environment mark ({reason})"),
        }
    }

    /// The cell with this number; made when somebody is put into it.
    #[must_use]
    pub fn cell(&self, number: usize) -> Cell {
        let base = self.base.clone().ok();
        let number = number.to_string();
        Cell {
            inside: base.map(|base| (base.clone(), base.folder.join(&number))),
            counting: self.counting.clone().map(|place| (place, number)),
        }
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        let counting = self.counting.as_ref().map(|place| &place.folder);
        for folder in self.base.as_ref().ok().map(|base| &base.folder).into_iter().chain(counting) {
            // Refused while a cell is in it.
            drop(fs::remove_dir(folder));
        }
    }
}

impl Cell {
    /// A cell that holds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { inside: None, counting: None }
    }

    /// Kills whatever is in it; what is left after that.
    pub(crate) fn clear(&self) -> Vec<u32> {
        let Some((base, folder)) = &self.inside else { return Vec::new() };
        let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        if listed.is_empty() {
            return Vec::new();
        }
        let begin = Instant::now();
        loop {
            // Before anybody is looked at: what spins in it leaves us little time.
            base.kill(folder);
            let left = members(folder);
            if left.is_empty() || begin.elapsed() > PATIENCE {
                return left.iter().map(|member| member.key.pid).collect();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let counting = self.counting.as_ref().map(|(place, number)| place.folder.join(number));
        let inside = self.inside.as_ref().map(|(_, folder)| folder.clone());
        for folder in inside.into_iter().chain(counting) {
            // Refused while somebody is in it, and where it was never made.
            drop(fs::remove_dir(folder));
        }
    }
}
