//! Memory: durable intent, state and the journal, on embedded SQLite.
//!
//! One thread writes; everything that waits becomes one transaction. A killed
//! master loses nothing that was committed, because the page cache keeps it; an
//! operator's wish is synced to the disk before it is answered. A store that
//! fails never stops a worker: it says that it is degraded and tries on.
//!
//! Why SQLite, and what is synced when: docs/design/0006-store.md.

mod backlog;
mod batch;
mod database;
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod opening;
mod queue;
mod reading;
mod seal;
mod usage;
mod wire;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hsu_core::record::WorkerRecord;
use hsu_model::event::Event;
use hsu_model::id::WorkerId;
use hsu_model::process::BootId;
use hsu_model::time::WallTime;
use rusqlite::Connection;

pub use backlog::{Backlog, Bounds};
pub use batch::{Batch, Change, Durability, Life, Moment};
use database::Fault;
use queue::Queue;
pub use usage::{UsageFile, UsageRecord, usage_records};

/// How long [`Store::flush`] waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long who reads events waits for those that are not written yet.
const READ_AFTER: Duration = Duration::from_millis(50);
/// The stack of the writing thread, in bytes: SQLite needs a third of it.
const STACK: usize = 256 << 10;

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
    /// A later version of HSU Master wrote it. Nothing was touched.
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
        source: io::Error,
    },
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What was wrong with the earlier one, where it was put aside and what was
    /// saved of it.
    pub recovered: Option<String>,
}

/// What the store knew when it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Every worker, by id.
    pub workers: BTreeMap<WorkerId, WorkerRecord>,
    /// The number of the latest event; of none that was ever given is a later one reused.
    pub last_event: u64,
    /// The first run number that was never used, whatever was lost.
    pub next_run: u64,
    /// How far the earlier life of the master came; none when there was none.
    pub life: Option<Life>,
    /// The boot of the earlier life.
    pub boot: Option<BootId>,
}

/// Where the state stands on the disk, whoever wrote it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// How far the latest life has come; none when there was none.
    pub life: Option<Life>,
    /// The number of the latest event.
    pub last_event: u64,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<Result<(), Fault>>>,
    reader: Reader,
    /// What was read at the opening, until somebody asks for it or changes it.
    loaded: Mutex<Option<Loaded>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in a folder that exists. A database that is broken is put
    /// aside and a new one begun with what is sound in it: live workers are known
    /// to the keeper, not to it.
    ///
    /// `on_durable` is called by the writing thread after each commit, and after
    /// each attempt that failed.
    ///
    /// # Errors
    /// [`StoreError::Newer`], or the folder cannot be used at all.
    pub fn open(folder: &Path, on_durable: Box<dyn Fn() + Send>) -> Result<Opened, StoreError> {
        let path = folder.join("state.db");
        let ready = opening::open(&path)?;
        let queue = Arc::new(Queue::default());
        let (theirs, database) = (Arc::clone(&queue), ready.database);
        let thread = std::thread::Builder::new()
            .name("hsu-store".to_owned())
            .stack_size(STACK)
            .spawn(move || writer::run(database, &theirs, &*on_durable))
            .map_err(|source| StoreError::Io { path: folder.to_owned(), source })?;
        let reader = Reader { path, queue: Arc::clone(&queue), connection: Arc::default() };
        let loaded = Mutex::new(Some(ready.loaded));
        let store = Self { queue, thread: Some(thread), reader, loaded };
        Ok(Opened { store, recovered: ready.recovered })
    }

    /// Hands a batch to the writing thread; never blocks. Returns its number.
    ///
    /// While the disk takes nothing, the latest state of each worker is kept, and
    /// the latest 10,000 events; see [`Store::events_given_up`].
    pub fn submit(&self, batch: Batch) -> u64 {
        // What was read at the opening is not the truth any more.
        drop(lock(&self.loaded).take());
        self.queue.push(batch)
    }

    /// The number of the latest batch.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.queue.submitted()
    }

    /// The number up to which every batch is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.queue.durable()
    }

    /// Why nothing can be written at present; none when all is well. It is tried
    /// again at least once a second while something waits.
    #[must_use]
    pub fn health(&self) -> Option<String> {
        self.queue.health()
    }

    /// Whether it is room that the disk lacks, while nothing can be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// How many events were given up, because the disk took nothing for too long.
    #[must_use]
    pub fn events_given_up(&self) -> u64 {
        self.queue.given_up()
    }

    /// How often a new generation of the database had to be begun because the disk failed.
    /// What was written before is in it; whoever has more
    /// in memory submits that again.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.queue.generation()
    }

    /// What was wrong the last time that a new generation had to be begun.
    #[must_use]
    pub fn renewed_because(&self) -> String {
        self.queue.renewed_because()
    }

    /// Everything that is needed to go on where the earlier master was.
    ///
    /// # Errors
    /// [`StoreError::Database`]. A call before the first batch has none.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        match lock(&self.loaded).take() {
            Some(loaded) => Ok(loaded),
            None => self.reader.with(|connection| reading::load(connection).map_err(sqlite)),
        }
    }

    /// A way to read events from any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Notes how far this life of the master has come. Returns the batch's number.
    pub fn mark(&self, life: Life, boot: BootId) -> u64 {
        self.submit(Batch { life: Some((life, boot)), ..Batch::default() })
    }

    /// Where the state stands on the disk, whoever wrote it: what has the name of the file by
    /// now is read, and nothing is remembered.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn bookmark(&self) -> Result<Bookmark, StoreError> {
        let path = &self.reader.path;
        let found = reading::connect(path)
            .map_err(Fault::Sqlite)
            .and_then(|connection| reading::bookmark(&connection));
        found.map_err(|fault| StoreError::Database { path: path.clone(), source: sqlite(fault) })
    }

    /// The file. A new generation of the database is another one of this name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.reader.path
    }

    /// Lets nothing gather any longer: somebody waits for it.
    pub fn hurry(&self) {
        self.queue.hurry();
    }

    /// Waits until everything that was submitted is durable, at most two seconds; whether
    /// it is.
    pub fn flush(&self) -> bool {
        self.queue.wait_for_durable(PATIENCE)
    }

    /// Writes what waits and ends the thread.
    ///
    /// # Errors
    /// What waited could not be written, or the thread had crashed.
    pub fn close(mut self) -> Result<(), StoreError> {
        let path = self.reader.path.clone();
        match self.end() {
            Ok(()) => Ok(()),
            Err(Some(Fault::Sqlite(source))) => Err(StoreError::Database { path, source }),
            Err(fault) => {
                let text = fault.map(|fault| fault.to_string());
                let text = text.unwrap_or_else(|| "the writing thread had crashed".to_owned());
                Err(StoreError::Io { path, source: io::Error::other(text) })
            }
        }
    }

    /// A thread that had crashed has no fault.
    fn end(&mut self) -> Result<(), Option<Fault>> {
        self.queue.close();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended.map_err(Some),
            Some(Err(_)) => Err(None),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `close`.
        let _ = self.end();
    }
}

fn sqlite(fault: Fault) -> rusqlite::Error {
    match fault {
        Fault::Sqlite(error) => error,
        other @ (Fault::Sync(_) | Fault::Files(_) | Fault::Busy | Fault::Damaged(_)) => {
            rusqlite::Error::ToSqlConversionFailure(Box::new(other))
        }
    }
}

/// Reads events beside the writing thread, on a connection of its own. Whoever has seen
/// what an event changed finds the event too, unless the disk is slow or takes nothing.
#[derive(Clone, Debug)]
pub struct Reader {
    path: PathBuf,
    queue: Arc<Queue>,
    /// The connection, and the generation of the database that it is to.
    connection: Arc<Mutex<Option<(u64, Connection)>>>,
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
        self.queue.catch_up(READ_AFTER);
        self.with(|connection| reading::events(connection, after, worker, limit))
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
        self.queue.catch_up(READ_AFTER);
        self.with(|connection| reading::last_events(connection, worker, limit))
    }

    /// The number before the last so many events; the last number of all when none is wanted.
    /// Events themselves are not read.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn before_last(&self, worker: Option<&WorkerId>, count: usize) -> Result<u64, StoreError> {
        self.queue.catch_up(READ_AFTER);
        self.with(|connection| reading::before_last(connection, worker, count))
    }

    /// Every event about the master itself, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn events_about_master(&self) -> Result<Vec<Event>, StoreError> {
        self.queue.catch_up(READ_AFTER);
        self.with(reading::events_about_master)
    }

    /// The numbers of the earliest and the latest event; none when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn extent(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.queue.catch_up(READ_AFTER);
        self.with(reading::extent)
    }

    /// The latest event that was not after a time. Costs up to a read of every event.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn event_at(&self, time: WallTime) -> Result<Option<Event>, StoreError> {
        self.with(|connection| reading::event_at(connection, time))
    }

    /// The latest event up to a number; with a condition, the latest about the master itself
    /// that meets it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn latest_until(
        &self,
        sequence: u64,
        about_master: Option<&dyn Fn(&Event) -> bool>,
    ) -> Result<Option<Event>, StoreError> {
        self.with(|connection| reading::latest_until(connection, sequence, about_master))
    }

    /// What each worker, or one of them, was after an event, as far as the journal goes
    /// back: of each the latest that was written by then.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn statuses_at(
        &self,
        sequence: u64,
        worker: Option<&WorkerId>,
    ) -> Result<Vec<Moment>, StoreError> {
        self.with(|connection| reading::statuses_at(connection, sequence, worker))
    }

    /// What workers were, change by change, of the events after one number and up to another.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn statuses(&self, after: u64, until: u64) -> Result<Vec<Moment>, StoreError> {
        self.with(|connection| reading::statuses(connection, after, until))
    }

    fn with<T>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = |source| StoreError::Database { path: self.path.clone(), source };
        let mut connection = lock(&self.connection);
        let generation = self.queue.generation();
        let open = match connection.take() {
            Some((of, open)) if of == generation => open,
            Some(_) | None => reading::connect(&self.path).map_err(failed)?,
        };
        let answer = ask(&open);
        if answer.is_ok() {
            *connection = Some((generation, open));
        }
        answer.map_err(failed)
    }
}
