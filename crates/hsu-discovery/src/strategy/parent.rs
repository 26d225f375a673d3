//! By the parent: its name, or the file that holds its PID.

use hsu_sys::census;

use super::pid_file::PidFile;
use super::{Fit, Matcher, Prepared, Scene, Strategy};
use crate::facts::{Facts, full_name};

/// By the name of its parent.
#[derive(Debug)]
pub(super) struct ParentName(pub(super) Matcher);

impl Strategy for ParentName {
    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        match census::face(facts.face.parent) {
            Ok(Some(parent)) => self.0.fits(&full_name(&mut Facts::of(&parent))).into(),
            Ok(None) => Fit::No,
            Err(_) => Fit::Hidden,
        }
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("a child of a process named {}", self.0)
    }
}

/// By the PID file of its parent.
#[derive(Debug)]
pub(super) struct ParentPidFile(PidFile);

impl ParentPidFile {
    pub(super) fn new(path: &str) -> Self {
        Self(PidFile::new(path))
    }
}

impl Strategy for ParentPidFile {
    fn prepare(&mut self, _: &mut Scene) -> Prepared {
        self.0.refresh()
    }

    fn fits(&self, facts: &mut Facts<'_>) -> Fit {
        if self.0.pid() != Some(facts.face.parent) {
            return Fit::No;
        }
        match census::face(facts.face.parent) {
            Ok(Some(parent)) => self.0.judge(&Facts::of(&parent)),
            Ok(None) => Fit::No,
            Err(_) => Fit::Hidden,
        }
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<&str> {
        self.0.trouble()
    }

    fn describe(&self) -> String {
        format!("a child of the one that {} names", self.0.path().display())
    }
}
