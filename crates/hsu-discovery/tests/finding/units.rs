//! A unit of systemd is a control group, and that is how its processes are found.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use hsu_model::discovery::Search;

use super::{by, found, look, start};

/// Where groups may be made: the unified hierarchy, or one of the others.
const HIERARCHIES: [&str; 3] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup"];

/// A group that goes with the test, once nobody is in it.
struct Group(PathBuf);

impl Group {
    /// None where this user may make no groups.
    fn new(name: &str) -> Option<Self> {
        let made = HIERARCHIES.iter().map(|root| PathBuf::from(root).join(name));
        made.map(Self)
            .find(|group| fs::create_dir(&group.0).is_ok() && group.0.join("cgroup.procs").exists())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was waited for may be in it for a moment more.
        while fs::remove_dir(&self.0).is_err_and(|error| error.raw_os_error() == Some(16)) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_process_is_found_by_the_unit_that_it_is_in() {
    let name = format!("hsu-test-{}", std::process::id());
    let Some(group) = Group::new(&format!("{name}.service")) else {
        assert_ne!(hsu_sys::users::effective(), 0, "root may make groups");
        return;
    };
    let unit = by(&[Search::Unit(name)]);
    let sighting = look(&unit);
    assert!(sighting.candidates.is_empty());
    assert!(sighting.note.contains("in the unit hsu-test-"), "{}", sighting.note);
    let line = "echo $$ > \"$0\" && exec sleep 132002";
    let process = start(Command::new("sh").args(["-c", line]).arg(group.0.join("cgroup.procs")));
    while found(&look(&unit)).is_empty() {}
    assert_eq!(found(&look(&unit)), [process.pid()].into());
}
