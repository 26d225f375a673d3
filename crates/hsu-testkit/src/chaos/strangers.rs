//! Strangers: processes that are nobody's workers, and tell when one of them is signalled.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;

use crate::error::TestError;
use crate::patience::eventually;
use crate::process::Process;
use crate::sandbox::Sandbox;

/// How long the first of them may take to come.
const COME_LIMIT: Duration = Duration::from_secs(20);

/// A crowd of short-lived processes in a sandbox.
#[derive(Debug)]
pub(super) struct Strangers<'a> {
    sandbox: &'a Sandbox,
    log: PathBuf,
    door: Child,
}

impl<'a> Strangers<'a> {
    /// Lets `count` of them live at any time.
    pub(super) fn gather(sandbox: &'a Sandbox, count: u32) -> Result<Self, TestError> {
        let log = sandbox.folder().join("strangers");
        let door = sandbox
            .command(crate::binaries::binary("hsu-dummy")?)
            .args(["--crowd", &count.to_string(), "--crowd-log"])
            .arg(&log)
            .spawn()
            .map_err(TestError::io("start the strangers"))?;
        let strangers = Self { sandbox, log, door };
        eventually("the strangers have come", COME_LIMIT, || match strangers.births() {
            0 => Err("none was born".to_owned()),
            _ => Ok(()),
        })?;
        Ok(strangers)
    }

    /// How many there have been so far.
    pub(super) fn births(&self) -> u64 {
        let mut path = self.log.as_os_str().to_owned();
        path.push(".births");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Ends them; how many there were, and every signal that one of them got.
    pub(super) fn disperse(mut self) -> Result<(u64, Vec<String>), TestError> {
        let parent = self.parent()?;
        let mut signalled = Vec::new();
        match parent {
            Some(parent) => parent.signal(Signal::KILL)?,
            None => signalled.push("the parent of the strangers is gone".to_owned()),
        }
        // It waits for the one that was just killed.
        let _ = self.door.wait();
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        signalled.extend(text.lines().map(str::to_owned));
        Ok((self.births(), signalled))
    }

    /// The one of which all strangers are children.
    pub(super) fn parent(&self) -> Result<Option<Process>, TestError> {
        // By its arguments it could not be told from a child that is about to become another.
        let is_parent =
            |process: &Process| process.outer_parent == self.door.id() && !process.is_zombie();
        Ok(self.sandbox.processes()?.into_iter().find(is_parent))
    }
}

impl Drop for Strangers<'_> {
    fn drop(&mut self) {
        // The sandbox ends what runs inside; here only the door is closed and reaped.
        let _ = self.door.kill();
        let _ = self.door.wait();
    }
}
