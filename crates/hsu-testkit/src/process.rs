//! Processes as `/proc` shows them, seen from outside the sandbox.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::TestError;

/// One process inside a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its PID where the test runs.
    pub outer_pid: u32,
    /// Its PID inside the sandbox: the one that HSU Master reports.
    pub pid: u32,
    /// Its parent's PID where the test runs.
    pub outer_parent: u32,
    /// Its program, as the kernel resolved it; none for a zombie.
    pub program: Option<PathBuf>,
    /// Its arguments, the program's name first; empty for a zombie.
    pub arguments: Vec<String>,
    /// The letter of its state: `R`, `S`, `D`, `T`, `Z` and others.
    // Source: proc_pid_stat(5), field 3.
    pub state: char,
    /// How many threads it has; the state is that of the first one.
    pub threads: u32,
    /// Clock ticks after boot at which it started.
    pub started_at: u64,
}

impl Process {
    /// Whether both are the same process, whatever it does by now.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.outer_pid, self.started_at) == (other.outer_pid, other.started_at)
    }

    /// Reads one process; none when it is gone or cannot be read.
    pub(crate) fn read(outer_pid: u32) -> Option<Self> {
        let folder = Path::new("/proc").join(outer_pid.to_string());
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // The command's name may hold spaces and brackets: fields count after the last one.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
        let state = fields.next()?.chars().next()?;
        let outer_parent = fields.next()?.parse().ok()?;
        let threads = fields.nth(15)?.parse().ok()?;
        let started_at = fields.nth(1)?.parse().ok()?;
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let pid = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?
            .split_whitespace()
            .next_back()?
            .parse()
            .ok()?;
        let raw = fs::read(folder.join("cmdline")).unwrap_or_default();
        let arguments = raw
            .split(|byte| *byte == 0)
            .filter(|part| !part.is_empty())
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
        Some(Self {
            outer_pid,
            pid,
            outer_parent,
            program: fs::read_link(folder.join("exe")).ok(),
            arguments,
            state,
            threads,
            started_at,
        })
    }

    /// The last part of its program's path, without the mark of a deleted file.
    #[must_use]
    pub fn name(&self) -> &str {
        self.program
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .map_or("", |name| name.trim_end_matches(" (deleted)"))
    }

    /// Whether it has ended and waits for its parent to take note. As long as another
    /// thread of it lives, its files are open.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }

    /// Whether the very same process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::read(self.outer_pid)
            .is_some_and(|other| other.started_at == self.started_at && !other.is_zombie())
    }

    /// Sends it a signal, if it is still the same process.
    ///
    /// # Errors
    /// [`TestError::Io`] when it is gone or not ours.
    pub fn signal(&self, signal: Signal) -> Result<(), TestError> {
        let doing = || format!("signal process {}", self.outer_pid);
        let gone = || TestError::io(doing())(rustix::io::Errno::SRCH.into());
        if !self.is_alive() {
            return Err(gone());
        }
        let raw = i32::try_from(self.outer_pid).map_err(|_| gone())?;
        let pid = Pid::from_raw(raw).ok_or_else(gone)?;
        kill_process(pid, signal).map_err(|errno| TestError::io(doing())(errno.into()))
    }

    /// A variable of its environment as it was at its start.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let raw = fs::read(format!("/proc/{}/environ", self.outer_pid)).ok()?;
        raw.split(|byte| *byte == 0).find_map(|entry| {
            let (key, value) = entry.split_at(entry.iter().position(|byte| *byte == b'=')?);
            (key == name.as_bytes())
                .then(|| String::from_utf8_lossy(value.get(1..).unwrap_or_default()).into_owned())
        })
    }
}

/// The PIDs of every process in `/proc`, as the test sees them.
pub(crate) fn all_pids() -> Result<Vec<u32>, TestError> {
    let entries = fs::read_dir("/proc").map_err(TestError::io("list /proc"))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}
