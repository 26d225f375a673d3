//! Hold: a process that a search saw is taken hold of, and only if it is still that one.

use hsu_model::discovery::ProgramId;
use hsu_model::process::ProcessKey;
use hsu_sys::census;
use hsu_sys::process::ProcessHandle;

/// Why a process cannot be held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// It has ended, or the PID is another's by now.
    #[error("the process is gone")]
    Gone,
    /// It runs another program by now.
    #[error("PID {0} runs another program by now")]
    AnotherProgram(u32),
    /// It is somebody else's.
    #[error("PID {pid} belongs to user {owner}, and this master is user {own} and not root")]
    Foreign {
        /// The process.
        pid: u32,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// The kernel says no.
    #[error("PID {pid} cannot be held: {reason}")]
    Refused {
        /// The process.
        pid: u32,
        /// Why.
        reason: String,
    },
}

/// Takes hold of a process: the hold first, then everything is compared, and then it is
/// asked once more whether it lives. Whatever becomes of its PID afterwards, the hold is
/// on this process.
///
/// # Errors
/// [`HoldError`].
pub fn hold(process: ProcessKey, program: ProgramId) -> Result<ProcessHandle, HoldError> {
    let pid = process.pid;
    let refused = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return HoldError::Gone;
        }
        HoldError::Refused { pid, reason: error.to_string() }
    };
    let handle = ProcessHandle::open(process).map_err(refused)?;
    let owner = census::owner(pid).map_err(refused)?;
    let own = hsu_sys::users::effective();
    if own != 0 && own != owner {
        return Err(HoldError::Foreign { pid, owner, own });
    }
    let present = match census::program(pid) {
        Ok(program) => program,
        // It has let go of its memory, and is about to be gone.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(HoldError::Gone),
        // What may not be seen now was not seen by the search either.
        Err(_) => ProgramId::default(),
    };
    if handle.has_exited() {
        return Err(HoldError::Gone);
    }
    if present != program {
        return Err(HoldError::AnotherProgram(pid));
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_held_and_another_start_or_program_under_its_pid_is_not() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        // Between fork and exec it would still be this very program.
        let program = loop {
            let program = census::program(child.id()).unwrap();
            if program != census::program(std::process::id()).unwrap() {
                break program;
            }
        };
        let process = hsu_sys::process::identify(child.id()).unwrap();
        hold(process, program).unwrap();
        let recycled = ProcessKey { started_at: process.started_at + 1, ..process };
        assert_eq!(hold(recycled, program).unwrap_err(), HoldError::Gone);
        let other = ProgramId { inode: program.inode + 1, ..program };
        assert_eq!(hold(process, other).unwrap_err(), HoldError::AnotherProgram(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(hold(process, program).unwrap_err(), HoldError::Gone);
    }
}
