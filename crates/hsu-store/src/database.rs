//! The database: its tables, and what is written into them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hsu_model::event::Event;
use hsu_model::id::WorkerId;
use rusqlite::{Connection, params};

use crate::batch::{Batch, Change, Durability};
use crate::seal::{event_name, seal};
use crate::wire;

/// The format of the tables. Rises when an older version could misread them.
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

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// SQLite says so.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be synced.
    #[error("the file cannot be synced: {0}")]
    Sync(#[source] io::Error),
    /// The disk keeps a log that was not copied.
    #[error("somebody reads the database, and its log cannot be copied")]
    Busy,
    /// What it holds is not what was written.
    #[error("{0}")]
    Damaged(String),
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
    /// Whether the disk has failed: what it took before is not trusted.
    is_suspect: bool,
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

impl Database {
    /// Makes the tables in an empty file. Nothing is synced: there is nothing to lose yet.
    pub(crate) fn create(mut connection: Connection, path: &Path) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
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
        let (path, level) = (path.to_owned(), Durability::Lazy);
        Ok(Self { connection, path, level, reserved, is_new, is_suspect: false })
    }

    /// Writes one batch in one transaction.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        let written = self.try_write(batch);
        if matches!(&written, Err(Fault::Sqlite(error)) if is_disk_failure(error))
            || matches!(&written, Err(Fault::Sync(_)))
        {
            self.is_suspect = true;
        }
        written
    }

    fn try_write(&mut self, batch: &Batch) -> Result<(), Fault> {
        if self.is_suspect {
            self.renew()?;
        }
        let new_block = batch.next_run.filter(|next| *next >= self.reserved);
        let new_block = new_block.map(|next| next.saturating_add(RUN_BLOCK));
        let level = if new_block.is_some() { Durability::Synced } else { batch.durability };
        self.prepare(level)?;
        let transaction = self.connection.transaction()?;
        write_batch(&transaction, batch, KEPT_EVENTS)?;
        if let Some(reserved) = new_block {
            write_meta(&transaction, "reserved_runs", &reserved.to_string())?;
        }
        transaction.commit()?;
        self.reserved = new_block.unwrap_or(self.reserved);
        Ok(())
    }

    /// FULL syncs the log of the database at the commit, NORMAL leaves it to the kernel.
    fn prepare(&mut self, level: Durability) -> Result<(), Fault> {
        if level == Durability::Synced && self.is_new {
            // An empty database file would throw its log away after a loss of power.
            File::open(&self.path).and_then(|file| file.sync_all()).map_err(Fault::Sync)?;
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

    /// Begins a new generation of the log after the disk has failed: a sync that
    /// failed once says nothing when it is repeated, because the kernel has
    /// dropped the pages. Everything is copied into the database and synced there.
    // Source: Rebello et al., "Can applications recover from fsync failures?", USENIX ATC 2020.
    fn renew(&mut self) -> Result<(), Fault> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = self.connection.query_row(checkpoint, [], |row| row.get(0))?;
        if busy != 0 {
            return Err(Fault::Busy);
        }
        self.is_suspect = false;
        Ok(())
    }

    /// Ends the connection; a log that cannot be copied now is copied by the next master.
    pub(crate) fn close(self) {
        drop(self.connection.close());
    }
}

/// Whether the disk failed, and did not only run out of space.
fn is_disk_failure(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure)
}

pub(crate) fn write_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)")?
        .execute(params![key, value, seal(key, value)])
        .map(drop)
}

/// Writes one batch inside the present transaction.
fn write_batch(connection: &Connection, batch: &Batch, kept: u32) -> rusqlite::Result<()> {
    for (id, change) in &batch.workers {
        let text = match change {
            Change::Record(record) => wire::encode_record(record),
            Change::Removed => wire::STONE.to_owned(),
            Change::Forgotten => {
                let delete = "DELETE FROM worker WHERE id = ?1";
                connection.prepare_cached(delete)?.execute(params![id.as_str()])?;
                continue;
            }
        };
        connection
            .prepare_cached("INSERT OR REPLACE INTO worker VALUES (?1, ?2, ?3)")?
            .execute(params![id.as_str(), text, seal(id.as_str(), &text)])?;
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
    if let Some((clean, boot)) = batch.life {
        write_meta(connection, "clean", if clean { "yes" } else { "no" })?;
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
        .prepare_cached("INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![sequence, worker, body, seal])
        .map(drop)
}

/// Removes all but the latest events. Counted, because numbers may jump.
fn trim(connection: &Connection, kept: u32) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM event WHERE sequence <=
             (SELECT sequence FROM event ORDER BY sequence DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([kept])
        .map(drop)
}

#[cfg(test)]
mod tests;
