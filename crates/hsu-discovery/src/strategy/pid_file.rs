//! By the file that holds its PID. The file is a hint: its owner, its age and the process
//! have to agree before the process is believed to be the one that is meant.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hsu_sys::census;
use hsu_sys::files::{self, FileVersion, PidFileError, PidHint};

use super::{Fit, Only, Prepared, Scene, Strategy};
use crate::facts::Facts;

/// How much later than its file a process may seem to have started: both times are
/// rounded, and the clock of files may have been set meanwhile.
const SLACK: Duration = Duration::from_secs(2);

/// A PID file as it was read last.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    version: Option<FileVersion>,
    hint: Option<PidHint>,
    trouble: Option<String>,
}

impl PidFile {
    pub(super) fn new(path: &str) -> Self {
        let trouble = Some(format!("{path} was not read yet"));
        Self { path: path.into(), version: None, hint: None, trouble }
    }

    /// Reads the file again, unless it is the same as before.
    pub(super) fn refresh(&mut self) -> Prepared {
        let version = files::version(&self.path);
        if version.is_some() && version == self.version {
            return Prepared::Same;
        }
        self.version = version;
        let (hint, trouble) = match files::read_foreign_pid_file(&self.path) {
            Ok(hint) => (Some(hint), None),
            Err(error) => (None, Some(explain(&self.path, &error))),
        };
        let changed = self.hint != hint || self.trouble != trouble;
        (self.hint, self.trouble) = (hint, trouble);
        if changed { Prepared::Changed } else { Prepared::Same }
    }

    /// The PID in the file, when the file can be believed.
    pub(super) fn pid(&self) -> Option<u32> {
        self.hint.map(|hint| hint.pid)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the process is the one that the file was written for.
    pub(super) fn judge(&self, facts: &Facts<'_>) -> Fit {
        let Some(hint) = self.hint.filter(|hint| hint.pid == facts.pid()) else {
            return Fit::No;
        };
        let Ok(owner) = facts.owner() else {
            return Fit::Hidden;
        };
        let path = self.path.display();
        // Whoever owns the file says which process is meant: of others nobody but root may.
        if hint.owner != 0 && hint.owner != owner {
            let (pid, file) = (hint.pid, hint.owner);
            return Fit::Refused(format!(
                "{path} belongs to user {file} and names PID {pid} of user {owner}"
            ));
        }
        let age = census::uptime().saturating_sub(census::started_after(facts.face.process));
        let started = SystemTime::now().checked_sub(age);
        if started.is_some_and(|started| started > hint.written + SLACK) {
            let pid = hint.pid;
            return Fit::Refused(format!(
                "{path} is older than the process that has PID {pid} now"
            ));
        }
        Fit::Yes
    }
}

impl Strategy for PidFile {
    fn prepare(&mut self, _: &mut Scene) -> Prepared {
        self.refresh()
    }

    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        self.judge(facts)
    }

    fn only(&self) -> Only {
        self.pid().map_or(Only::Nobody, Only::Pid)
    }

    fn trouble(&self) -> Option<&str> {
        self.trouble()
    }

    fn describe(&self) -> String {
        format!("the one that {} names", self.path.display())
    }
}

fn explain(path: &Path, error: &PidFileError) -> String {
    let path = path.display();
    match error {
        PidFileError::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no {path}")
        }
        PidFileError::Io(cause) => format!("{error} {path}: {cause}"),
        PidFileError::NotAFile
        | PidFileError::Foreign { .. }
        | PidFileError::Writable
        | PidFileError::OpenFolder { .. }
        | PidFileError::Malformed
        | _ => format!("{path}: {error}"),
    }
}
