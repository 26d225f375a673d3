//! The engine: one thread that writes every formatted output.
//!
//! It sleeps until [`Engine::wake`] says that a spool grew, reads what is there,
//! writes it, and makes it count with one append to the cursors. A stuck output
//! (a full disk, a console that nobody reads) is tried again within a second and
//! holds up no other; its lines wait in their spools.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hsu_model::spool::SpoolId;

use crate::error::LogError;
use crate::format::Zone;
use crate::output::file::OpenFile;
use crate::plan::LogPlan;

mod outfit;
mod outputs;
mod status;
mod tap;
#[cfg(test)]
mod tests;
mod work;

pub use status::OutputStatus;

use outfit::{NextPlan, beginnings};
use status::Counters;
use work::Work;

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
    /// The zone in which times are written.
    pub zone: Zone,
    /// How files are opened.
    pub open: OpenFile,
    /// Is told when an output takes nothing any more, with the reason, and when it
    /// does again. Called by threads of the engine; must not block.
    pub trouble: Trouble,
}

type Told = dyn Fn(&str, Option<&str>) + Send + Sync;

/// Takes the name of an output, and why it takes nothing; none when it does again.
#[derive(Clone)]
pub struct Trouble(Arc<Told>);

impl Trouble {
    /// Tells this function.
    pub fn to(told: impl Fn(&str, Option<&str>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    /// Tells nobody.
    #[must_use]
    pub fn ignored() -> Self {
        Self::to(|_, _| {})
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trouble")
    }
}

/// A console of the master.
pub struct Console {
    /// Takes whole lines. It may block: only its own output waits for it.
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

/// What the rest of the master tells the thread.
#[derive(Debug, Default)]
struct Inbox {
    grew: BTreeSet<SpoolId>,
    all: bool,
    plan: Option<NextPlan>,
    /// Chunks that consoles have shown: output, inputs and up to where.
    shown: Vec<(String, Vec<(String, u64)>)>,
    stop_by: Option<Instant>,
}

/// The inbox, and the bell that wakes the thread.
#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    bell: Condvar,
    counters: Mutex<Vec<Arc<Counters>>>,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nobody panics while holding it, and what is in it stays true if they did.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox());
        self.bell.notify_one();
    }
}

/// The thread that writes formatted outputs.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    spools: PathBuf,
    known: Mutex<BTreeSet<SpoolId>>,
    thread: Option<JoinHandle<()>>,
    flushed: Mutex<Receiver<Flushed>>,
}

impl Engine {
    /// Notes where outputs that are new begin, and starts the thread.
    ///
    /// Call it before workers of the plan are spawned, so that new outputs begin
    /// with their first line, and after the socket for the pump's notices is
    /// bound: the engine looks at every spool once when it starts, and afterwards
    /// only when told.
    ///
    /// # Errors
    /// [`LogError`] when the cursors cannot be used or the thread cannot be made.
    /// An output that cannot be opened is no error: it is stuck and tried again.
    pub fn start(options: EngineOptions) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::default());
        let spools = options.spools.clone();
        let plan = options.plan.clone();
        let next = NextPlan { beginnings: beginnings(&plan, &spools, &BTreeSet::new()), plan };
        let known = Mutex::new(inputs_of(&next.plan));
        let work = Work::new(options, &next, Arc::clone(&shared))?;
        let (done, flushed) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("hsu-logs".to_owned())
            .spawn(move || {
                // Nobody may wait for the answer any more.
                let _ = done.send(work.run());
            })
            .map_err(|source| LogError::Thread { source })?;
        Ok(Self { shared, spools, known, thread: Some(thread), flushed: Mutex::new(flushed) })
    }

    /// Says that a spool grew. Never blocks; many calls before the thread wakes are one.
    pub fn wake(&self, spool: &SpoolId) {
        self.shared.tell(|inbox| {
            if !inbox.grew.contains(spool) {
                inbox.grew.insert(spool.clone());
            }
        });
    }

    /// Says that notices may have been lost: looks at every spool.
    pub fn wake_all(&self) {
        self.shared.tell(|inbox| inbox.all = true);
    }

    /// Works by another plan from now on. Lines of inputs that the plan no longer
    /// has are written first, as far as they are there. Inputs that are new begin
    /// where their spools are now: call it before their workers are spawned.
    pub fn update(&self, plan: LogPlan) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = beginnings(&plan, &self.spools, &known);
        *known = inputs_of(&plan);
        self.shared.tell(|inbox| {
            let mut next = inbox.plan.take().unwrap_or_default();
            for (spool, beginning) in fresh {
                next.beginnings.entry(spool).or_insert(beginning);
            }
            inbox.plan = Some(NextPlan { plan, ..next });
        });
    }

    /// How the outputs fare.
    #[must_use]
    pub fn status(&self) -> Vec<OutputStatus> {
        let counters = self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.iter().map(|counters| counters.status()).collect()
    }

    /// Writes what is in the spools, within `deadline`, and ends the thread.
    ///
    /// A line that has no end yet stays in its spool: the pump ends the lines of
    /// runs that are over.
    pub fn flush_and_stop(mut self, deadline: Duration) -> Flushed {
        self.stop(deadline)
    }

    fn stop(&mut self, deadline: Duration) -> Flushed {
        let Some(thread) = self.thread.take() else {
            return Flushed::Behind;
        };
        self.shared.tell(|inbox| inbox.stop_by = Some(Instant::now() + deadline));
        // The thread keeps to its deadline, unless the system holds it in a write.
        let grace = Duration::from_secs(1);
        let flushed = self.flushed.get_mut().unwrap_or_else(PoisonError::into_inner);
        match flushed.recv_timeout(deadline + grace) {
            Ok(flushed) => {
                // It has answered, so it is at its end.
                let _ = thread.join();
                flushed
            }
            Err(_) => Flushed::Behind,
        }
    }
}

const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Engine>();
};

/// The spools that a plan's outputs read.
fn inputs_of(plan: &LogPlan) -> BTreeSet<SpoolId> {
    let inputs = plan.outputs.iter().flat_map(|output| &output.inputs);
    inputs.map(|input| input.spool.clone()).collect()
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}
