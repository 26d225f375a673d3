//! The warden: the thread that makes groups for workers with limits, looks at what
//! they use, and slows them down, so that the loop never waits for any of it.
//!
//! Deliberately absent: any judgement of what is seen (`hsu-core`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use hsu_core::effect::Slow;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::limits::Limits;
use hsu_model::process::ProcessKey;
use hsu_model::usage::Usage;
use hsu_store::UsageFile;
use hsu_sys::clock;
use hsu_sys::limits::{Enforcer, Permission, Prepared, Storage, Tally};
use tracing::warn;

use crate::request::Requests;
use crate::usage_board::UsageBoard;

/// One piece of work.
#[derive(Debug)]
pub(crate) enum Duty {
    /// Make the groups of a worker that is to be started.
    Prepare {
        /// The worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Its limits.
        limits: Arc<Limits>,
    },
    /// Take up the groups of a worker that an earlier master started.
    TakeUp {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        process: ProcessKey,
        /// Its limits.
        limits: Arc<Limits>,
    },
    /// Put a process that somebody else started under the limits of its worker.
    Enclose {
        /// The worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Its process.
        process: ProcessKey,
        /// Its limits.
        limits: Arc<Limits>,
        /// Whether anything may be put in force.
        permission: Permission,
    },
    /// Let such a process go on as it was.
    LetOut {
        /// The worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
    },
    /// Look at what a run uses.
    Measure {
        /// The worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// Its process.
        process: ProcessKey,
        /// Its limits.
        limits: Arc<Limits>,
    },
    /// Slow a run down, or let it go on.
    Throttle {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        process: ProcessKey,
        /// Its limits.
        limits: Arc<Limits>,
        /// Which of them.
        rule: usize,
        /// Down or not.
        how: Slow,
    },
    /// A run is over.
    End {
        /// The worker.
        worker: WorkerId,
    },
    /// Another master goes on: what is there stays.
    Leave,
}

/// What the loop is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// The groups of a worker are made.
    Prepared {
        /// The worker.
        worker: WorkerId,
        /// The run.
        run: RunId,
        /// What its start needs.
        prepared: Prepared,
        /// What counts what the kernel does to it.
        tally: Option<Tally>,
    },
    /// The groups of a running worker are known.
    TakenUp {
        /// The worker.
        worker: WorkerId,
        /// What counts what the kernel does to it.
        tally: Option<Tally>,
    },
    /// What a run uses.
    Used {
        /// The run.
        run: RunId,
        /// What it uses.
        usage: Option<Usage>,
    },
    /// Something was not done as it was asked.
    Failed {
        /// For which worker.
        worker: WorkerId,
        /// What, and why.
        reason: String,
    },
}

/// The thread, and the ways to it.
#[derive(Debug)]
pub(crate) struct Warden {
    /// Unbounded on purpose: there are at most a few duties for each run that is watched,
    /// and the loop must never wait for a disk.
    sender: Option<Sender<Duty>>,
    messages: Receiver<Message>,
    reporter: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Warden {
    /// Starts the thread; records of usage go into this folder.
    ///
    /// # Errors
    /// The kernel's error when it has no more threads.
    pub(crate) fn start(
        enforcer: Enforcer,
        board: Arc<UsageBoard>,
        folder: PathBuf,
        requests: Requests,
    ) -> std::io::Result<Self> {
        let (sender, duties) = channel::<Duty>();
        let (reporter, messages) = channel();
        let own = reporter.clone();
        let thread = std::thread::Builder::new()
            .name("hsu-warden".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                let work = Work {
                    enforcer,
                    storage: Storage::start(),
                    board,
                    folder,
                    files: BTreeMap::new(),
                    slowed: BTreeMap::new(),
                    guests: BTreeMap::new(),
                    reporter,
                };
                work.run(&duties, &requests);
            })?;
        Ok(Self { sender: Some(sender), messages, reporter: own, thread: Some(thread) })
    }

    /// Adds a duty.
    pub(crate) fn add(&self, duty: Duty) {
        if let Some(sender) = &self.sender {
            // The thread ends only after the sender is dropped.
            let _ = sender.send(duty);
        }
    }

    /// Where others tell the loop what was not done.
    pub(crate) fn reporter(&self) -> Sender<Message> {
        self.reporter.clone()
    }

    /// The next message, when there is one.
    pub(crate) fn message(&self) -> Option<Message> {
        self.messages.try_recv().ok()
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that keeps limits had crashed");
        }
    }
}

/// What the thread works on.
struct Work {
    enforcer: Enforcer,
    storage: Storage,
    board: Arc<UsageBoard>,
    folder: PathBuf,
    files: BTreeMap<WorkerId, UsageFile>,
    /// By what each worker is slowed down, for each of its limits.
    slowed: BTreeMap<WorkerId, BTreeMap<usize, String>>,
    /// The runs of processes that somebody else started.
    guests: BTreeMap<WorkerId, BTreeSet<RunId>>,
    reporter: Sender<Message>,
}

impl Work {
    fn run(mut self, duties: &Receiver<Duty>, requests: &Requests) {
        while let Ok(first) = duties.recv() {
            for duty in std::iter::once(first).chain(duties.try_iter()) {
                self.perform(duty);
            }
            requests.wake();
        }
    }

    fn perform(&mut self, duty: Duty) {
        match duty {
            Duty::Prepare { worker, run, limits } => {
                let prepared = self.enforcer.prepare(&worker, &limits);
                let tally = self.enforcer.tally(&worker);
                self.post_mechanisms(&worker, &limits);
                self.tell(Message::Prepared { worker, run, prepared, tally });
            }
            Duty::TakeUp { worker, process, limits } => {
                let failures = self.enforcer.take_up(&worker, process, &limits);
                self.taken(worker, &limits, failures);
            }
            Duty::Enclose { worker, run, process, limits, permission } => {
                self.guests.entry(worker.clone()).or_default().insert(run);
                let failures = self.enforcer.enclose(&worker, process, &limits, permission);
                self.taken(worker, &limits, failures);
            }
            Duty::LetOut { worker, run } => self.let_out(worker, run),
            Duty::Measure { worker, run, process, limits } => {
                let usage = self.enforcer.measure(&worker, process, &limits, &self.storage);
                if let Some(usage) = &usage {
                    self.note(&worker, (run, process.pid), &limits, usage);
                }
                self.tell(Message::Used { run, usage });
            }
            Duty::Throttle { worker, process, limits, rule, how } => {
                self.throttle(worker, process, &limits, rule, how);
            }
            Duty::End { worker } => {
                self.slowed.remove(&worker);
                self.board.forget(&worker);
                self.files.remove(&worker);
                self.enforcer.end(&worker);
            }
            Duty::Leave => self.enforcer.leave(),
        }
    }

    /// The last of a worker's processes takes everything with it.
    fn let_out(&mut self, worker: WorkerId, run: RunId) {
        self.board.forget_run(&worker, run);
        let Some(runs) = self.guests.get_mut(&worker) else { return };
        runs.remove(&run);
        if runs.is_empty() {
            self.guests.remove(&worker);
            self.slowed.remove(&worker);
            self.board.stand(&worker, Vec::new());
            self.files.remove(&worker);
            self.enforcer.let_out(&worker);
        }
    }

    /// The groups of a running worker are known.
    fn taken(&self, worker: WorkerId, limits: &Limits, failures: Vec<String>) {
        for reason in failures {
            self.tell(Message::Failed { worker: worker.clone(), reason });
        }
        self.post_mechanisms(&worker, limits);
        let tally = self.enforcer.tally(&worker);
        self.tell(Message::TakenUp { worker, tally });
    }

    fn post_mechanisms(&self, worker: &WorkerId, limits: &Limits) {
        if let Some(mechanisms) = self.enforcer.mechanisms(worker, limits) {
            self.board.stand(worker, mechanisms);
        }
    }

    fn note(&mut self, worker: &WorkerId, run: (RunId, u32), limits: &Limits, usage: &Usage) {
        let now = clock::now();
        let slowed = self.slowed.get(worker).filter(|slowed| !slowed.is_empty());
        let slowed = slowed.map(|slowed| slowed.values().cloned().collect::<Vec<_>>().join(", "));
        let used = self.board.post(worker, run, now.wall, limits, usage, slowed);
        let Some(history) = limits.history else { return };
        if !self.files.contains_key(worker) {
            match UsageFile::open(&self.folder, worker, history) {
                Ok(file) => drop(self.files.insert(worker.clone(), file)),
                Err(error) => {
                    let reason = format!("its usage cannot be remembered: {error}");
                    return self.tell(Message::Failed { worker: worker.clone(), reason });
                }
            }
        }
        if let Some(file) = self.files.get_mut(worker) {
            // A full disk costs a record, and nothing else.
            drop(file.note(used.at, &record(&used)));
        }
    }

    fn throttle(
        &mut self,
        worker: WorkerId,
        process: ProcessKey,
        limits: &Limits,
        place: usize,
        how: Slow,
    ) {
        let Some(rule) = limits.rules.get(place) else { return };
        match how {
            Slow::Down => match self.enforcer.slow_down(&worker, process, rule) {
                Ok(by) => drop(self.slowed.entry(worker).or_default().insert(place, by)),
                Err(reason) => {
                    let reason = format!("it is not slowed down: {reason}");
                    self.tell(Message::Failed { worker, reason });
                }
            },
            Slow::Off => {
                let reasons = self.enforcer.let_go(&worker, process, limits, rule);
                self.post_mechanisms(&worker, limits);
                let slowed = self.slowed.entry(worker.clone()).or_default();
                slowed.remove(&place);
                // What is still exceeded goes on slowing it down.
                for other in slowed.clone().into_keys() {
                    self.throttle(worker.clone(), process, limits, other, Slow::Down);
                }
                for reason in reasons {
                    self.tell(Message::Failed { worker: worker.clone(), reason });
                }
            }
        }
    }

    fn tell(&self, message: Message) {
        // A loop that has ended needs no message.
        let _ = self.reporter.send(message);
    }
}

fn record(used: &crate::usage_board::Used) -> hsu_store::UsageRecord {
    hsu_store::UsageRecord {
        at: used.at,
        cpu: used.cpu,
        resident: used.resident,
        read: used.read,
        written: used.written,
        processes: used.processes,
        threads: used.threads,
    }
}
