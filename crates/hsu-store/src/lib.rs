//! Memory: durable intent, state and the journal, on embedded SQLite.
//!
//! One thread writes; everything that waits becomes one transaction. A killed
//! master loses nothing that was committed, because the page cache keeps it; an
//! operator's wish is synced to the disk before it is answered. A store that
//! fails never stops a worker: it says that it is degraded and tries on.
//!
//! Why SQLite, and what is synced when: docs/design/0006-store.md.

mod database;
mod wire;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hsu_core::record::WorkerRecord;
use hsu_model::event::Event;
use hsu_model::id::{RunId, WorkerId};
use hsu_model::process::BootId;
use rusqlite::Connection;

/// Batches that may wait while the disk does not take them; beyond it the oldest
/// lazy ones are given up, and counted.
const MOST_WAITING: usize = 10_000;

/// What a batch has to survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// SIGKILL of the master.
    #[default]
    Lazy,
    /// The loss of power, too.
    Synced,
}

/// What one round of the master changed.
#[derive(Debug, Default)]
pub struct Batch {
    /// Records of workers; none for one that was removed.
    pub workers: Vec<(WorkerId, Option<WorkerRecord>)>,
    /// Events, in order.
    pub events: Vec<Event>,
    /// Exits that may be forgotten by the keeper once this is durable.
    pub acknowledged: Vec<RunId>,
    /// The first run number that was never used.
    pub next_run: Option<u64>,
    /// Whether the present life of the master ended in order, and in which boot.
    pub life: Option<(bool, BootId)>,
    /// What it has to survive.
    pub durability: Durability,
}

impl Batch {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
            && self.events.is_empty()
            && self.acknowledged.is_empty()
            && self.life.is_none()
    }
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database says so.
    #[error("the state in {} cannot be used", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// A later version of HSU Master wrote it.
    #[error(
        "the state in {} has format {found}, and this version knows up to {known} \
         (hint: use the version of HSU Master that wrote it)",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest format that is known.
        known: i64,
    },
    /// A file or thread cannot be had.
    #[error("the state folder {} cannot be used", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What was wrong with the earlier one and where it was put aside.
    pub recovered: Option<String>,
}

/// What the store knew when it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Every worker, by id.
    pub workers: BTreeMap<WorkerId, WorkerRecord>,
    /// The number of the latest event.
    pub last_event: u64,
    /// The first run number that was never used.
    pub next_run: u64,
    /// Whether the earlier life of the master ended in order; none when there was none.
    pub clean: Option<bool>,
    /// The boot of the earlier life.
    pub boot: Option<BootId>,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    reader: Reader,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
    durable: AtomicU64,
    health: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(u64, Batch)>,
    submitted: u64,
    given_up: u64,
    closing: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in a folder that exists. A database that is broken is put
    /// aside and a new one begun: live workers are known to the keeper, not to it.
    ///
    /// `on_durable` is called by the writing thread after each commit.
    ///
    /// # Errors
    /// [`StoreError::Newer`], or the folder cannot be used at all.
    pub fn open(folder: &Path, on_durable: Box<dyn Fn() + Send>) -> Result<Opened, StoreError> {
        let path = folder.join("state.db");
        let (connection, recovered) = database::open(&path)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            came: Condvar::new(),
            durable: AtomicU64::new(0),
            health: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("hsu-store".to_owned())
            .stack_size(256 << 10)
            .spawn(move || writer::run(connection, &theirs, &*on_durable))
            .map_err(|source| StoreError::Io { path: folder.to_owned(), source })?;
        let reader = Reader { path, connection: Arc::default() };
        Ok(Opened { store: Self { shared, thread: Some(thread), reader }, recovered })
    }

    /// Hands a batch to the writing thread; never blocks. Returns its number.
    pub fn submit(&self, batch: Batch) -> u64 {
        let mut queue = lock(&self.shared.queue);
        queue.submitted += 1;
        let number = queue.submitted;
        queue.waiting.push_back((number, batch));
        if queue.waiting.len() > MOST_WAITING {
            let oldest_lazy =
                queue.waiting.iter().position(|(_, batch)| batch.durability == Durability::Lazy);
            if let Some(place) = oldest_lazy {
                queue.waiting.remove(place);
                queue.given_up += 1;
            }
        }
        drop(queue);
        self.shared.came.notify_one();
        number
    }

    /// The number of the latest batch.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        lock(&self.shared.queue).submitted
    }

    /// The number up to which every batch is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Why nothing can be written at present; none when all is well.
    #[must_use]
    pub fn health(&self) -> Option<String> {
        lock(&self.shared.health).clone()
    }

    /// Everything that is needed to go on where the earlier master was.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn load(&self) -> Result<Loaded, StoreError> {
        self.reader.with(database::load)
    }

    /// A way to read events from any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Notes whether this life of the master has ended in order. Returns the batch's number.
    pub fn mark(&self, clean: bool, boot: BootId) -> u64 {
        self.submit(Batch { life: Some((clean, boot)), ..Batch::default() })
    }

    /// Waits until everything that was submitted is durable, at most two seconds.
    pub fn flush(&self) {
        let wanted = self.submitted();
        let begin = std::time::Instant::now();
        while self.durable() < wanted && begin.elapsed() < std::time::Duration::from_secs(2) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Writes what waits and ends the thread.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the thread had crashed.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.end().map_err(|()| StoreError::Io {
            path: self.reader.path.clone(),
            source: std::io::Error::other("the writing thread had crashed"),
        })
    }

    fn end(&mut self) -> Result<(), ()> {
        lock(&self.shared.queue).closing = true;
        self.shared.came.notify_one();
        self.thread.take().map_or(Ok(()), |thread| thread.join().map_err(drop))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A crash of the thread was reported by the panic itself.
        let _ = self.end();
    }
}

/// Reads events beside the writing thread, on a connection of its own.
#[derive(Clone, Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Reader {
    /// Events after a number, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn events(
        &self,
        after: u64,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.with(|connection| database::events(connection, after, worker, limit))
    }

    /// The latest events, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn last_events(
        &self,
        worker: Option<&WorkerId>,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.with(|connection| database::last_events(connection, worker, limit))
    }

    fn with<T>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = |source| StoreError::Database { path: self.path.clone(), source };
        let mut connection = lock(&self.connection);
        let open = match connection.take() {
            Some(open) => open,
            None => database::open_reader(&self.path).map_err(failed)?,
        };
        let answer = ask(&open);
        if answer.is_ok() {
            *connection = Some(open);
        }
        answer.map_err(failed)
    }
}
