//! Everything that resolution needs from outside the file.

use std::collections::BTreeMap;
use std::path::Path;

/// The systems whose documented folders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux, and every Unix that is not macOS.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// Where and as whom a configuration is resolved. All of it can be made up for a test.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The system, which selects the documented folders.
    pub os: Os,
    /// Environment variables that are valid UTF-8, for `${NAME}` and the XDG folders.
    pub environment: BTreeMap<String, String>,
    /// The home folder, when there is one.
    pub home: Option<String>,
    /// The effective user id; 0 is root. None on Windows.
    pub uid: Option<u32>,
    /// The folder for temporary files, without a slash at its end.
    pub temp: String,
    /// The working directory, from which relative paths are taken.
    pub current: String,
    /// Whether something is at a path.
    pub exists: fn(&Path) -> bool,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            os: Os::Linux,
            environment: BTreeMap::new(),
            home: None,
            uid: None,
            temp: String::from("/tmp"),
            current: String::from("/"),
            exists: |path| path.exists(),
        }
    }
}
