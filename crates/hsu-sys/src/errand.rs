//! Errands: a short program that is run for the master itself, and ended when it takes
//! too long.

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::{ProcessHandle, identify};

/// The rest between two looks at whether it has ended.
const REST: Duration = Duration::from_millis(5);

/// Errands that are under way.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Whether a child of ours is waited for by whoever started it.
pub(crate) fn is_under_way() -> bool {
    UNDER_WAY.load(Ordering::SeqCst) > 0
}

/// An errand that is under way; after the last one, everything that has ended is reaped.
struct UnderWay;

impl UnderWay {
    fn begin() -> Self {
        UNDER_WAY.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if UNDER_WAY.fetch_sub(1, Ordering::SeqCst) == 1 {
            crate::process::reap_children();
        }
    }
}

/// Why an errand was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrandError {
    /// There is no program to run.
    #[error("no program was named")]
    Empty,
    /// It cannot be run.
    #[error("`{program}` cannot be run: {reason}")]
    NotStarted {
        /// The program.
        program: String,
        /// The system's words.
        reason: String,
    },
    /// It has failed.
    #[error("`{program}` failed: {status}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
    },
    /// It took too long, and was killed with what it had started.
    #[error("`{program}` took longer than {limit:?} and was killed")]
    Overdue {
        /// The program.
        program: String,
        /// How long it might take.
        limit: Duration,
    },
}

/// Runs a program with this input and waits for it, no longer than this.
///
/// # Errors
/// [`ErrandError`].
pub fn run(
    words: &[String],
    variables: &[(&str, &str)],
    input: &[u8],
    limit: Duration,
) -> Result<(), ErrandError> {
    let (program, arguments) = words.split_first().ok_or(ErrandError::Empty)?;
    let refused = |error: io::Error| ErrandError::NotStarted {
        program: program.clone(),
        reason: error.to_string(),
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let _under_way = UnderWay::begin();
    let mut child = command.spawn().map_err(refused)?;
    let hold = identify(child.id()).and_then(ProcessHandle::open);
    let begin = Instant::now();
    if let Some(mut stdin) = child.stdin.take() {
        // It fits into the pipe; a program that does not read it does not hold us.
        drop(stdin.write_all(input));
    }
    while begin.elapsed() < limit {
        match has_ended(&mut child) {
            Some(status) if status.is_empty() => return Ok(()),
            Some(status) => return Err(ErrandError::Failed { program: program.clone(), status }),
            None => std::thread::sleep(REST),
        }
    }
    if let Ok(hold) = hold {
        crate::limits::end_family(child.id());
        drop(hold.signal(9));
        drop(child.try_wait());
    }
    Err(ErrandError::Overdue { program: program.clone(), limit })
}

/// How it ended, when it has; an empty text is success.
fn has_ended(child: &mut Child) -> Option<String> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) if status.success() => Some(String::new()),
        Ok(Some(status)) => Some(status.to_string()),
        // Somebody has reaped it at the very moment: nobody can say that it failed.
        Err(_) => Some(String::new()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(line: &str, limit: Duration) -> Result<(), ErrandError> {
        let words = ["/bin/sh", "-c", line].map(str::to_owned);
        run(&words, &[("WORD", "yes")], b"input\n", limit)
    }

    #[test]
    fn a_program_gets_its_variables_and_its_input() {
        let line = "read -r line; test \"$line\" = input && test \"$WORD\" = yes";
        shell(line, Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn a_program_that_fails_or_is_not_there_or_takes_too_long_is_told_apart() {
        let failed = shell("exit 3", Duration::from_secs(20)).unwrap_err();
        assert!(matches!(failed, ErrandError::Failed { .. }), "{failed}");
        let words = ["/no/such/program".to_owned()];
        let absent = run(&words, &[], b"", Duration::from_secs(20)).unwrap_err();
        assert!(matches!(absent, ErrandError::NotStarted { .. }), "{absent}");
        let slow = shell("sleep 1000 & sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(slow, ErrandError::Overdue { .. }), "{slow}");
        assert!(matches!(run(&[], &[], b"", Duration::ZERO), Err(ErrandError::Empty)));
    }
}
