//! Programs: run for their exit code, in a group and a cell of their own, and killed
//! whole at the timeout. A few at once; the others wait their turn.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hsu_model::health::probe::Exec;
use hsu_sys::brief::{self, Brief, Ending};
use hsu_sys::path::{LookupError, find_program};
use hsu_sys::tree::Cells;
use tokio::sync::Semaphore;

use crate::look::{Looked, MOST_BODY, Seen, Tools, Trouble};
use crate::pattern::shown;
use crate::prober::Subject;

/// Programs that run at once.
const AT_ONCE: usize = 16;

/// Cells, and turns at them.
#[derive(Debug)]
pub(crate) struct Programs {
    cells: Cells,
    free: Mutex<Vec<usize>>,
    pub(crate) turns: Arc<Semaphore>,
}

impl Programs {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            cells: Cells::detect(&format!("{name}-checks")),
            free: Mutex::new((0..AT_ONCE).collect()),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

/// Says that an answer is not wanted any more, when it is dropped.
struct Want(Arc<AtomicBool>);

impl Drop for Want {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

pub(crate) async fn look(
    tools: &Arc<Tools>,
    wanted: &Exec,
    subject: &Subject,
    deadline: Instant,
) -> Looked {
    let brief = prepare(wanted, subject, deadline)?;
    let is_wanted = Arc::new(AtomicBool::new(true));
    let want = Want(Arc::clone(&is_wanted));
    // The check is not made again before the program is gone.
    let lease = subject.lease.clone();
    let theirs = Arc::clone(tools);
    let running = tokio::task::spawn_blocking(move || {
        let _lease = lease;
        run(&theirs.programs, &brief, &is_wanted)
    });
    let answer = running.await;
    drop(want);
    let answer = answer.map_err(|error| Trouble::Unable(error.to_string()))?;
    judge(tools, wanted, answer)
}

fn run(
    programs: &Programs,
    brief: &Brief,
    is_wanted: &AtomicBool,
) -> std::io::Result<brief::Answer> {
    let take = || programs.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let number = take().unwrap_or(AT_ONCE);
    let cell = programs.cells.cell(number);
    let answer = brief::run(brief, &cell, &|| is_wanted.load(Ordering::Relaxed));
    drop(cell);
    programs.free.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    answer
}

fn prepare(wanted: &Exec, subject: &Subject, deadline: Instant) -> Result<Brief, Trouble> {
    let Some(around) = &subject.surroundings else {
        return Err(Trouble::Unable("nothing is known of where it should run".to_owned()));
    };
    let around = around.as_ref().as_ref().map_err(|why| Trouble::Unable(why.clone()))?;
    let mut environment = around.environment.clone();
    let own = [
        ("HSU_CHECK_WORKER", subject.worker.as_str().to_owned()),
        ("HSU_CHECK_RUN", subject.run.to_string()),
        ("HSU_CHECK_PID", subject.process.map_or_else(String::new, |key| key.pid.to_string())),
    ];
    environment.extend(own.map(|(name, value)| (OsString::from(name), OsString::from(value))));
    let declared = wanted.environment.iter();
    environment.extend(declared.map(|(name, value)| (name.into(), value.into())));
    let folder = wanted.working_directory.as_ref().map(PathBuf::from);
    let folder = folder.or_else(|| around.folder.clone());
    let search = environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path);
    let current = folder.clone().unwrap_or_else(|| PathBuf::from("/"));
    let program =
        find_program(Path::new(&wanted.program), search.map(OsString::as_os_str), &current)
            .map_err(|error| Trouble::Bad(no_program(&error)))?;
    Ok(Brief {
        program,
        args: wanted.args.clone(),
        environment,
        folder,
        identity: around.identity.clone(),
        input: wanted.input.as_ref().map(|text| text.clone().into_bytes()),
        timeout: deadline.saturating_duration_since(Instant::now()),
        keep: MOST_BODY,
    })
}

/// Why there is no program, with the keys of a check and not those of a worker.
fn no_program(error: &LookupError) -> String {
    match error {
        LookupError::Missing { path } => format!(
            "no program at {} (hint: check `command`, or the `interpreter` of a script)",
            path.display()
        ),
        LookupError::NotExecutable { path } => {
            format!("{} has no permission to be executed (hint: chmod +x)", path.display())
        }
        LookupError::NotInPath { .. }
        | LookupError::Folder { .. }
        | LookupError::NotAFile { .. }
        | LookupError::Io { .. }
        | _ => error.to_string(),
    }
}

fn judge(tools: &Tools, wanted: &Exec, answer: std::io::Result<brief::Answer>) -> Looked {
    let answer = answer.map_err(|error| Trouble::Bad(format!("cannot be started: {error}")))?;
    let said = match answer.output.trim_ascii() {
        [] => String::new(),
        output => format!(", and said {}", shown(output)),
    };
    let code = match answer.ending {
        Ending::Code(code) => code,
        Ending::Signal(number) => {
            return Err(Trouble::Bad(format!("was ended by signal {number}{said}")));
        }
        Ending::Overdue => {
            return Err(Trouble::Bad(format!("took too long and was killed{said}")));
        }
        Ending::Unwanted => return Err(Trouble::Unable("was not waited for".to_owned())),
    };
    if !wanted.codes.contains(&code) {
        return Err(Trouble::Bad(format!("exit code {code}{said}")));
    }
    tools.patterns.expect(wanted.expect.as_ref(), "the output", &answer.output)?;
    let note = format!("exit code {code}{said}");
    Ok(Seen { note, text: answer.output, status: Some(i64::from(code)), ..Seen::default() })
}
