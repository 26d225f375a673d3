//! Chores: small blocking work that no decision waits for.
//!
//! PID files, cgroups and the search for leftovers touch the file system, so
//! one thread does them, in order, beside the loop. Each chore that the loop
//! must know the end of is answered with a [`Report`].

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_sys::process::ProcessHandle;
use hsu_sys::tree::{Enclosure, Kill, Tree, Trees};
use tracing::warn;

use crate::pid_files::PidFiles;
use crate::request::Requests;

/// So many chores come of hundreds of starts or stops, whose requests and answers
/// have left holes in the heap.
const BURST: u32 = 512;
/// A start may wait for a kill, and so for no more than this: some milliseconds.
const CONTAINED_TOGETHER: usize = 64;

/// One piece of work.
#[derive(Debug)]
pub(crate) enum Chore {
    /// The PID file of a worker shall hold this, or be gone.
    PidFile {
        /// Where.
        path: PathBuf,
        /// The PID.
        pid: Option<u32>,
    },
    /// What could be put off is done now: another master takes over.
    Hurry,
    /// Put the tree of a run where it can be killed as one.
    Contain {
        /// Its worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Its process.
        process: ProcessKey,
    },
    /// Kill a process that somebody else started, and everything below it.
    KillFamily {
        /// The process.
        process: ProcessKey,
        /// Our hold on it.
        handle: Arc<ProcessHandle>,
    },
    /// Kill everything that belongs to a run.
    KillTree(Kill),
}

/// What the loop is told.
#[derive(Debug)]
pub(crate) enum Report {
    /// A run was killed.
    Killed {
        /// Its worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// What is left of it.
        survivors: Vec<u32>,
        /// What it had left behind when it ended by itself, and was killed.
        left_behind: usize,
    },
    /// From now on one look tells whether anything is left of a run.
    Contained(Enclosure),
}

/// The thread that does chores.
#[derive(Debug)]
pub(crate) struct Chores {
    /// Unbounded on purpose: a chore is a few words, there are at most a few for
    /// each transition of a worker, and the loop must never wait for a disk.
    sender: Option<Sender<Chore>>,
    /// One report for each kill and each run that is contained, so it is bounded by them.
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
}

impl Chores {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's error when it has no more threads.
    pub(crate) fn start(
        trees: Trees,
        keeper: Arc<AtomicU32>,
        requests: Requests,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel::<Chore>();
        let (reporter, reports) = channel();
        let (kills, contains) = (Vec::new(), VecDeque::new());
        let pid_files = PidFiles::default();
        let work = Work { trees, keeper, requests, reporter, kills, contains, pid_files };
        let thread = std::thread::Builder::new()
            .name("hsu-chores".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || work.run(&receiver))?;
        Ok(Self { sender: Some(sender), reports, thread: Some(thread) })
    }

    /// The next report, when there is one.
    pub(crate) fn report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// Adds a chore.
    pub(crate) fn add(&self, chore: Chore) {
        if let Some(sender) = &self.sender {
            // The thread ends only after the sender is dropped.
            let _ = sender.send(chore);
        }
    }
}

impl Drop for Chores {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread for chores had crashed");
        }
    }
}

/// What the thread works on.
struct Work {
    trees: Trees,
    keeper: Arc<AtomicU32>,
    requests: Requests,
    reporter: Sender<Report>,
    kills: Vec<Kill>,
    contains: VecDeque<Tree>,
    pid_files: PidFiles,
}

impl Work {
    fn run(mut self, chores: &Receiver<Chore>) {
        // The start of a master is a burst, however few its workers are.
        let mut since_trim = BURST;
        loop {
            let first = self.next(chores);
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                self.pid_files.hurry(Instant::now());
                if self.is_idle() {
                    return;
                }
            }
            for chore in first.into_iter().chain(chores.try_iter()) {
                since_trim += 1;
                self.begin(chore);
            }
            self.trees.set_keeper(self.keeper.load(Ordering::Relaxed));
            self.kill();
            self.contain();
            self.pid_files.tend(Instant::now());
            if since_trim >= BURST && self.is_idle() {
                since_trim = 0;
                hsu_sys::memory::give_back();
            }
        }
    }

    /// Whether nothing waits to be done here.
    fn is_idle(&self) -> bool {
        self.contains.is_empty() && self.pid_files.due().is_none()
    }

    /// The next chore, unless something is due before it comes.
    fn next(&self, chores: &Receiver<Chore>) -> Result<Chore, RecvTimeoutError> {
        if !self.contains.is_empty() {
            return chores.recv_timeout(Duration::ZERO);
        }
        match self.pid_files.due() {
            Some(due) => chores.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => Ok(chores.recv()?),
        }
    }

    fn begin(&mut self, chore: Chore) {
        match chore {
            Chore::PidFile { path, pid: Some(pid) } => {
                self.pid_files.write(path, pid, Instant::now());
            }
            Chore::PidFile { path, pid: None } => self.pid_files.remove(path),
            Chore::Hurry => self.pid_files.hurry(Instant::now()),
            Chore::Contain { worker, run, process } => {
                self.contains.push_back(Tree { worker, run, process });
            }
            Chore::KillFamily { process, handle } => {
                hsu_discovery::family::kill(process, &handle);
            }
            Chore::KillTree(kill) => self.kills.push(kill),
        }
    }

    /// Whatever has come together is killed together: one look at the processes
    /// serves every kill of a mass stop.
    fn kill(&mut self) {
        let kills = std::mem::take(&mut self.kills);
        if !kills.is_empty() {
            let left = kills.iter().zip(self.trees.kill(&kills));
            let killed = left.map(|(kill, fate)| Report::Killed {
                worker: kill.worker.clone(),
                run: fate.run,
                survivors: fate.survivors,
                // A kill of everything is the end of a stop, which began with all of them.
                left_behind: if kill.whole { 0 } else { fate.killed },
            });
            self.report(killed);
        }
    }

    fn contain(&mut self) {
        let some = self.contains.len().min(CONTAINED_TOGETHER);
        let trees: Vec<Tree> = self.contains.drain(..some).collect();
        let enclosures = self.trees.contain(&trees);
        if !enclosures.is_empty() {
            self.report(enclosures.into_iter().map(Report::Contained));
        }
    }

    fn report(&self, reports: impl Iterator<Item = Report>) {
        for report in reports {
            // A loop that has ended needs no report.
            let _ = self.reporter.send(report);
        }
        self.requests.wake();
    }
}
