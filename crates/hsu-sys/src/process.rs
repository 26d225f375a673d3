//! Processes: identity, and a hold that no reuse of a PID can fool.

use std::io;

use hsu_model::process::ProcessKey;

#[cfg(target_os = "linux")]
#[path = "process/linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "process/elsewhere.rs"]
mod os;

pub use os::{Owned, ProcessHandle, reap_children};

/// The fields of `/proc/PID/stat`.
#[derive(Debug)]
pub(crate) struct Stat {
    text: String,
    /// Where the fields after the name begin.
    rest: usize,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The name in field 2 may hold brackets, spaces and line ends: fields count
    /// from its last bracket.
    fn parse(text: String) -> Option<Self> {
        let rest = text.rfind(')')? + 2;
        Some(Self { text, rest })
    }

    /// A field by its number in proc(5), 3 or higher.
    fn field(&self, number: usize) -> Option<&str> {
        self.text.get(self.rest..)?.split(' ').nth(number.checked_sub(3)?)
    }

    pub(crate) fn number(&self, number: usize) -> Option<u64> {
        self.field(number)?.trim().parse().ok()
    }

    pub(crate) fn is_zombie(&self) -> bool {
        self.field(3).is_some_and(|state| state == "Z" || state == "X")
    }
}

/// What makes this PID one process and no other.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when no such process lives.
pub fn identify(pid: u32) -> io::Result<ProcessKey> {
    let stat = Stat::read(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let started_at = stat.number(22).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(ProcessKey { pid, started_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_line_ends_does_not_shift_the_fields() {
        let text = "7 (a) R 1 (b\n) S 1 7 7 0 -1 4194560 1 0 0 0 11 22 0 0 20 0 1 0 333 0 44";
        let stat = Stat::parse(text.to_owned()).unwrap();
        assert_eq!(stat.number(22), Some(333));
        assert_eq!(stat.number(14), Some(11));
        assert!(!stat.is_zombie());
    }

    #[test]
    fn this_process_is_itself() {
        let key = identify(std::process::id()).unwrap();
        assert_eq!(identify(std::process::id()).unwrap(), key);
    }
}
