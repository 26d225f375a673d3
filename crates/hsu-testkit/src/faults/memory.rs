//! Memory: the master has none left, and the kernel kills it for that.
//!
//! Each time the running master is put into a cgroup with almost no memory and
//! asked for things until the kernel ends it. Its keeper starts the next one
//! outside of that cgroup. Whatever the master knew is in the store and with the
//! keeper, so R1 to R3 hold as for any other SIGKILL.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Form;
use crate::chaos::{Load, RECOVERY_LIMIT, Random, Report, Times, Unknown, answers};
use crate::error::TestError;
use crate::fleet::Role;
use crate::patience::eventually;
use crate::sandbox::Sandbox;

/// So little that the next question is one too many.
const LIMIT: u64 = 256 << 10;

pub(super) fn run(form: Form, seed: u64) -> Result<Report, TestError> {
    let kills: u32 = form.pick(4, 60);
    let cgroup = MemoryGroup::new()?;
    let sandbox = Sandbox::new()?;
    let loaded = Load::default().start(&sandbox, Ok)?;
    let mut random = Random::new(seed);
    let mut times = Times::default();
    for _ in 0..kills {
        std::thread::sleep(random.up_to(Duration::from_millis(300)));
        let Some(master) = loaded.fleet.players(Role::Master)?.into_iter().next() else {
            continue;
        };
        cgroup.take(master.outer_pid)?;
        eventually("the kernel ends a master without memory", RECOVERY_LIMIT, || {
            // What it answers, or that it does not, is not the point here.
            drop(loaded.fleet.client(&["events", "--limit", "500"]));
            if master.is_alive() { Err("it lives".to_owned()) } else { Ok(()) }
        })?;
        let begin = std::time::Instant::now();
        answers(&loaded.fleet)?;
        times.add(begin.elapsed());
        loaded.keep_up();
    }
    let killed = cgroup.kills();
    let toll = loaded.finish()?;
    let findings = toll.findings(Unknown::Never);
    Ok(Report {
        totals: format!("{kills} masters ended, {killed}; answers after {times}; {toll}"),
        findings,
    })
}

/// A cgroup with little memory, removed at the end.
#[derive(Debug)]
struct MemoryGroup {
    folder: PathBuf,
    counter: &'static str,
}

impl MemoryGroup {
    /// Makes one below the root of the memory controller, of version 1 or 2.
    fn new() -> Result<Self, TestError> {
        let name = format!("hsu-faults-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let (folder, limit, counter) = if root.join("memory").is_dir() {
            (root.join("memory").join(name), "memory.limit_in_bytes", "memory.oom_control")
        } else {
            (root.join(name), "memory.max", "memory.events")
        };
        let doing = "make a cgroup with a memory limit (as root, with the memory controller)";
        fs::create_dir(&folder).map_err(TestError::io(doing))?;
        let group = Self { folder, counter };
        fs::write(group.folder.join(limit), LIMIT.to_string()).map_err(TestError::io(doing))?;
        Ok(group)
    }

    /// Puts a process into it; what it uses from now on counts.
    fn take(&self, outer_pid: u32) -> Result<(), TestError> {
        fs::write(self.folder.join("cgroup.procs"), outer_pid.to_string())
            .map_err(TestError::io("put the master into a cgroup"))
    }

    /// The kernel's own count of processes that it has ended here.
    fn kills(&self) -> String {
        let text = fs::read_to_string(self.folder.join(self.counter)).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("oom_kill "));
        line.map_or_else(|| "not counted".to_owned(), |line| line.replace("oom_kill ", "oom "))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // It is empty: whoever was in it was ended, or ends with the sandbox before.
        drop(fs::remove_dir(&self.folder));
    }
}
