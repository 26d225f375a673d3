//! The workshop: where processes are started, in a burst by several threads.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Hold, Keeper, Kin, Token};
use crate::descriptor::Descriptor;
use crate::inventory::{Held, Slot};
use crate::kernel::{self, Epoll};
use crate::protocol::{FromKeeper, Role, SpawnRequest, Stage};
use crate::spawn::{Failed, Launch, SPAWNERS, Spawner, Started};
use hsu_model::logs::Stream;

/// A start that is asked for.
#[derive(Debug)]
struct Job {
    place: usize,
    slot: &'static Slot,
    request: Box<SpawnRequest>,
}

/// A start that is over.
#[derive(Debug)]
struct Product {
    job: Job,
    result: Result<Started, Failed>,
}

/// Starters and what they share.
#[derive(Debug)]
pub(super) struct Workshop {
    bench: Arc<Bench>,
    own: Spawner,
    queued: Vec<Job>,
    limit: libc::rlimit,
    threads: usize,
    pub(super) under_way: usize,
}

#[derive(Debug)]
struct Bench {
    jobs: Mutex<VecDeque<Job>>,
    came: Condvar,
    products: Mutex<Vec<Product>>,
    done: OwnedFd,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workshop {
    pub(super) fn open(limit: libc::rlimit, epoll: &Epoll) -> io::Result<Self> {
        let done = kernel::event_descriptor()?;
        epoll.add(done.as_fd(), Token::Workshop.number())?;
        let bench = Arc::new(Bench {
            jobs: Mutex::new(VecDeque::new()),
            came: Condvar::new(),
            products: Mutex::new(Vec::new()),
            done,
        });
        Ok(Self {
            bench,
            own: Spawner::new(0, limit),
            queued: Vec::new(),
            limit,
            threads: 0,
            under_way: 0,
        })
    }

    /// Starts something that is no worker, on the spot.
    pub(super) fn start_now(&mut self, launch: &Launch<'_>) -> Result<Started, Failed> {
        self.own.spawn(launch)
    }

    /// Threads are made when the first burst comes, and stay.
    fn hire(&mut self) {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        while self.threads < cores.clamp(2, SPAWNERS - 1) {
            let spawner = Spawner::new(self.threads + 1, self.limit);
            let bench = Arc::clone(&self.bench);
            let thread = std::thread::Builder::new().stack_size(128 << 10);
            if thread.spawn(move || work(&bench, spawner)).is_err() {
                return;
            }
            self.threads += 1;
        }
    }
}

/// Ends with the process: a keeper ends only when nothing is left to start.
fn work(bench: &Bench, mut spawner: Spawner) {
    loop {
        let mut jobs = lock(&bench.jobs);
        let job = loop {
            match jobs.pop_front() {
                Some(job) => break job,
                None => jobs = bench.came.wait(jobs).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(jobs);
        let product = make(&mut spawner, job);
        lock(&bench.products).push(product);
        kernel::poke(bench.done.as_fd());
    }
}

fn make(spawner: &mut Spawner, job: Job) -> Product {
    let request = &job.request;
    let result = spawner.spawn(&Launch {
        program: &request.program,
        identity: request.identity.as_ref(),
        umask: request.umask,
        nice: request.nice,
        rlimits: &request.rlimits,
        capture: request.capture,
        own_output: false,
        slot: Some(job.slot),
    });
    Product { job, result }
}

impl Keeper {
    /// Takes a start into the inventory; it is done at the end of this turn.
    pub(super) fn queue_start(&mut self, request: Box<SpawnRequest>) {
        let slots = self.inventory.slots();
        let run = request.run;
        if self.places.contains_key(&run) {
            // The same order twice is one start.
            return;
        }
        let free = slots.iter().position(|slot| slot.held() == Held::Free);
        let Some((place, slot)) = free.and_then(|place| Some((place, slots.get(place)?))) else {
            let failed =
                FromKeeper::SpawnFailed { run, stage: Stage::Resources, errno: libc::ENOBUFS };
            self.connections.tell(Role::Master, failed);
            return;
        };
        slot.reserve(run, &request.worker);
        self.places.insert(run, place);
        self.workshop.queued.push(Job { place, slot, request });
    }

    /// One start is done on the spot; a burst goes to the threads.
    pub(super) fn start_queued(&mut self) {
        let mut queued = std::mem::take(&mut self.workshop.queued);
        if queued.len() == 1 && self.workshop.under_way == 0 {
            for job in queued.drain(..) {
                let product = make(&mut self.workshop.own, job);
                self.deliver(product);
            }
        } else if !queued.is_empty() {
            self.workshop.hire();
            self.workshop.under_way += queued.len();
            lock(&self.workshop.bench.jobs).extend(queued.drain(..));
            self.workshop.bench.came.notify_all();
        }
        self.workshop.queued = queued;
    }

    pub(super) fn collect_starts(&mut self) {
        kernel::drain(self.workshop.bench.done.as_fd());
        let products = std::mem::take(&mut *lock(&self.workshop.bench.products));
        self.workshop.under_way -= products.len();
        for product in products {
            self.deliver(product);
        }
        if self.workshop.under_way == 0 {
            // Strangers were not looked at while a child could be unknown.
            self.reap_strangers();
        }
    }

    fn deliver(&mut self, product: Product) {
        let Product { job, result } = product;
        let (place, slot, run) = (job.place, job.slot, job.request.run);
        let started = match result {
            Ok(started) => started,
            Err(Failed { stage, errno }) => {
                slot.free();
                self.places.remove(&run);
                let failed = FromKeeper::SpawnFailed { run, stage, errno };
                self.connections.tell(Role::Master, failed);
                return;
            }
        };
        slot.occupy(kernel::stat(started.pid).map_or(0, |(started_at, _)| started_at));
        // The handle goes to the master too: its hold outlives ours.
        let copy = started.handle.try_clone().ok().map(Descriptor::new);
        let message = FromKeeper::Spawned { run, process: slot.process(), handle: copy };
        self.connections.tell(Role::Master, message);
        let streams = [(Stream::Stdout, started.stdout), (Stream::Stderr, started.stderr)];
        for (stream, pipe) in streams {
            if let Some(pipe) = pipe {
                self.hold_pipe(run, job.request.worker.clone(), stream, pipe);
            }
        }
        let token = Token::Slot(place).number();
        let watched = self.epoll.add(started.handle.as_fd(), token);
        if let Some(hold) = self.holds.get_mut(place) {
            *hold = Some(Hold { handle: started.handle, kin: Kin::Child });
        }
        if watched.is_err() {
            // It cannot be waited for: SIGCHLD finds its end instead.
            self.reap_strangers();
        }
    }
}
