//! Pressure: how much of the last ten seconds a worker has waited for want of something.
//!
//! The kernel tells it for each group of version 2, whether or not anything is limited
//! there; nothing is read until somebody asks.
// Source: kernel, accounting/psi.rst: `some avg10=0.12 avg60=... avg300=... total=...`.

use std::fs;
use std::path::Path;

/// The shares of time, in hundredths of a percent, in which something of a worker waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// For a CPU.
    pub cpu: u32,
    /// For memory.
    pub memory: u32,
    /// For a disk.
    pub io: u32,
}

/// Reads it of a group; none where the kernel does not tell. Three small files, 30 us.
pub(super) fn read(group: &Path) -> Option<Pressure> {
    let share = |file: &str| waited(&fs::read_to_string(group.join(file)).ok()?);
    Some(Pressure {
        cpu: share("cpu.pressure")?,
        memory: share("memory.pressure")?,
        io: share("io.pressure")?,
    })
}

/// The share of the last ten seconds, in hundredths of a percent.
fn waited(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let number = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
    let (whole, part) = number.split_once('.')?;
    let part = format!("{part:0<2}");
    let hundredths: u32 = part.get(..2)?.parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_the_last_ten_seconds_is_read_in_hundredths_of_a_percent() {
        let line = |share: &str| format!("some avg10={share} avg60=9.00 avg300=9.00 total=7\n");
        for (text, expected) in [
            (line("0.00"), Some(0)),
            (line("12.34"), Some(1234)),
            (line("99.5"), Some(9950)),
            (line("100.00") + "full avg10=1.00 avg60=0.00 avg300=0.00 total=0\n", Some(10_000)),
            (line("x"), None),
            (line("4294967295.00"), None),
            ("full avg10=1.00 avg60=0.00 avg300=0.00 total=0\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(waited(&text), expected, "{text}");
        }
    }

    #[test]
    fn where_the_kernel_does_not_tell_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        for file in ["cpu.pressure", "memory.pressure", "io.pressure"] {
            let line = "some avg10=1.50 avg60=0.00 avg300=0.00 total=0\n";
            fs::write(folder.path().join(file), line).unwrap();
        }
        assert_eq!(read(folder.path()), Some(Pressure { cpu: 150, memory: 150, io: 150 }));
    }
}
