//! Facts: what is known of one process, read when it is asked for and not before.

use std::io;

use hsu_sys::census::{self, Face};

/// The longest command line that is looked at; a longer one is cut.
pub(crate) const LONGEST_ARGUMENTS: u64 = 128 << 10;
/// The largest environment that is looked at.
pub(crate) const LARGEST_ENVIRONMENT: u64 = 256 << 10;
/// The longest list of control groups.
const LONGEST_GROUPS: u64 = 16 << 10;

/// One process, for the time of one evaluation.
#[derive(Debug)]
pub(crate) struct Facts<'f> {
    pub(crate) face: &'f Face,
    arguments: Option<io::Result<Vec<u8>>>,
    environment: Option<io::Result<Vec<u8>>>,
}

/// Something that may not be seen, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hidden;

impl<'f> Facts<'f> {
    pub(crate) fn of(face: &'f Face) -> Self {
        Self { face, arguments: None, environment: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.face.process.pid
    }

    /// Its arguments, each followed by a zero byte.
    pub(crate) fn arguments(&mut self) -> Result<&[u8], Hidden> {
        let pid = self.pid();
        let read = || {
            let mut text = Vec::new();
            census::arguments(pid, &mut text, LONGEST_ARGUMENTS).map(|()| text)
        };
        self.arguments.get_or_insert_with(read).as_deref().map_err(|_| Hidden)
    }

    /// Its variables, each followed by a zero byte.
    pub(crate) fn environment(&mut self) -> Result<&[u8], Hidden> {
        let pid = self.pid();
        let read = || {
            let mut text = Vec::new();
            census::environment(pid, &mut text, LARGEST_ENVIRONMENT).map(|()| text)
        };
        self.environment.get_or_insert_with(read).as_deref().map_err(|_| Hidden)
    }

    pub(crate) fn control_groups(&self) -> Result<Vec<u8>, Hidden> {
        let mut text = Vec::new();
        let read = census::control_groups(self.pid(), &mut text, LONGEST_GROUPS);
        read.map(|()| text).map_err(|_| Hidden)
    }

    pub(crate) fn working_directory(&self) -> Result<std::path::PathBuf, Hidden> {
        census::working_directory(self.pid()).map_err(|_| Hidden)
    }

    pub(crate) fn owner(&self) -> Result<u32, Hidden> {
        census::owner(self.pid()).map_err(|_| Hidden)
    }
}

/// The name of a process. What the kernel cut at 15 bytes is completed from its program,
/// when that begins the same.
pub(crate) fn full_name(facts: &mut Facts<'_>) -> Vec<u8> {
    let short = facts.face.name.clone();
    if short.len() < census::LONGEST_NAME {
        return short;
    }
    let Ok(arguments) = facts.arguments() else {
        return short;
    };
    let parts = arguments.split(|byte| *byte == 0);
    // The program itself, or the script that an interpreter runs.
    let names = parts.take(2).map(|part| part.rsplit(|byte| *byte == b'/').next().unwrap_or(part));
    let full = names.filter(|name| name.starts_with(&short)).max_by_key(|name| name.len());
    full.map_or(short, <[u8]>::to_vec)
}
