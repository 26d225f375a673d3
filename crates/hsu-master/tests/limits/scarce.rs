//! Row 131 of the catalogue: groups that somebody else changes under a running master.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// The groups of the worker, in every tree.
pub(super) fn groups(process: &Process) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", process.outer_pid)).unwrap();
    let parts = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(":/"));
    let own = parts.filter(|(_, path)| path.ends_with("/w"));
    let places = own.filter_map(|(controllers, path)| {
        let trees = if controllers.is_empty() { ["unified", ""] } else { [controllers, ""] };
        let mut folders =
            trees.iter().map(|tree| Path::new("/sys/fs/cgroup").join(tree).join(path));
        folders.find(|folder| folder.is_dir())
    });
    places.collect()
}

/// Writes into a file of each group that has it.
fn write(groups: &[PathBuf], file: &str, value: &str) {
    for file in groups.iter().map(|group| group.join(file)).filter(|file| file.is_file()) {
        // Not every tree takes every value; what counts is what the master makes of it.
        drop(fs::write(file, value));
    }
}

type Deed = fn(&Process, &[PathBuf]);

/// What somebody else does, and whether the worker is stopped meanwhile.
const DEEDS: [(&str, bool, Deed); 5] = [
    ("it is moved out of its groups", false, |process, groups| {
        for base in groups.iter().filter_map(|group| group.parent()?.parent()) {
            fs::write(base.join("cgroup.procs"), process.outer_pid.to_string()).unwrap();
        }
    }),
    ("it is held still", false, |_, groups| {
        write(groups, "freezer.state", "FROZEN");
        write(groups, "cgroup.freeze", "1");
    }),
    ("it may have no process", false, |_, groups| write(groups, "pids.max", "0")),
    ("its groups are removed", true, |_, groups| {
        for group in groups {
            drop(fs::remove_dir(group));
        }
    }),
    ("all groups of the master are removed", true, |_, groups| {
        for group in groups {
            drop(fs::remove_dir(group));
            drop(group.parent().map(fs::remove_dir));
        }
    }),
];

#[test]
fn what_others_do_to_the_groups_of_a_worker_lasts_no_longer_than_its_run() {
    with_each(|sandbox, mode| {
        let limits = json!({
            "memory": {"max_rss": "300MB"},
            "process": {"max_processes": 30},
            "cpu": {"max_percent": 90},
        });
        let worker = dummy(&[], limits).grace(Duration::from_millis(300));
        let mut fleet = start(sandbox, mode, worker);
        fleet.wait_for("w", "running", SOON).unwrap();
        let first = eventually("it is executed", SOON, || {
            relatives(sandbox).pop().ok_or_else(|| "none".to_owned())
        });
        let usual = groups(&first.unwrap());
        for (deed, stops, act) in DEEDS {
            let process = relatives(sandbox).remove(0);
            if stops {
                fleet.tell(&["stop", "w"]).unwrap();
            }
            act(&process, &usual);
            fleet.tell(&[if stops { "start" } else { "restart" }, "w"]).unwrap();
            let view = fleet.wait_for("w", "running", SOON).unwrap();
            assert!(!process.is_alive(), "{mode}: {deed}");
            // Before it is executed it has no name of a worker yet.
            let again = eventually("it is executed", SOON, || match relatives(sandbox).pop() {
                Some(process) => Ok(process),
                None => Err(fleet.own_words()),
            })
            .unwrap();
            assert_eq!(relatives(sandbox).len(), 1, "{mode}: {deed}");
            assert_eq!(view.pid(), Some(again.pid), "{mode}: {deed}");
            assert_eq!(groups(&again), usual, "{mode}: {deed}");
            let has = |file: &str, value: &str| {
                let files = usual.iter().map(|group| group.join(file));
                files.filter_map(|file| fs::read_to_string(file).ok()).all(|t| t.trim() == value)
            };
            assert!(has("pids.max", "30"), "{mode}: {deed}");
            assert!(has("freezer.state", "THAWED") && has("cgroup.freeze", "0"), "{mode}: {deed}");
            let before = used(&fleet)["at"].clone();
            eventually("it is looked at again", SOON, || match used(&fleet)["at"].clone() {
                at if at.is_string() && at != before => Ok(()),
                at => Err(at.to_string()),
            })
            .unwrap();
        }
        fleet.tell(&["stop", "w"]).unwrap();
        assert_eq!(relatives(sandbox).len(), 0);
        fleet.stop(SOON).unwrap();
    });
}
