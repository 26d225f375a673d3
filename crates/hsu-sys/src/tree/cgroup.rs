//! Cgroups of version 2, as far as they kill a tree at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hsu_model::id::WorkerId;

/// The cgroups of this master's workers, or why there are none.
#[derive(Debug)]
pub(super) struct Cgroups {
    base: Result<PathBuf, String>,
    workers: BTreeMap<WorkerId, PathBuf>,
}

impl Cgroups {
    /// Looks for a version 2 hierarchy that has `cgroup.kill` and takes folders of ours.
    pub(super) fn detect(name: &str) -> Self {
        Self { base: find_base(name), workers: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { base: Err("none in tests".to_owned()), workers: BTreeMap::new() }
    }

    pub(super) fn describe(&self) -> String {
        match &self.base {
            Ok(base) => format!("cgroup.kill under {}", base.display()),
            Err(reason) => format!("process group, session and environment mark ({reason})"),
        }
    }

    pub(super) fn add(&mut self, worker: &WorkerId, pids: &BTreeSet<u32>) {
        let Ok(base) = &self.base else { return };
        let folder = base.join(worker.as_str());
        // The base is made with the first worker that needs it.
        if !folder.is_dir() && fs::create_dir_all(&folder).is_err() {
            return;
        }
        for pid in pids {
            // One that has ended meanwhile is refused, and that is fine.
            drop(fs::write(folder.join("cgroup.procs"), pid.to_string()));
        }
        self.workers.insert(worker.clone(), folder);
    }

    /// Kills whatever is in the cgroup of a worker and removes it.
    pub(super) fn kill(&mut self, worker: &WorkerId) {
        let folder = match (&self.base, self.workers.get(worker)) {
            (_, Some(folder)) => folder.clone(),
            // One of an earlier master.
            (Ok(base), None) if base.join(worker.as_str()).is_dir() => base.join(worker.as_str()),
            (Ok(_) | Err(_), None) => return,
        };
        drop(fs::write(folder.join("cgroup.kill"), "1"));
        self.workers.insert(worker.clone(), folder);
        self.remove(worker);
    }

    pub(super) fn remove(&mut self, worker: &WorkerId) {
        let Some(folder) = self.workers.get(worker) else {
            return;
        };
        // A folder that is not empty yet is removed at the end.
        if fs::remove_dir(folder).is_ok() {
            self.workers.remove(worker);
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for folder in self.workers.values() {
            drop(fs::remove_dir(folder));
        }
        if let Ok(base) = &self.base {
            // Refused while workers go on in it.
            drop(fs::remove_dir(base));
        }
    }
}

fn find_base(name: &str) -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let mount = find_mount(&mounts).ok_or("no cgroup v2 hierarchy is mounted")?;
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let parent = mount.join(own);
    let base = parent.join(format!("hsu-{name}"));
    let made = fs::create_dir(&base);
    let is_new = made.is_ok();
    if !base.is_dir() {
        let reason = made.err().map(|error| error.to_string()).unwrap_or_default();
        return Err(format!("{} cannot be made: {reason}", base.display()));
    }
    let can_kill = base.join("cgroup.kill").exists();
    if is_new {
        drop(fs::remove_dir(&base));
    }
    if can_kill { Ok(base) } else { Err("this kernel has no cgroup.kill".to_owned()) }
}

/// The mount point of the version 2 hierarchy.
// Source: proc_pid_mountinfo(5): field 5 is the mount point, the type follows " - ".
fn find_mount(mounts: &str) -> Option<&Path> {
    mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let kind = tail.split(' ').next()?;
        (kind == "cgroup2").then(|| head.split(' ').nth(4).map(Path::new)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_2_mount_is_found_beside_version_1() {
        let text = "30 24 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs rw\n\
                    31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
                    32 30 0:28 / /sys/fs/cgroup/cpu rw shared:11 - cgroup cgroup rw,cpu\n";
        assert_eq!(find_mount(text), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(find_mount("garbage\n - \n1 2 - cgroup2"), None);
    }
}
