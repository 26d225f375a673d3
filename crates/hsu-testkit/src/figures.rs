//! Figures: what one process costs the host at this moment.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::process::Process;

/// One look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// CPU time since its start, its own and the kernel's for it. To 10 ms.
    pub cpu: Duration,
    /// Memory in RAM, in bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Figures {
    /// Looks at a process; none when it is gone.
    #[must_use]
    pub fn of(process: &Process) -> Option<Self> {
        let folder = Path::new("/proc").join(process.outer_pid.to_string());
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // Source: proc_pid_stat(5), fields 14 and 15, in clock ticks.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ').skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let cpu = Duration::from_millis((ticks()? + ticks()?) * 10);
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let field = |name: &str| -> Option<u64> {
            let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let entries = fs::read_dir(folder.join("fd")).ok()?;
        let descriptors = u64::try_from(entries.count()).ok()?;
        let resident = field("VmRSS:")? << 10;
        Some(Self { cpu, resident, descriptors, threads: field("Threads:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_costs_memory_and_has_a_thread() {
        let ourselves = Process::read(std::process::id()).expect("this process");
        let figures = Figures::of(&ourselves).expect("it lives");
        assert!(figures.resident > 100 << 10, "{figures:?}");
        assert!(figures.threads >= 1 && figures.descriptors >= 3, "{figures:?}");
    }
}
