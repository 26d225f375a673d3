//! PID files: removed at once, written when there is time.
//!
//! A file never names a process that has ended for longer than it takes to hear of the
//! end. Nobody may trust one, so nobody waits for it to appear: a burst of starts is over
//! before its files are written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::warn;

/// A file is written when no other process has started for so long.
const QUIET: Duration = Duration::from_millis(20);
/// And after this time anyway.
const LATEST: Duration = Duration::from_millis(500);
/// Written between two looks at what else there is to do: a millisecond or two.
const SOME: usize = 16;

/// The files that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct PidFiles {
    open: BTreeMap<PathBuf, u32>,
    /// When they are written, and when at the latest.
    due: Option<(Instant, Instant)>,
}

impl PidFiles {
    /// A process has started: its file will hold its PID.
    pub(crate) fn write(&mut self, path: PathBuf, pid: u32, now: Instant) {
        let latest = self.due.map_or(now + LATEST, |(_, latest)| latest);
        self.due = Some((latest.min(now + QUIET), latest));
        self.open.insert(path, pid);
    }

    /// A process has ended: its file is removed.
    pub(crate) fn remove(&mut self, path: PathBuf) {
        self.open.remove(&path);
        if let Err(error) = hsu_sys::files::remove_pid_file(&path) {
            warn!(path = %path.display(), %error, "cannot remove a PID file");
        }
    }

    /// Nothing is put off any longer.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.due = (!self.open.is_empty()).then_some((now, now));
    }

    /// When the next ones are written.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.map(|(due, _)| due)
    }

    /// Writes some of those that are due.
    pub(crate) fn tend(&mut self, now: Instant) {
        if self.due.is_none_or(|(due, _)| due > now) {
            return;
        }
        for _ in 0..SOME {
            let Some((path, pid)) = self.open.pop_first() else { break };
            if let Err(error) = hsu_sys::files::write_pid_file(&path, pid) {
                warn!(path = %path.display(), %error, "cannot write a PID file");
            }
        }
        if self.open.is_empty() {
            self.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_waited_for_but_not_for_ever() {
        let begin = Instant::now();
        let mut files = PidFiles::default();
        for step in 0..100 {
            files.write(PathBuf::from(format!("/{step}")), 7, begin + QUIET / 2 * step);
        }
        assert_eq!(files.due(), Some(begin + LATEST));
    }

    #[test]
    fn a_process_that_has_ended_before_its_file_was_written_leaves_none() {
        let folder = std::env::temp_dir().join(format!("hsu-pid-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let now = Instant::now();
        let mut files = PidFiles::default();
        let (kept, gone) = (folder.join("kept"), folder.join("gone"));
        files.write(kept.clone(), 11, now);
        files.write(gone.clone(), 12, now);
        files.remove(gone.clone());
        files.tend(now);
        assert!(!kept.exists(), "it is not due yet");
        files.hurry(now);
        files.tend(now);
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "11\n");
        assert!(!gone.exists());
        assert_eq!(files.due(), None);
        files.remove(kept.clone());
        assert!(!kept.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
