//! The database: its tables, and what is written into them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hsu_model::event::Event;
use hsu_model::id::WorkerId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::batch::{Batch, Change, Durability, Life, Moment};
use crate::generation::{self, Salvage};
use crate::reading;
use crate::seal::{event_name, seal};
use crate::wire;

/// The format of the tables. Rises when an older version could misread them; within it,
/// columns and tables are only added.
pub(crate) const FORMAT: i64 = 1;
/// `HSUM`: tells the file apart from other databases.
pub(crate) const APPLICATION: i64 = 0x4853_554d;
/// Events that are kept.
pub(crate) const KEPT_EVENTS: u32 = 100_000;
/// How often, in events, older ones are removed.
const TRIM_EVERY: u64 = 1_000;
/// Run numbers that are set aside at a time: after a loss of power the next life
/// begins behind them, because the latest commits may be lost with the power.
const RUN_BLOCK: u64 = 65_536;
/// How long somebody else, such as an administrator's tool, may hold the database.
const PATIENCE: Duration = Duration::from_millis(250);

pub(crate) const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE worker (id TEXT PRIMARY KEY, record TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE event (
        sequence INTEGER PRIMARY KEY, worker TEXT, body TEXT NOT NULL, seal INTEGER NOT NULL
    );
    CREATE INDEX event_by_worker ON event (worker, sequence);
";
/// The table that a database may lack.
pub(crate) const ADDED: &str = "status";
/// What workers were after which event. Added within the format: a version that does
/// not know it leaves it alone.
const STATUSES: &str = "
    CREATE TABLE IF NOT EXISTS status (
        worker TEXT NOT NULL, sequence INTEGER NOT NULL, body TEXT NOT NULL,
        seal INTEGER NOT NULL, PRIMARY KEY (worker, sequence)
    ) WITHOUT ROWID;
";
/// Attempts at a new generation after which rows that cannot be read are given up.
const PATIENT_ATTEMPTS: u32 = 4;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// SQLite says so.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be synced.
    #[error("the file cannot be synced: {0}")]
    Sync(#[source] io::Error),
    /// Files could not be renamed or removed.
    #[error("the files cannot be replaced: {0}")]
    Files(#[source] io::Error),
    /// The disk keeps a log that was not copied.
    #[error("somebody reads the database, and its log cannot be copied")]
    Busy,
    /// What it holds is not what was written.
    #[error("{0}")]
    Damaged(String),
}

impl Fault {
    /// Whether the disk has no room.
    pub(crate) fn is_full(&self) -> bool {
        let full = io::ErrorKind::StorageFull;
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Sync(error) | Self::Files(error) => error.kind() == full,
            Self::Busy | Self::Damaged(_) => false,
        }
    }

    /// Whether the file is no good, and not only out of reach.
    pub(crate) fn is_broken(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
        match self {
            Self::Damaged(_) => true,
            // A table or a column that is not there is `Unknown`, a value of a wrong
            // type has no code.
            Self::Sqlite(error) => error.sqlite_error_code().is_none_or(|code| {
                [DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown].contains(&code)
            }),
            Self::Sync(_) | Self::Files(_) | Self::Busy => false,
        }
    }

    /// Whether the disk failed, and did not only run out of space.
    fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure)
            }
            Self::Sync(_) => true,
            Self::Files(_) | Self::Busy | Self::Damaged(_) => false,
        }
    }

    /// Whether the files are not open for writing.
    fn is_refusal(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
        let Self::Sqlite(error) = self else { return false };
        error
            .sqlite_error_code()
            .is_some_and(|code| [CannotOpen, PermissionDenied, ReadOnly].contains(&code))
    }
}

/// Why what the disk took is not trusted any more.
#[derive(Debug)]
struct Suspicion {
    reason: String,
    /// Whether rows may be gone, and not only what the disk took last.
    is_broken: bool,
    /// How often it was tried to begin another generation.
    attempts: u32,
}

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) connection: Connection,
    path: PathBuf,
    level: Durability,
    /// Run numbers below this are set aside on the disk.
    reserved: u64,
    /// Whether the file itself was never synced.
    is_new: bool,
    /// Whether the name of the log is on the disk.
    is_named: bool,
    suspicion: Option<Suspicion>,
    /// What was wrong with the generation before this one, until somebody asks.
    renewed: Option<String>,
    /// Whether the files could not be opened for writing: a connection never tries that again.
    is_refused: bool,
    /// Fields of records that a later version has written: they are kept.
    extras: BTreeMap<WorkerId, String>,
}

/// Opens a connection with little memory, because the whole master has little.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", -512)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Makes the tables in an empty database.
pub(crate) fn make_tables(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(STATUSES)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

impl Database {
    /// Makes the tables in an empty file. Nothing is synced: there is nothing to lose yet.
    pub(crate) fn create(connection: Connection, path: &Path) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        make_tables(&connection)?;
        Self::take(connection, path, 0, true)
    }

    /// Takes a connection to tables that are there.
    pub(crate) fn take(
        connection: Connection,
        path: &Path,
        reserved: u64,
        is_new: bool,
    ) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // The log is cut after it has grown, for example in a burst of starts.
        connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
        // A full disk refuses it, and then refuses the writing too.
        let has_statuses = connection.prepare("SELECT 1 FROM status").is_ok();
        if !has_statuses {
            let _ = connection.execute_batch(STATUSES);
        }
        let (path, level, extras) = (path.to_owned(), Durability::Lazy, BTreeMap::new());
        let (suspicion, renewed, is_refused, is_named) = (None, None, false, false);
        Ok(Self {
            connection,
            path,
            level,
            reserved,
            is_new,
            is_named,
            suspicion,
            renewed,
            is_refused,
            extras,
        })
    }

    /// Fields of records that are not understood, and kept whenever the record is written.
    pub(crate) fn keep(&mut self, extras: BTreeMap<WorkerId, String>) {
        self.extras = extras;
    }

    /// Writes one batch in one transaction.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        let written = self.attempt(batch);
        match &self.suspicion {
            // A page that no start has looked at, such as one of the index.
            Some(Suspicion { is_broken: true, attempts: 0, .. }) => self.attempt(batch),
            _ => written,
        }
    }

    fn attempt(&mut self, batch: &Batch) -> Result<(), Fault> {
        let written =
            self.reopen().and_then(|()| self.renew()).and_then(|()| self.try_write(batch));
        if let Err(fault) = &written {
            let is_broken = fault.is_broken();
            if (is_broken || fault.is_of_the_disk()) && self.suspicion.is_none() {
                let reason = fault.to_string();
                self.suspicion = Some(Suspicion { reason, is_broken, attempts: 0 });
            }
            self.is_refused = fault.is_refusal();
        }
        written
    }

    /// What was wrong with the generation before this one, once.
    pub(crate) fn take_renewed(&mut self) -> Option<String> {
        self.renewed.take()
    }

    fn try_write(&mut self, batch: &Batch) -> Result<(), Fault> {
        let new_block = batch.next_run.filter(|next| *next >= self.reserved);
        let new_block = new_block.map(|next| next.saturating_add(RUN_BLOCK));
        let level = if new_block.is_some() { Durability::Synced } else { batch.durability };
        self.prepare(level)?;
        let transaction = self.connection.transaction()?;
        write_batch(&transaction, batch, &mut self.extras, KEPT_EVENTS)?;
        if let Some(reserved) = new_block {
            write_meta(&transaction, "reserved_runs", &reserved.to_string())?;
        }
        transaction.commit()?;
        if level == Durability::Synced && !self.is_named {
            // SQLite syncs the folder of a log that it has made, and ignores whether it could.
            generation::sync_folder(&self.path).map_err(Fault::Sync)?;
            self.is_named = true;
        }
        self.reserved = new_block.unwrap_or(self.reserved);
        Ok(())
    }

    /// FULL syncs the log of the database at the commit, NORMAL leaves it to the kernel.
    fn prepare(&mut self, level: Durability) -> Result<(), Fault> {
        if level == Durability::Synced && self.is_new {
            // An empty database file would throw its log away after a loss of power. It is
            // SQLite that syncs it: whoever else opened and closed the file would take
            // away the locks of this process.
            // Source: sqlite.org/howtocorrupt.html, 2.2.
            checkpoint(&self.connection, "PASSIVE")?;
            self.is_new = false;
        }
        if level != self.level {
            let word = match level {
                Durability::Lazy => "NORMAL",
                Durability::Synced => "FULL",
            };
            self.connection.pragma_update(None, "synchronous", word)?;
            self.level = level;
        }
        Ok(())
    }

    /// Opens the files once more when they could not be opened for writing, for example
    /// because the volume was read-only.
    fn reopen(&mut self) -> Result<(), Fault> {
        if !self.is_refused {
            return Ok(());
        }
        let connection = connect(&self.path)?;
        let new = Self::take(connection, &self.path, self.reserved, self.is_new)?;
        let (suspicion, renewed) = (self.suspicion.take(), self.renewed.take());
        let extras = std::mem::take(&mut self.extras);
        *self = Self { suspicion, renewed, extras, ..new };
        Ok(())
    }

    /// Begins another generation when the disk has failed to sync or to write the present
    /// one, or that one is broken.
    fn renew(&mut self) -> Result<(), Fault> {
        let Some(Suspicion { reason, is_broken, attempts }) = &mut self.suspicion else {
            return Ok(());
        };
        *attempts += 1;
        let salvage = if *attempts > PATIENT_ATTEMPTS { Salvage::Last } else { Salvage::Patient };
        let (mut reason, is_broken) = (reason.clone(), *is_broken);
        // At its end the old generation must not be synced once more, nor take the name
        // of the new one's log with it.
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // An attempt that failed may have left the new generation as the only one in place.
        let (aside, is_whole) = match generation::resume(&self.path)? {
            Some(aside) => (aside, false),
            None => {
                let saved = match is_broken {
                    true => generation::salvage(&self.path)?,
                    false => generation::build(&self.path, salvage)?,
                };
                (generation::swap(&self.path)?, saved.is_whole)
            }
        };
        let connection = connect(&self.path)?;
        let new = Self::take(connection, &self.path, self.reserved, false)?;
        let extras = std::mem::take(&mut self.extras);
        if is_whole {
            generation::forget(&aside);
        } else {
            reason.push_str(&format!("; what it was is kept as {}", aside.display()));
        }
        *self = Self { extras, renewed: Some(reason), ..new };
        Ok(())
    }

    /// Ends the connection; a log that cannot be copied now is copied by the next master.
    pub(crate) fn close(self) {
        if self.suspicion.is_some() {
            // It would be synced once more, and believed.
            let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            drop(self.connection.set_db_config(config, true));
        }
        drop(self.connection.close());
    }
}

/// Copies the log into the database and syncs both, as far as nobody reads.
fn checkpoint(connection: &Connection, mode: &str) -> Result<(), Fault> {
    let pragma = format!("PRAGMA wal_checkpoint({mode})");
    let busy: i64 = connection.query_row(&pragma, [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(Fault::Busy) }
}

pub(crate) fn write_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value, seal) VALUES (?1, ?2, ?3)")?
        .execute(params![key, value, seal(key, value)])
        .map(drop)
}

/// Writes one batch inside the present transaction.
fn write_batch(
    connection: &Connection,
    batch: &Batch,
    extras: &mut BTreeMap<WorkerId, String>,
    kept: u32,
) -> rusqlite::Result<()> {
    for (id, change) in &batch.workers {
        let text = match change {
            Change::Record(record) => wire::with_extra(wire::encode_record(record), extras.get(id)),
            Change::Removed => wire::STONE.to_owned(),
            Change::Forgotten => {
                extras.remove(id);
                let delete = "DELETE FROM worker WHERE id = ?1";
                connection.prepare_cached(delete)?.execute(params![id.as_str()])?;
                continue;
            }
        };
        connection
            .prepare_cached("INSERT OR REPLACE INTO worker (id, record, seal) VALUES (?1, ?2, ?3)")?
            .execute(params![id.as_str(), text, seal(id.as_str(), &text)])?;
    }
    for moment in &batch.statuses {
        write_status(connection, moment)?;
    }
    for event in &batch.events {
        write_event(connection, event)?;
        if event.sequence % TRIM_EVERY == 0 {
            trim(connection, kept)?;
        }
    }
    if let Some(next) = batch.next_run {
        write_meta(connection, "next_run", &next.to_string())?;
    }
    if let Some((life, boot)) = batch.life {
        let word = match life {
            Life::Lasts => reading::LASTS,
            Life::Left => reading::LEFT,
            Life::Ended => reading::ENDED,
        };
        write_meta(connection, "clean", word)?;
        write_meta(connection, "boot", &boot.to_string())?;
    }
    Ok(())
}

fn write_event(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let worker = event.worker.as_ref().map(WorkerId::as_str);
    let sequence = event.sequence.cast_signed();
    let body = wire::encode_event(event);
    let seal = seal(&event_name(sequence, worker), &body);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO event (sequence, worker, body, seal) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![sequence, worker, body, seal])
        .map(drop)
}

fn write_status(connection: &Connection, moment: &Moment) -> rusqlite::Result<()> {
    let (worker, sequence) = (moment.worker.as_str(), moment.sequence.cast_signed());
    let body = wire::encode_status(moment);
    let seal = seal(&event_name(sequence, Some(worker)), &body);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO status (worker, sequence, body, seal) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![worker, sequence, body, seal])
        .map(drop)
}

/// Removes all but the latest events. Counted, because numbers may jump.
fn trim(connection: &Connection, kept: u32) -> rusqlite::Result<()> {
    let last = "SELECT sequence FROM event ORDER BY sequence DESC LIMIT 1 OFFSET ?1";
    let last = connection
        .prepare_cached(last)?
        .query_row([kept], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(last) = last else { return Ok(()) };
    trim_statuses(connection, last)?;
    connection.prepare_cached("DELETE FROM event WHERE sequence <= ?1")?.execute([last]).map(drop)
}

/// Leaves of each worker whose events go the status that holds when the journal begins.
fn trim_statuses(connection: &Connection, last: i64) -> rusqlite::Result<()> {
    let mut question =
        connection.prepare_cached("SELECT DISTINCT worker FROM event WHERE sequence <= ?1")?;
    let workers = question.query_map([last], |row| row.get::<_, Option<String>>(0))?;
    let workers: Vec<Option<String>> = workers.collect::<rusqlite::Result<_>>()?;
    if workers.contains(&None) {
        // Something of the master itself goes: some status may have had no event.
        let all =
            "DELETE FROM status WHERE sequence < ?1 AND sequence < (SELECT max(later.sequence)
                   FROM status later WHERE later.worker = status.worker AND later.sequence <= ?1)";
        connection.prepare_cached(all)?.execute([last])?;
    }
    for worker in workers.into_iter().flatten() {
        let earlier = "DELETE FROM status WHERE worker = ?1 AND sequence < (SELECT max(sequence)
                       FROM status WHERE worker = ?1 AND sequence <= ?2)";
        connection.prepare_cached(earlier)?.execute(params![worker, last])?;
        let gone = "DELETE FROM status WHERE worker = ?1 AND sequence <= ?2 AND body = ?3";
        connection.prepare_cached(gone)?.execute(params![worker, last, wire::GONE])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
