//! The family: children that try to escape the one who stops the worker.
//!
//! There is no `fork` here: every relative is this program again, started with
//! an internal first argument, and does the escaping by itself.

use std::env;
use std::error::Error;
use std::io;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::setsid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The first argument that asks for a relative's role; the second is the role.
pub(crate) const OPTION: &str = "--child";

/// In the worker's own group.
const GROUP: &str = "group";
/// In a session of its own.
const SESSION: &str = "session";
/// The short-lived parent of a daemon.
const DAEMONIZER: &str = "daemonizer";
/// A node of a tree; a third argument says how many more there shall be below it.
const BOMB: &str = "bomb";
/// Says that SIGTERM is taken without ending.
const STUBBORN: &str = "stubborn";

/// Starts one child of each kind that a stop has to find.
pub(crate) fn start(ignore_term: bool) -> io::Result<()> {
    let manner = if ignore_term { STUBBORN } else { "" };
    for role in [GROUP, SESSION] {
        relative(role, manner)?;
    }
    start_daemon(ignore_term)
}

/// Starts a daemon: a child of a parent that is gone, in a session of its own.
pub(crate) fn start_daemon(ignore_term: bool) -> io::Result<()> {
    let manner = if ignore_term { STUBBORN } else { "" };
    relative(DAEMONIZER, manner)?.wait()?;
    Ok(())
}

/// Starts a tree of `count` processes, each in a session of its own.
pub(crate) fn explode(count: u32) -> io::Result<()> {
    // Two branches, so that the tree grows as fast as a real bomb does.
    let (left, right) = (count / 2, count - count / 2);
    for branch in [left, right] {
        if let Some(below) = branch.checked_sub(1) {
            relative(BOMB, &below.to_string())?;
        }
    }
    Ok(())
}

/// Starts `rate` children each second, at most 5000, whether or not the kernel lets it.
pub(crate) fn multiply(rate: u32) {
    if rate > 0 {
        thread::spawn(move || {
            for _ in 0..5000 {
                // A refusal is what a limit is for.
                drop(relative(GROUP, ""));
                thread::sleep(Duration::from_secs(1) / rate);
            }
        });
    }
}

/// The life of a relative.
pub(crate) fn run_child() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = env::args().skip(2);
    let role = words.next().unwrap_or_default();
    let extra = words.next().unwrap_or_default();
    match role.as_str() {
        GROUP => {}
        SESSION => drop(setsid()?),
        DAEMONIZER => {
            setsid()?;
            relative(GROUP, &extra)?;
            return Ok(ExitCode::SUCCESS);
        }
        BOMB => {
            setsid()?;
            explode(extra.parse()?)?;
        }
        _ => return Err(format!("no role {role:?}").into()),
    }
    if extra == STUBBORN {
        for _ in Signals::new([SIGTERM, SIGINT, SIGHUP])?.forever() {}
    }
    loop {
        thread::park();
    }
}

fn relative(role: &str, extra: &str) -> io::Result<Child> {
    Command::new(env::current_exe()?).args([OPTION, role, extra]).stdin(Stdio::null()).spawn()
}
