//! Stuck: a dead file system that holds whoever touches it where no signal reaches.
//!
//! The kernel waits for an answer that never comes; not even SIGKILL ends that
//! wait. Promise R28 says what becomes of a worker that is caught there.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::error::TestError;
use crate::patience::eventually;
use crate::sandbox::Sandbox;

/// How long mounting may take.
const MOUNT_LIMIT: Duration = Duration::from_secs(20);

/// A mounted file system that never answers.
#[derive(Debug)]
pub struct DeadMount<'a> {
    sandbox: &'a Sandbox,
    at: PathBuf,
    door: Child,
}

impl<'a> DeadMount<'a> {
    /// Mounts it in the sandbox.
    ///
    /// # Errors
    /// [`TestError::Overdue`] when this machine has no FUSE or does not let us use it.
    pub fn new(sandbox: &'a Sandbox, at: &Path) -> Result<Self, TestError> {
        std::fs::create_dir_all(at).map_err(TestError::io("make a mount point"))?;
        let door = sandbox
            .command(crate::binaries::binary("hsu-dummy")?)
            .arg("--dead-mount")
            .arg(at)
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(TestError::io("start a file system"))?;
        let mount = Self { sandbox, at: at.to_owned(), door };
        let table = sandbox.seen_inside("/proc/1/mounts".as_ref());
        eventually("the dead file system is mounted", MOUNT_LIMIT, || {
            let mounts = std::fs::read_to_string(&table).map_err(|error| error.to_string())?;
            let is_there = mounts.contains(&*mount.at.to_string_lossy());
            if is_there { Ok(()) } else { Err(mounts) }
        })?;
        Ok(mount)
    }

    /// Whether a process, by its PID inside, waits for an answer.
    #[must_use]
    pub fn holds(&self, pid: u32) -> bool {
        let mut path = self.at.as_os_str().to_owned();
        path.push(".asked");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| line == pid.to_string())
    }

    /// Ends the file system: whoever waits for it goes on with an error.
    ///
    /// # Errors
    /// [`TestError::Io`] when it is gone already.
    pub fn end(mut self) -> Result<(), TestError> {
        let all = self.sandbox.processes()?;
        let is_ours = |word: &String| word == "--dead-mount";
        for process in all.iter().filter(|one| one.arguments.iter().any(is_ours)) {
            process.signal(Signal::KILL)?;
        }
        // It waits for the one that was just killed.
        let _ = self.door.wait();
        Ok(())
    }
}

impl Drop for DeadMount<'_> {
    fn drop(&mut self) {
        // The sandbox ends what runs inside; here only the door is closed and reaped.
        let _ = self.door.kill();
        let _ = self.door.wait();
    }
}
