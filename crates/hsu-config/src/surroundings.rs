//! Everything that resolution needs from outside the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
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
    /// What is at a path.
    pub found: fn(&Path) -> Option<Found>,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// Something else: a device, a socket.
    Other,
}

impl Found {
    /// What this host has at a path, links followed.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let kind = path.metadata().ok()?;
        Some(match (kind.is_dir(), kind.is_file()) {
            (true, _) => Self::Folder,
            (false, true) => Self::File,
            (false, false) => Self::Other,
        })
    }
}

impl Surroundings {
    /// Those of this process. Costs some ten microseconds.
    #[must_use]
    pub fn of_this_process() -> Self {
        let os = match std::env::consts::OS {
            "macos" => Os::MacOs,
            "windows" => Os::Windows,
            _ => Os::Linux,
        };
        let home = match os {
            Os::Linux | Os::MacOs => "HOME",
            Os::Windows => "USERPROFILE",
        };
        let readable = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment: BTreeMap<_, _> = std::env::vars_os().filter_map(readable).collect();
        let temp = std::env::temp_dir().to_string_lossy().into_owned();
        let current = std::env::current_dir();
        Self {
            os,
            home: environment.get(home).filter(|home| !home.is_empty()).cloned(),
            environment,
            uid: effective_uid(),
            temp: temp.strip_suffix('/').unwrap_or(&temp).to_owned(),
            current: current
                .map_or_else(|_| String::from("/"), |path| path.to_string_lossy().into_owned()),
            found: Found::at,
        }
    }
}

/// The effective user id, where the system has a file that tells it. Only Linux needs it,
/// for `/run/user/UID`.
// Source: proc_pid_status(5), the second number of `Uid:`.
fn effective_uid() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}
