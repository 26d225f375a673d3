//! The init of a sandbox: reaps every orphan, ends when its standard input does.
//!
//! The kernel kills a whole PID namespace with its first process. The test holds
//! the other end of standard input, so that the namespace cannot outlive it.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use rustix::process::{WaitOptions, wait};
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;

/// The first argument that asks for this role.
pub(crate) const OPTION: &str = "--init";

pub(crate) fn run() -> Result<ExitCode, Box<dyn Error>> {
    // Before the first child can end.
    let mut children = Signals::new([SIGCHLD])?;
    let (over, is_over) = mpsc::channel();
    thread::spawn(move || {
        // An error is an end too.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = over.send(());
    });
    thread::spawn(move || {
        for _ in children.forever() {
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        }
    });
    println!("ready");
    io::stdout().flush()?;
    is_over.recv()?;
    Ok(ExitCode::SUCCESS)
}
