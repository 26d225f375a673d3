//! Starting a keeper, from the master.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::KeeperPlan;

/// Starts a keeper; it takes its lock and listens a moment later. Returns its PID.
///
/// # Errors
/// The kernel's, when the executable cannot be started.
pub fn start(plan: &KeeperPlan) -> io::Result<u32> {
    let child = Command::new(&plan.executable)
        .arg("keep")
        .arg("--runtime")
        .arg(&plan.runtime)
        .arg("--spools")
        .arg(&plan.spools)
        .stdin(Stdio::null())
        .current_dir("/")
        // Signals from the master's terminal are for the master.
        .process_group(0)
        .spawn()?;
    Ok(child.id())
}
