//! Following: the log files of processes that somebody else started, read as they grow.
//!
//! One thread for all files. It sleeps until a folder changes, and looks again after a
//! while all the same, for not every file system tells. What it takes goes into the
//! spools of the workers, from which outputs, searches and checks read as they do of
//! workers of our own. How a line is taken once: docs/design/0008-attached.md.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hsu_keeper::pump::PumpOptions;
use hsu_model::discovery::LogFile;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::spool::SpoolId;
use hsu_model::spool::plan::SpoolPlan;
use hsu_sys::folders::{Changes, FolderWatch};

mod book;
mod feed;
mod tail;

use feed::Feed;
use tail::{Looked, Tail};

/// Looks are no closer than this: a line at a time would cost more than it is worth.
const PACE: Duration = Duration::from_millis(20);
/// When a file is looked at again whose folder nobody watches.
const UNWATCHED: Duration = Duration::from_secs(1);
/// The same of one whose folder is watched, for file systems that tell nothing.
const WATCHED: Duration = Duration::from_secs(5);
/// When a spool that takes nothing is tried again.
const STUCK: Duration = Duration::from_millis(200);
/// When the lock is tried again that another master holds.
const LOCKED: Duration = Duration::from_millis(100);
/// Held by the one master that follows files.
const LOCK: &str = "followed.lock";

/// What is followed for a worker.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Its files.
    pub files: Vec<LogFile>,
    /// What its spools are like.
    pub plans: BTreeMap<Stream, SpoolPlan>,
    /// The run that lines belong to at first.
    pub run: RunId,
}

/// Takes a worker, the path of one of its files, and why that cannot be read; none when
/// it can again.
pub type Trouble = Box<dyn Fn(&WorkerId, &str, Option<String>) + Send>;

enum Order {
    Follow(WorkerId, Box<Followed>),
    Run(WorkerId, RunId),
    Forget(WorkerId),
}

/// The thread that follows files. It ends with this value.
pub struct Following {
    /// Unbounded on purpose: an order is a few words, and follows a decision.
    orders: Option<Sender<Order>>,
    watch: Arc<FolderWatch>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").finish_non_exhaustive()
    }
}

impl Following {
    /// Starts the thread. It follows nothing while another master does.
    ///
    /// # Errors
    /// The kernel's when it has no more threads or descriptors.
    pub fn start(options: PumpOptions, trouble: Trouble) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let watch = Arc::new(FolderWatch::new()?);
        let theirs = Arc::clone(&watch);
        let thread =
            std::thread::Builder::new().name("hsu-follow".to_owned()).spawn(move || {
                let workers = BTreeMap::new();
                Work { options, trouble, watch: theirs, workers, folders: BTreeMap::new() }
                    .run(&receiver);
            })?;
        Ok(Self { orders: Some(orders), watch, thread: Some(thread) })
    }

    /// Follows the files of a worker.
    pub fn follow(&self, worker: WorkerId, followed: Followed) {
        self.send(Order::Follow(worker, Box::new(followed)));
    }

    /// From now on lines belong to another run.
    pub fn set_run(&self, worker: WorkerId, run: RunId) {
        self.send(Order::Run(worker, run));
    }

    /// Follows the files of a worker no more.
    pub fn forget(&self, worker: WorkerId) {
        self.send(Order::Forget(worker));
    }

    fn send(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after the sender is dropped.
            drop(orders.send(order));
            self.watch.poke();
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.watch.poke();
        if let Some(thread) = self.thread.take() {
            // A thread that had crashed has told so by its panic.
            drop(thread.join());
        }
    }
}

/// One spool and the files that go into it.
struct Stretch {
    feed: Feed,
    tails: Vec<Watched>,
}

/// A file, and when it is looked at.
struct Watched {
    tail: Tail,
    /// The number of its folder, while that is watched.
    folder: Option<i32>,
    due: Instant,
    /// What was told of it last.
    told: Option<String>,
}

struct Work {
    options: PumpOptions,
    trouble: Trouble,
    watch: Arc<FolderWatch>,
    workers: BTreeMap<WorkerId, Vec<Stretch>>,
    folders: BTreeMap<PathBuf, i32>,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let Some(_lock) = self.lock(orders) else { return };
        let mut changes = Changes::default();
        let mut rest = Duration::ZERO;
        loop {
            if self.watch.wait(Some(rest), &mut changes).is_err() {
                changes.all = true;
                std::thread::sleep(STUCK);
            }
            if !self.take_orders(orders) {
                return;
            }
            let now = Instant::now();
            self.note(&std::mem::take(&mut changes), now);
            let next = self.look(now);
            rest = next.saturating_duration_since(Instant::now()).max(PACE);
            // What comes within the pace is looked at together.
            std::thread::sleep(PACE);
        }
    }

    /// Waits until no other master follows files; none when nobody wants it any more.
    fn lock(&mut self, orders: &Receiver<Order>) -> Option<File> {
        let path = self.options.spools.join(LOCK);
        loop {
            // Until it is ours, orders are only noted.
            if !self.take_orders(orders) {
                return None;
            }
            let made = std::fs::create_dir_all(&self.options.spools);
            let file = made.and_then(|()| hsu_sys::files::open_own(&path, true));
            if let Ok(file) = file
                && file.try_lock().is_ok()
            {
                return Some(file);
            }
            let mut changes = Changes::default();
            drop(self.watch.wait(Some(LOCKED), &mut changes));
        }
    }

    /// Does as it was told; false once nobody tells any more.
    fn take_orders(&mut self, orders: &Receiver<Order>) -> bool {
        loop {
            match orders.try_recv() {
                Ok(Order::Follow(worker, followed)) => self.follow(worker, *followed),
                Ok(Order::Run(worker, run)) => {
                    for stretch in self.workers.get_mut(&worker).into_iter().flatten() {
                        stretch.feed.set_run(run);
                    }
                }
                Ok(Order::Forget(worker)) => drop(self.workers.remove(&worker)),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn follow(&mut self, worker: WorkerId, followed: Followed) {
        let now = Instant::now();
        let mut stretches = Vec::new();
        for (stream, plan) in followed.plans {
            let id = SpoolId { worker: worker.clone(), stream };
            let files = followed.files.iter().filter(|file| file.stream == stream);
            let tails = files.map(|file| Watched {
                tail: Tail::new(PathBuf::from(&file.path), file.beginning),
                folder: None,
                due: now,
                told: None,
            });
            let tails = tails.collect();
            match Feed::new(&self.options, id, plan, followed.run) {
                Ok(feed) => stretches.push(Stretch { feed, tails }),
                Err(error) => (self.trouble)(&worker, stream.as_str(), Some(error.to_string())),
            }
        }
        self.workers.insert(worker, stretches);
    }

    /// Finds out which files may have changed.
    fn note(&mut self, changes: &Changes, now: Instant) {
        if changes.all {
            // A folder may be another one by now.
            self.folders.clear();
        }
        for watched in self.workers.values_mut().flatten().flat_map(|s| &mut s.tails) {
            let name = watched.tail.path().file_name();
            let is_it = |(folder, found): &(i32, std::ffi::OsString)| {
                let is_named = name == Some(found.as_os_str()) || watched.tail.has_old();
                Some(*folder) == watched.folder && is_named
            };
            if changes.all || changes.names.iter().any(is_it) {
                watched.due = now;
                if changes.all {
                    watched.folder = None;
                }
            }
        }
    }

    /// Looks at every file that is due; when the next one is.
    fn look(&mut self, now: Instant) -> Instant {
        let mut next = now + WATCHED;
        for (worker, stretches) in &mut self.workers {
            for Stretch { feed, tails } in stretches {
                for watched in tails {
                    if watched.due <= now {
                        // Before the look: what changes during it is told.
                        watched.folder = watch(&self.watch, &mut self.folders, watched.tail.path());
                        watched.look(worker, feed, now, &self.trouble);
                    }
                    next = next.min(watched.due);
                }
                if let Some(due) = feed.tell() {
                    next = next.min(due);
                }
            }
        }
        next
    }
}

/// The number of the folder of a file, watched once for all its files.
fn watch(watch: &FolderWatch, folders: &mut BTreeMap<PathBuf, i32>, path: &Path) -> Option<i32> {
    let folder = path.parent()?;
    if let Some(number) = folders.get(folder) {
        return Some(*number);
    }
    let number = watch.watch(folder).ok()?;
    folders.insert(folder.to_owned(), number);
    Some(number)
}

impl Watched {
    fn look(&mut self, worker: &WorkerId, feed: &mut Feed, now: Instant, trouble: &Trouble) {
        let looked = self.tail.look(feed, now);
        let rest = match &looked {
            Ok(Looked::Done) if self.folder.is_some() => WATCHED,
            Ok(Looked::Done) | Err(_) => UNWATCHED,
            Ok(Looked::More) => Duration::ZERO,
            Ok(Looked::Stuck) => STUCK,
        };
        self.due = now + rest;
        let error = looked.err().map(|error| error.to_string());
        if error != self.told {
            trouble(worker, &self.tail.path().to_string_lossy(), error.clone());
            self.told = error;
        }
    }
}
