//! Chores: small blocking work that no decision waits for.
//!
//! PID files, cgroups and the search for leftovers touch the file system, so
//! one thread does them, in order, beside the loop. Each chore that the loop
//! must know the end of is answered with a [`Report`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::ProcessKey;
use hsu_sys::tree::{Kill, Tree, Trees};
use tracing::warn;

use crate::request::Requests;

/// So many chores come of hundreds of starts or stops, whose requests and answers
/// have left holes in the heap.
const BURST: u32 = 512;

/// One piece of work.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Write the PID file of a worker.
    WritePidFile {
        /// Where.
        path: PathBuf,
        /// The PID.
        pid: u32,
    },
    /// Remove the PID file of a worker.
    RemovePidFile {
        /// Where.
        path: PathBuf,
    },
    /// Put the tree of a run where it can be killed as one.
    Contain {
        /// Its worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Its process.
        process: ProcessKey,
    },
    /// Kill everything that belongs to a run.
    KillTree {
        /// Its worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Its process, when it still lives.
        process: Option<ProcessKey>,
        /// Whether the worker has no other run.
        whole: bool,
    },
}

/// What the loop is told.
#[derive(Debug)]
pub(crate) struct Report {
    /// Of which worker.
    pub(crate) worker: WorkerId,
    /// Which run was killed.
    pub(crate) run: RunId,
    /// What is left of it.
    pub(crate) survivors: Vec<u32>,
}

/// The thread that does chores.
#[derive(Debug)]
pub(crate) struct Chores {
    /// Unbounded on purpose: a chore is a few words, there are at most a few for
    /// each transition of a worker, and the loop must never wait for a disk.
    sender: Option<Sender<Chore>>,
    /// One report for each kill, so it is bounded by the kills.
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
}

impl Chores {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's error when it has no more threads.
    pub(crate) fn start(
        mut trees: Trees,
        keeper: Arc<AtomicU32>,
        requests: Requests,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel::<Chore>();
        let (reporter, reports) = channel();
        let work = move || {
            let mut since_trim = 0;
            while let Ok(first) = receiver.recv() {
                // Whatever has come together is done together: one look at the
                // processes serves every kill of a mass stop.
                let (mut kills, mut contained) = (Vec::new(), Vec::new());
                for chore in std::iter::once(first).chain(receiver.try_iter()) {
                    since_trim += 1;
                    perform(chore, &mut kills, &mut contained);
                }
                trees.set_keeper(keeper.load(Ordering::Relaxed));
                if !kills.is_empty() {
                    report(&kills, trees.kill(&kills), &reporter);
                    requests.wake();
                }
                trees.contain(&contained);
                if since_trim >= BURST {
                    since_trim = 0;
                    hsu_sys::heap::give_back();
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("hsu-chores".to_owned())
            .stack_size(128 * 1024)
            .spawn(work)?;
        Ok(Self { sender: Some(sender), reports, thread: Some(thread) })
    }

    /// What came of a kill, when one is over.
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

fn report(kills: &[Kill], left: Vec<(RunId, Vec<u32>)>, reporter: &Sender<Report>) {
    for (kill, (run, survivors)) in kills.iter().zip(left) {
        let report = Report { worker: kill.worker.clone(), run, survivors };
        // A loop that has ended needs no report.
        let _ = reporter.send(report);
    }
}

fn perform(chore: Chore, kills: &mut Vec<Kill>, contained: &mut Vec<Tree>) {
    match chore {
        Chore::WritePidFile { path, pid } => {
            if let Err(error) = hsu_sys::files::write_pid_file(&path, pid) {
                warn!(path = %path.display(), %error, "cannot write a PID file");
            }
        }
        Chore::RemovePidFile { path } => {
            if let Err(error) = hsu_sys::files::remove_pid_file(&path) {
                warn!(path = %path.display(), %error, "cannot remove a PID file");
            }
        }
        Chore::Contain { worker, run, process } => contained.push(Tree { worker, run, process }),
        Chore::KillTree { worker, run, process, whole } => {
            kills.push(Kill { worker, run, process, whole });
        }
    }
}
