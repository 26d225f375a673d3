//! The process of the worker: whether it is there, and whether it can react.

use std::io::ErrorKind;

use hsu_sys::process::{Activity, activity};

use crate::look::{Looked, Seen, Trouble, trouble};
use crate::prober::Subject;

/// Looks at the very process, never at another one of the same PID.
pub(crate) fn look(subject: &Subject) -> Looked {
    let Some(process) = subject.process else {
        return Err(Trouble::bad("it has no process"));
    };
    let pid = process.pid;
    match activity(process) {
        Ok(Activity::Able) => Ok(Seen::note(format!("process {pid} is there"))),
        Ok(Activity::Stopped) => Err(Trouble::Bad(format!("process {pid} is stopped"))),
        Ok(Activity::Blocked) => {
            Err(Trouble::Bad(format!("process {pid} waits for the kernel and cannot react")))
        }
        Ok(Activity::Ended) => Err(Trouble::Bad(format!("process {pid} has ended"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Trouble::Bad(format!("process {pid} is gone")))
        }
        Err(error) => Err(trouble("the process cannot be looked at", &error)),
    }
}
