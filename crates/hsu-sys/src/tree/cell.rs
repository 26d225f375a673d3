//! Cells: cgroups for brief processes, one at a time in each.
//!
//! Whoever is put into a cell is killed with everything that it has started since.
//! Where there are no cgroups a cell holds nothing, and says so.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::cgroup::{Base, find_base, members};

#[cfg(target_os = "linux")]
mod entering;

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// The folder of all cells of a master.
#[derive(Clone, Debug)]
pub struct Cells {
    base: Result<Base, String>,
}

/// One cell.
#[derive(Debug)]
pub struct Cell {
    inside: Option<(Base, PathBuf)>,
}

impl Cells {
    /// Looks at what this host offers, and ends what an earlier life has left in cells
    /// of this name.
    #[must_use]
    pub fn detect(name: &str) -> Self {
        let cells = Self { base: find_base(name) };
        if let Ok(base) = &cells.base {
            let folders = fs::read_dir(&base.folder).into_iter().flatten().flatten();
            for folder in folders.map(|entry| entry.path()).filter(|path| path.is_dir()) {
                Cell { inside: Some((base.clone(), folder)) }.clear();
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
        Cell { inside: base.map(|base| (base.clone(), base.folder.join(number.to_string()))) }
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        if let Ok(base) = &self.base {
            // Refused while a cell is in it.
            drop(fs::remove_dir(&base.folder));
        }
    }
}

impl Cell {
    /// A cell that holds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { inside: None }
    }

    /// Kills whatever is in it; what is left after that.
    pub(crate) fn clear(&self) -> Vec<u32> {
        let Some((base, folder)) = &self.inside else { return Vec::new() };
        if !folder.is_dir() {
            return Vec::new();
        }
        let begin = Instant::now();
        while !members(folder).is_empty() && begin.elapsed() < PATIENCE {
            base.kill(folder);
            std::thread::sleep(Duration::from_millis(1));
        }
        members(folder).iter().map(|member| member.key.pid).collect()
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if let Some((_, folder)) = &self.inside {
            // Refused while somebody is in it, and where it was never made.
            drop(fs::remove_dir(folder));
        }
    }
}
