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

    /// Whether the unit is among those that the control groups of a process belong to.
    fn has(&self, groups: &[u8]) -> bool {
        // Source: cgroups(7), /proc/PID/cgroup: hierarchy:controllers:path.
        let paths = groups
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.splitn(3, |b| *b == b':').nth(2));
        let mut folders = paths.flat_map(|path| path.split(|byte| *byte == b'/'));
        folders.any(|folder| folder == self.0.as_bytes())
    }
}

impl Strategy for SystemdUnit {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        facts.control_groups().map_or(Fit::Hidden, |groups| self.has(&groups).into())
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("in the unit {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_whole_folder_of_a_control_group_of_any_hierarchy() {
        let nginx = "0::/system.slice/nginx.service\n";
        let hybrid = "12:pids:/system.slice/nginx.service\n1:name=systemd:/\n0::/\n";
        let own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n";
        let table = [
            ("nginx", nginx, true),
            ("nginx.service", nginx, true),
            ("system.slice", nginx, true),
            ("nginx.socket", nginx, false),
            ("nginx", hybrid, true),
            ("web", own, true),
            ("user@1000", own, true),
            // What delegates its group has its processes below it.
            ("nginx", "0::/system.slice/nginx.service/workers/1\n", true),
            ("nginx", "0::/system.slice/my-nginx.service\n", false),
            ("nginx", "0::/system.slice/nginx.service.d\n", false),
            ("nginx", "0::/nginx\n", false),
            (r"a\x2db", "0::/system.slice/a\\x2db.service\n", true),
            ("a:b.service", "3:cpu,cpuacct:/x/a:b.service\n", true),
            ("nginx", "", false),
            ("nginx", "nginx.service\n::\n0:nginx.service\n", false),
            ("", "0::/\n", false),
        ];
        for (unit, groups, fits) in table {
            assert_eq!(SystemdUnit::new(unit).has(groups.as_bytes()), fits, "{unit} {groups}");
        }
    }
}
