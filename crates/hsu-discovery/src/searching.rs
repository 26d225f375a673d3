//! Searching: the thread that looks for the processes of all workers, each when it is due.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hsu_model::discovery::{Discovery, Sighting};
use hsu_model::id::WorkerId;
use hsu_model::process::ProcessKey;

use crate::kin::Kin;
use crate::searcher::Searcher;

/// The first rest after somebody asked to look; each further one is twice as long, up to
/// the worker's own interval.
const FIRST_REST: Duration = Duration::from_millis(50);
/// Looks that are due within this time are made together.
const TOGETHER: Duration = Duration::from_millis(20);

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// For which worker.
    pub worker: WorkerId,
    /// What was seen.
    pub sighting: Sighting,
}

enum Order {
    LookFor(WorkerId, Box<Discovery>),
    LookNow(WorkerId),
    Forget(WorkerId),
    Attached(WorkerId, ProcessKey),
    Released(WorkerId, ProcessKey),
    Keeper(u32),
}

/// The thread that searches. It ends with this value.
pub struct Searching {
    /// Unbounded on purpose: an order is a few words, and follows a decision.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Searching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Searching").finish_non_exhaustive()
    }
}

impl Searching {
    /// Starts the thread; `tell` hears every sighting that differs from the one before, and
    /// each one with a process that fits and is not attached to the worker: what kept it
    /// from being taken may be over.
    ///
    /// # Errors
    /// The kernel's when it has no more threads.
    pub fn start(tell: impl Fn(Told) + Send + 'static) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let work = Work { searcher: Searcher::new(Kin::new(0)), due: BTreeMap::new(), tell };
        let thread = std::thread::Builder::new()
            .name("hsu-search".to_owned())
            .spawn(move || work.run(&receiver))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Looks for a worker's process, at once and then each interval.
    pub fn look_for(&self, worker: WorkerId, what: Discovery) {
        self.send(Order::LookFor(worker, Box::new(what)));
    }

    /// Looks at once for a worker that is looked for already.
    pub fn look_now(&self, worker: WorkerId) {
        self.send(Order::LookNow(worker));
    }

    /// Looks for a worker's process no more.
    pub fn forget(&self, worker: WorkerId) {
        self.send(Order::Forget(worker));
    }

    /// A process is attached to a worker.
    pub fn attached(&self, worker: WorkerId, process: ProcessKey) {
        self.send(Order::Attached(worker, process));
    }

    /// A process is attached to a worker no more.
    pub fn released(&self, worker: WorkerId, process: ProcessKey) {
        self.send(Order::Released(worker, process));
    }

    /// Everything below this keeper is ours.
    pub fn set_keeper(&self, pid: u32) {
        self.send(Order::Keeper(pid));
    }

    fn send(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after the sender is dropped.
            drop(orders.send(order));
        }
    }
}

impl Drop for Searching {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A thread that had crashed has told so by its panic.
            drop(thread.join());
        }
    }
}

/// When a worker is looked for next.
struct Due {
    at: Instant,
    rest: Duration,
    interval: Duration,
    told: Option<Sighting>,
}

struct Work<T> {
    searcher: Searcher,
    due: BTreeMap<WorkerId, Due>,
    tell: T,
}

impl<T: Fn(Told)> Work<T> {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let next = self.due.values().map(|due| due.at).min();
            let order = match next {
                Some(at) => orders.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for order in orders.try_iter() {
                self.take(order);
            }
            self.look();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::LookFor(worker, what) => {
                if let Err(error) = self.searcher.look_for(worker.clone(), &what) {
                    let note = format!("its pattern cannot be used: {error}");
                    let sighting = Sighting { note, is_blind: true, ..Sighting::default() };
                    return (self.tell)(Told { worker, sighting });
                }
                let (rest, interval) = (FIRST_REST, what.check_interval);
                let due = Due { at: Instant::now(), rest, interval, told: None };
                self.due.insert(worker, due);
            }
            Order::LookNow(worker) => {
                if let Some(due) = self.due.get_mut(&worker) {
                    (due.at, due.rest, due.told) = (Instant::now(), FIRST_REST, None);
                }
            }
            Order::Forget(worker) => {
                self.searcher.forget(&worker);
                self.due.remove(&worker);
            }
            Order::Attached(worker, process) => {
                self.searcher.attach(&worker, process);
                // Nothing is missing: it is looked for in its own time.
                if let Some(due) = self.due.get_mut(&worker) {
                    due.rest = due.interval;
                    due.at = Instant::now() + due.interval;
                }
            }
            Order::Released(worker, process) => self.searcher.release(&worker, process),
            Order::Keeper(pid) => self.searcher.set_kin(Kin::new(pid)),
        }
    }

    /// Looks for every worker that is due.
    fn look(&mut self) {
        let soon = Instant::now() + TOGETHER;
        let is_due = self.due.values().any(|due| due.at <= Instant::now());
        if !is_due {
            return;
        }
        let workers: Vec<_> =
            self.due.iter().filter(|(_, due)| due.at <= soon).map(|(id, _)| id.clone()).collect();
        for (worker, sighting) in self.searcher.pass(&workers) {
            let Some(due) = self.due.get_mut(&worker) else { continue };
            due.at = Instant::now() + due.rest;
            due.rest = (due.rest * 2).min(due.interval);
            let is_open = self.searcher.is_open(&worker, &sighting);
            if is_open || due.told.as_ref() != Some(&sighting) {
                due.told = Some(sighting.clone());
                (self.tell)(Told { worker, sighting });
            }
        }
    }
}
