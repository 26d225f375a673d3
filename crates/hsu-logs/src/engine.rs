//! The engine: one thread that writes every formatted output.
//!
//! It sleeps until [`Engine::wake`] says that a spool grew.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use hsu_model::spool::SpoolId;

use crate::error::LogError;
use crate::plan::{LogPlan, Sink};

/// What an engine works with.
#[derive(Debug)]
pub struct EngineOptions {
    /// What to write.
    pub plan: LogPlan,
    /// The folder of all spools.
    pub spools: PathBuf,
    /// The folder of its own cursors; made when missing.
    pub cursors: PathBuf,
    /// Where the output `master_stdout` goes.
    pub stdout: Console,
    /// Where the output `master_stderr` goes.
    pub stderr: Console,
}

/// A console of the master.
pub struct Console {
    /// Takes whole lines. It may block: only consoles wait for it.
    pub out: Box<dyn Write + Send>,
    /// What is behind it.
    pub kind: ConsoleKind,
}

/// What is behind a console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleKind {
    /// A person's terminal: control bytes are escaped.
    Terminal,
    /// A file, a pipe, the journal: bytes go as they came.
    Stream,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Console").field(&self.kind).finish()
    }
}

/// How far a stop came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Every whole line in every spool is in its outputs.
    All,
    /// Time ran out, or an output is stuck. The rest stays in the spools and is
    /// written by the next engine.
    Behind,
}

/// How one output fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputStatus {
    /// Which.
    pub sink: Sink,
    /// Why nothing is written at present, as text; none when all is well.
    pub stuck: Option<String>,
    /// Bytes of spools that were written by this engine.
    pub consumed: u64,
    /// Bytes of spools that were gone before they could be written.
    pub missed: u64,
}

/// The thread that writes formatted outputs.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Recovers every output and starts the thread.
    ///
    /// Bind the socket for the pump's notices before: the engine looks at every
    /// spool once when it starts, and afterwards only when told.
    ///
    /// # Errors
    /// [`LogError`] when the cursors' folder or the thread cannot be made. An
    /// output that cannot be opened is no error: it is stuck and tried again.
    pub fn start(options: EngineOptions) -> Result<Self, LogError> {
        let _ = options;
        Ok(Self {})
    }

    /// Says that a spool grew. Never blocks; many calls before the thread wakes are one.
    pub fn wake(&self, spool: &SpoolId) {
        let _ = spool;
    }

    /// Says that notices may have been lost: looks at every spool.
    pub fn wake_all(&self) {}

    /// Works by another plan from now on.
    pub fn update(&self, plan: LogPlan) {
        let _ = plan;
    }

    /// How the outputs fare.
    #[must_use]
    pub fn status(&self) -> Vec<OutputStatus> {
        Vec::new()
    }

    /// Writes what is in the spools, within `deadline`, and ends the thread.
    pub fn flush_and_stop(self, deadline: Duration) -> Flushed {
        let _ = deadline;
        Flushed::All
    }
}
