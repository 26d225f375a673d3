//! Where a process is: its folder, a file that it has open, its unit.

use std::path::PathBuf;

use hsu_sys::census;

use super::{Fit, Strategy};
use crate::facts::Facts;

/// By the folder that it works in.
#[derive(Debug)]
pub(super) struct WorkingDirectory(PathBuf);

impl WorkingDirectory {
    pub(super) fn new(path: &str) -> Self {
        Self(resolved(path))
    }
}

impl Strategy for WorkingDirectory {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        facts.working_directory().map_or(Fit::Hidden, |folder| (folder == self.0).into())
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("working in {}", self.0.display())
    }
}

/// By a file that it has open.
#[derive(Debug)]
pub(super) struct OpenFile(PathBuf);

impl OpenFile {
    pub(super) fn new(path: &str) -> Self {
        Self(resolved(path))
    }
}

impl Strategy for OpenFile {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        let (wanted, mut found) = (self.0.as_os_str().as_encoded_bytes(), false);
        let read = census::open_files(facts.pid(), |target| {
            found = target == wanted;
            !found
        });
        read.map_or(Fit::Hidden, |()| found.into())
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("holding {} open", self.0.display())
    }
}

/// The path as the kernel tells it: without links, when it is there already.
fn resolved(path: &str) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

/// By the unit that systemd runs it as: the name of a control group.
#[derive(Debug)]
pub(super) struct SystemdUnit(String);

impl SystemdUnit {
    pub(super) fn new(name: &str) -> Self {
        // As systemctl takes names: without a suffix it is a service.
        Self(if name.contains('.') { name.to_owned() } else { format!("{name}.service") })
    }
}

impl Strategy for SystemdUnit {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        let Ok(groups) = facts.control_groups() else {
            return Fit::Hidden;
        };
        // Source: cgroups(7), /proc/PID/cgroup: hierarchy:controllers:path.
        let paths = groups
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.splitn(3, |b| *b == b':').nth(2));
        let mut folders = paths.flat_map(|path| path.split(|byte| *byte == b'/'));
        folders.any(|folder| folder == self.0.as_bytes()).into()
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("in the unit {}", self.0)
    }
}
