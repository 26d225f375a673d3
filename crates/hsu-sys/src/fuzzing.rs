//! What the fuzzers check of the kernel's small files and of PID files.
//!
//! The targets are in `fuzz/src/targets`. Nothing of the product calls this.

use std::path::Component;

use hsu_model::process::ProcessKey;

use crate::procfs::Stat;
use crate::tree::fuzzing::{hierarchies, mark, pids};
use crate::{files, usage};

/// The start time that `/proc/PID/stat` tells; every other field is looked at too.
#[must_use]
pub fn stat(bytes: &[u8]) -> Option<u64> {
    let stat = Stat::parse(bytes)?;
    for place in 0..60 {
        stat.number(place);
    }
    stat.state();
    let started_at = stat.number(22)?;
    usage::of_stat(&stat, ProcessKey { pid: 7, started_at });
    let other = ProcessKey { pid: 7, started_at: started_at.wrapping_add(1) };
    assert_eq!(usage::of_stat(&stat, other), None, "another process was counted");
    Some(started_at)
}

/// No folder that is found leads out of a mount point that the file names.
///
/// # Panics
/// When one does.
pub fn mounts(mountinfo: &str, own: &str) {
    for folder in hierarchies(mountinfo, own) {
        let leads_out = folder.components().any(|part| part == Component::ParentDir);
        let is_named = mountinfo.contains("..") || mountinfo.contains('\\');
        assert!(!leads_out || is_named, "{} leads out", folder.display());
    }
}

/// An environment: of two equal names the first counts, as for programs.
///
/// # Panics
/// When a mark is read that is not there.
pub fn environment(bytes: &[u8]) {
    let (run, master) = mark(bytes);
    let has = |name: &[u8]| bytes.split(|byte| *byte == 0).any(|pair| pair.starts_with(name));
    assert!(run.is_none() || has(b"HSU_RUN_ID="), "a run without a variable");
    assert!(master.is_none() || has(b"HSU_MASTER_ID="), "a master without a variable");
}

/// The members of a cgroup: nobody who can be signalled by mistake.
///
/// # Panics
/// When 0 or more PIDs than lines are read.
pub fn members(text: &str) {
    let found = pids(text);
    assert!(found.iter().all(|pid| *pid > 0), "everybody is no member");
    assert!(found.len() <= text.lines().count(), "more members than lines");
}

/// A PID file: a number that is taken is one process that is not ours or init's.
///
/// # Panics
/// When another is.
pub fn pid_file(bytes: &[u8]) {
    if let Some(pid) = files::parse_pid(bytes) {
        assert!(pid > 1 && pid <= i32::MAX.unsigned_abs(), "{pid} is no process of a worker");
        let text = std::str::from_utf8(bytes).expect("digits are text");
        let digits = text.strip_suffix('\n').unwrap_or(text).trim_start_matches('0');
        assert_eq!(digits, pid.to_string(), "{text:?}");
    }
}
