//! The workshop: where processes are started, in a burst by several threads.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Hold, Keeper, Kin, Token};
use crate::descriptor::Descriptor;
use crate::kernel::{self, Epoll};
use crate::policy::{Policy, Refused, judged_master, judged_worker};
use crate::protocol::{FromKeeper, Program, Role, SpawnRequest, Stage};
use crate::spawn::{DescriptorLimits, Failed, Launch, Output, SPAWNERS, Spawner, Started};
use crate::table::Reserved;
use crate::table::slot::Slot;
use hsu_model::logs::Stream;

/// So many starts of a burst are told together: each wakes us, and then the master.
const TOGETHER: usize = 8;

/// Starts under way at most: some are done while others are told. Each has up to five descriptors open here until the
/// worker and the pump have theirs.
const WIDTH: usize = 16;

/// The orders of so many starts leave megabytes of holes in the heap.
const BURST: usize = 256;

/// A start that is asked for.
#[derive(Debug)]
struct Job {
    place: usize,
    slot: &'static Slot,
    request: Box<SpawnRequest>,
    /// The write ends of what is captured: ours until the worker has them.
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// The write end of the pipe at which the worker says that it is ready.
    ready: Option<OwnedFd>,
    /// Copies of what is kept for the worker.
    passed: Vec<(String, OwnedFd)>,
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
    waiting: VecDeque<Job>,
    limits: DescriptorLimits,
    threads: usize,
    pub(super) under_way: usize,
    /// Starts that were done since nothing waited.
    burst: usize,
}

#[derive(Debug)]
struct Bench {
    /// What may be started; everything when there is none.
    policy: Option<Policy>,
    jobs: Mutex<VecDeque<Job>>,
    came: Condvar,
    products: Mutex<Vec<Product>>,
    done: OwnedFd,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workshop {
    pub(super) fn open(
        limits: DescriptorLimits,
        policy: Option<Policy>,
        epoll: &Epoll,
    ) -> io::Result<Self> {
        let done = kernel::event_descriptor()?;
        epoll.add(done.as_fd(), Token::Workshop.number())?;
        let bench = Arc::new(Bench {
            policy,
            jobs: Mutex::new(VecDeque::new()),
            came: Condvar::new(),
            products: Mutex::new(Vec::new()),
            done,
        });
        Ok(Self {
            bench,
            own: Spawner::new(0, limits),
            waiting: VecDeque::new(),
            limits,
            threads: 0,
            under_way: 0,
            burst: 0,
        })
    }

    /// What a master may be started from: the same program, or the same by its path without
    /// links where there is a policy.
    pub(super) fn judged_master(&self, program: &Program) -> Result<Option<Program>, Refused> {
        judged_master(self.bench.policy.as_ref(), program)
    }

    /// Starts something that is no worker, on the spot.
    pub(super) fn start_now(&mut self, launch: &Launch<'_>) -> Result<Started, Failed> {
        self.own.spawn(launch)
    }

    /// Threads are made when the first burst comes, and stay.
    fn hire(&mut self) {
        if self.threads > 0 {
            return;
        }
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        while self.threads < cores.clamp(2, SPAWNERS - 1) {
            let spawner = Spawner::new(self.threads + 1, self.limits);
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
        let product = make(&mut spawner, bench.policy.as_ref(), job);
        // Whoever does the last job of all tells of everything that is done.
        let is_last = lock(&bench.jobs).is_empty();
        let mut products = lock(&bench.products);
        products.push(product);
        let is_told = is_last || products.len() == TOGETHER;
        drop(products);
        if is_told {
            kernel::poke(bench.done.as_fd());
        }
    }
}

fn make(spawner: &mut Spawner, policy: Option<&Policy>, job: Job) -> Product {
    let request = &job.request;
    let Ok(judged) = judged_worker(policy, &request.program, request.identity.as_ref()) else {
        let refused = Failed { stage: Stage::Policy, errno: libc::EPERM };
        return Product { job, result: Err(refused) };
    };
    let result = spawner.spawn(&Launch {
        program: judged.as_ref().unwrap_or(&request.program),
        identity: request.identity.as_ref(),
        umask: request.umask,
        nice: request.nice,
        rlimits: &request.rlimits,
        entrances: &request.entrances,
        stdout: Output::to(job.stdout.as_ref()),
        stderr: Output::to(job.stderr.as_ref()),
        cgroup: request.cgroup.as_deref(),
        passed: &job.passed,
        ready: request.ready_descriptor.zip(job.ready.as_ref()),
        slot: Some(job.slot),
    });
    Product { job, result }
}

impl Keeper {
    /// Takes a start into the inventory; it is done at the end of this turn.
    pub(super) fn queue_start(&mut self, request: Box<SpawnRequest>) {
        let run = request.run;
        let place = match self.table.reserve(run, &request.worker, kernel::now()) {
            Reserved::Place(place) => place,
            Reserved::Known => return,
            Reserved::Full => {
                let failed =
                    FromKeeper::SpawnFailed { run, stage: Stage::Resources, errno: libc::ENOBUFS };
                self.connections.tell(Role::Master, failed);
                return;
            }
        };
        let Some(slot) = self.slots.get(place) else { return };
        let (stdout, stderr, ready, passed) = (None, None, None, Vec::new());
        let job = Job { place, slot, request, stdout, stderr, ready, passed };
        self.workshop.waiting.push_back(job);
    }

    /// One start is done on the spot; a burst goes to the threads, some at a time.
    pub(super) fn start_waiting(&mut self, now: Instant) {
        let is_alone = self.workshop.waiting.len() == 1 && self.workshop.under_way == 0;
        let mut ready = Vec::new();
        while self.workshop.under_way + ready.len() < WIDTH {
            let capture = self.workshop.waiting.front().map(|job| job.request.capture);
            let Some(capture) = capture else { break };
            if (capture.stdout || capture.stderr) && !self.has_pump(now) {
                break;
            }
            let Some(job) = self.workshop.waiting.pop_front() else { break };
            ready.extend(self.give_pipes(job));
        }
        if ready.is_empty() {
            return;
        }
        // The pump has the pipes before the workers run: from here on either of us
        // may be killed.
        self.flush();
        if is_alone {
            for job in ready {
                let Workshop { own, bench, .. } = &mut self.workshop;
                let product = make(own, bench.policy.as_ref(), job);
                self.deliver(product);
            }
            return;
        }
        self.workshop.hire();
        self.workshop.under_way += ready.len();
        lock(&self.workshop.bench.jobs).extend(ready);
        self.workshop.bench.came.notify_all();
    }

    /// Makes the pipes of a start, and shares their read ends with the pump.
    fn give_pipes(&mut self, mut job: Job) -> Option<Job> {
        let capture = job.request.capture;
        let make = |wanted: bool| if wanted { kernel::pipe().map(Some) } else { Ok(None) };
        let ready = job.request.ready_descriptor.is_some();
        let made = self.workshop.limits.check_room().and_then(|()| {
            job.passed = self.shelf.pass(&job.request.worker)?;
            Ok((make(capture.stdout)?, make(capture.stderr)?, make(ready)?))
        });
        let (stdout, stderr, ready) = match made {
            Ok(made) => made,
            Err(error) => {
                self.fail(&job, Failed::resources(&error));
                return None;
            }
        };
        for (stream, pipe) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            let Some((read, write)) = pipe else { continue };
            self.hold_pipe(job.request.run, job.request.worker.clone(), stream, read);
            match stream {
                Stream::Stdout => job.stdout = Some(write),
                Stream::Stderr => job.stderr = Some(write),
            }
        }
        if let Some((read, write)) = ready {
            let run = job.request.run;
            let pipe = read.try_clone().ok().map(Descriptor::new);
            self.ready.insert(run, read);
            self.connections.tell(Role::Master, FromKeeper::Ready { run, pipe });
            job.ready = Some(write);
        }
        Some(job)
    }

    /// Nothing was started: nothing is left of it.
    fn fail(&mut self, job: &Job, Failed { stage, errno }: Failed) {
        let run = job.request.run;
        self.table.fail(run);
        self.ready.remove(&run);
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.pipes.remove(&(run, stream));
        }
        self.connections.tell(Role::Master, FromKeeper::SpawnFailed { run, stage, errno });
    }

    pub(super) fn collect_starts(&mut self) {
        kernel::drain(self.workshop.bench.done.as_fd());
        let products = std::mem::take(&mut *lock(&self.workshop.bench.products));
        self.workshop.under_way -= products.len();
        self.workshop.burst += products.len();
        for product in products {
            self.deliver(product);
        }
        if self.workshop.under_way == 0 {
            // Strangers were not looked at while a child could be unknown.
            self.reap_strangers();
        }
        if self.workshop.under_way == 0 && self.workshop.waiting.is_empty() {
            if self.workshop.burst >= BURST {
                kernel::give_back_heap();
            }
            self.workshop.burst = 0;
        }
    }

    fn deliver(&mut self, product: Product) {
        let Product { job, result } = product;
        let (place, slot, run) = (job.place, job.slot, job.request.run);
        let started = match result {
            Ok(started) => started,
            Err(failed) => return self.fail(&job, failed),
        };
        slot.occupy(started.started_at);
        // The handle goes to the master too: its hold outlives ours.
        let handle = started.handle.try_clone().ok().map(Descriptor::new);
        let process = slot.process();
        let is_enclosed = started.is_enclosed;
        let told = FromKeeper::Spawned { run, process, handle, is_enclosed };
        self.connections.tell(Role::Master, told);
        let token = Token::Slot(place).number();
        let watched = self.epoll.add_process(started.handle.as_fd(), token);
        if let Some(hold) = self.holds.get_mut(place) {
            *hold = Some(Hold { handle: started.handle, kin: Kin::Child, overdue: None });
        }
        if watched.is_err() {
            // It cannot be waited for: SIGCHLD finds its end instead.
            self.reap_strangers();
        }
    }
}
