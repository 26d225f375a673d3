//! The crowd: strangers that come and go, and tell when somebody signals them.
//!
//! Each stranger sleeps for a few milliseconds in a group of its own and exits
//! with 0. A signal that ends or stops one is seen by its parent, which is this
//! process: no handler of a stranger has to be trusted.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, WaitStatus, kill_process, wait};

/// The rest after the kernel had no process to give.
const REST: Duration = Duration::from_millis(5);

/// Keeps `size` strangers alive until this process is killed.
pub(crate) fn run(size: u32, log: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let mut births_path = log.as_os_str().to_owned();
    births_path.push(".births");
    let births_file = File::create(births_path)?;
    let mut crowd = Crowd { births: 0, alive: 0 };
    loop {
        while crowd.alive < size && crowd.bear() {}
        births_file.write_all_at(format!("{:020}\n", crowd.births).as_bytes(), 0)?;
        match wait(WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) => {
                crowd.alive -= u32::from(!status.stopped());
                if status.exit_status() != Some(0) {
                    note(log, pid.as_raw_nonzero().get(), status)?;
                }
                if status.stopped() {
                    // It may have been ended meanwhile, which is noted next.
                    let _ = kill_process(pid, Signal::CONT);
                }
            }
            // No process could be had for a while.
            Ok(None) | Err(Errno::CHILD | Errno::INTR) => thread::sleep(REST),
            Err(error) => return Err(error.into()),
        }
    }
}

struct Crowd {
    births: u64,
    alive: u32,
}

impl Crowd {
    /// Starts another stranger; whether there was a process to be had.
    fn bear(&mut self) -> bool {
        let life = format!("0.0{:02}", 5 + self.births % 25);
        let mut command = Command::new("/bin/sleep");
        command.arg(life).process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let is_born = command.spawn().is_ok();
        self.births += u64::from(is_born);
        self.alive += u32::from(is_born);
        is_born
    }
}

fn note(log: &Path, pid: i32, status: WaitStatus) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(log)?;
    file.write_all(format!("stranger {pid}: {status:?}\n").as_bytes())
}
