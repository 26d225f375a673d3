//! Starting a keeper, from the master.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::KeeperPlan;
use crate::channel::Channel;
use crate::link::socket_pair;
use crate::protocol::{FromKeeper, Program, Role, ToKeeper, VERSION};

/// Starts a keeper; it takes its lock and listens a moment later. Returns its PID.
///
/// `relaunch` is how this master is started again. The keeper is born with it, so a
/// master that is lost before it has connected is no loss.
///
/// # Errors
/// The kernel's, when the executable cannot be started.
pub fn start(plan: &KeeperPlan, relaunch: &Program) -> io::Result<u32> {
    let child = Command::new(&plan.executable)
        .arg("keep")
        .arg("--runtime")
        .arg(&plan.runtime)
        .arg("--spools")
        .arg(&plan.spools)
        .stdin(first_words(relaunch)?)
        .current_dir("/")
        // Signals from the master's terminal are for the master.
        .process_group(0)
        .spawn()?;
    Ok(child.id())
}

/// A connection in which this master has said hello already, and says no more.
fn first_words(relaunch: &Program) -> io::Result<Stdio> {
    let (ours, theirs) = socket_pair()?;
    let mut channel = Channel::<ToKeeper, FromKeeper>::new(ours);
    channel.queue(ToKeeper::Hello {
        role: Role::Master,
        version: VERSION,
        relaunch: relaunch.clone(),
    });
    channel.flush()?;
    Ok(theirs.into())
}
