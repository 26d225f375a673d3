//! The database: tables, statements, and what is done with a broken one.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hsu_model::event::Event;
use hsu_model::id::WorkerId;
use hsu_model::process::BootId;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::{Batch, Loaded, StoreError, wire};

/// The format of the tables. Rises when an older version could misread them.
const FORMAT: i64 = 1;
/// `HSUM`: tells the file apart from other databases.
const APPLICATION: i64 = 0x4853_554d;
/// Events that are kept.
const KEPT_EVENTS: u64 = 100_000;
/// How often, in events, older ones are removed.
const TRIM_EVERY: u64 = 1_000;

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE worker (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE event (sequence INTEGER PRIMARY KEY, worker TEXT, body TEXT NOT NULL);
    CREATE INDEX event_by_worker ON event (worker, sequence);
";

/// Opens the writing connection; what was put aside, as text.
pub(crate) fn open(path: &Path) -> Result<(Connection, Option<String>), StoreError> {
    let failed = |source| StoreError::Database { path: path.to_owned(), source };
    match try_open(path) {
        Ok(Found::Usable(connection)) => Ok((connection, None)),
        Ok(Found::Newer(found)) => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
        }
        Err(error) if is_broken(&error) => {
            let aside = put_aside(path)
                .map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
            match try_open(path).map_err(failed)? {
                Found::Usable(connection) => Ok((connection, Some(format!("{error}; {aside}")))),
                Found::Newer(found) => {
                    Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
                }
            }
        }
        Err(error) => Err(failed(error)),
    }
}

enum Found {
    Usable(Connection),
    Newer(i64),
}

fn try_open(path: &Path) -> rusqlite::Result<Found> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format > FORMAT {
        return Ok(Found::Newer(format));
    }
    // Small, because the whole master has to be.
    connection.pragma_update(None, "cache_size", -512)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    if format == 0 {
        // Nothing is lost by a crash here: there is nothing yet.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()?;
    } else if read_meta(&connection, "clean")?.as_deref() != Some("yes") {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(rusqlite::Error::InvalidParameterName(verdict));
        }
    }
    load(&connection)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(Found::Usable(connection))
}

/// Whether an error means that the file is no good, and not that it cannot be reached.
fn is_broken(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(
            rusqlite::ErrorCode::DatabaseCorrupt
            | rusqlite::ErrorCode::NotADatabase
            | rusqlite::ErrorCode::Unknown,
        )
        | None => true,
        Some(_) => false,
    }
}

/// Renames the database and what belongs to it; says how it is called now.
fn put_aside(path: &Path) -> std::io::Result<String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for suffix in ["", "-wal", "-shm"] {
        let named = |tail: String| {
            let mut name = path.as_os_str().to_owned();
            name.push(tail);
            name
        };
        let aside =
            std::fs::rename(named(suffix.to_owned()), named(format!(".broken-{seconds}{suffix}")));
        match aside {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(format!("kept as {}.broken-{seconds}", path.display()))
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update(None, "cache_size", -256)?;
    Ok(connection)
}

fn read_meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

fn write_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
        .execute([key, value])
        .map(drop)
}

/// Writes one batch inside the present transaction.
pub(crate) fn write(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    for (id, record) in &batch.workers {
        let text = wire::encode_record(record.as_ref());
        connection
            .prepare_cached("INSERT OR REPLACE INTO worker VALUES (?1, ?2)")?
            .execute([id.as_str(), &text])?;
    }
    for event in &batch.events {
        let worker = event.worker.as_ref().map(WorkerId::as_str);
        let body = wire::encode_event(event);
        connection
            .prepare_cached("INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3)")?
            .execute(params![event.sequence.cast_signed(), worker, body])?;
        if event.sequence % TRIM_EVERY == 0 && event.sequence > KEPT_EVENTS {
            let oldest = (event.sequence - KEPT_EVENTS).cast_signed();
            connection
                .prepare_cached("DELETE FROM event WHERE sequence <= ?1")?
                .execute([oldest])?;
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

/// Everything that is needed to go on.
pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut statement = connection.prepare_cached("SELECT id, record FROM worker")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for row in rows {
        let (id, text): (String, String) = row?;
        // A record that cannot be read is one that is not there: the worker begins anew.
        if let (Ok(id), Some(record)) = (WorkerId::new(&id), wire::decode_record(&text)) {
            loaded.workers.insert(id, record);
        }
    }
    let last: Option<i64> =
        connection.query_row("SELECT max(sequence) FROM event", [], |row| row.get(0))?;
    loaded.last_event = last.unwrap_or(0).cast_unsigned();
    let next = read_meta(connection, "next_run")?;
    loaded.next_run = next.and_then(|text| text.parse().ok()).unwrap_or(1);
    loaded.clean = read_meta(connection, "clean")?.map(|text| text == "yes");
    loaded.boot = read_meta(connection, "boot")?.and_then(|text| parse_boot(&text));
    Ok(loaded)
}

fn parse_boot(text: &str) -> Option<BootId> {
    u128::from_str_radix(text, 16).ok().map(|number| BootId(number.to_be_bytes()))
}

/// Events after a number, oldest first.
pub(crate) fn events(
    connection: &Connection,
    after: u64,
    worker: Option<&WorkerId>,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT body FROM event WHERE sequence > ?1 AND (?2 IS NULL OR worker = ?2)
         ORDER BY sequence LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let worker = worker.map(WorkerId::as_str);
    let rows = statement
        .query_map(params![after.cast_signed(), worker, limit], |row| row.get::<_, String>(0))?;
    rows.map(|row| row.map(|text| wire::decode_event(&text)))
        .filter_map(Result::transpose)
        .collect()
}

/// The latest events, oldest first.
pub(crate) fn last_events(
    connection: &Connection,
    worker: Option<&WorkerId>,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT body FROM event WHERE ?1 IS NULL OR worker = ?1
         ORDER BY sequence DESC LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let worker = worker.map(WorkerId::as_str);
    let rows = statement.query_map(params![worker, limit], |row| row.get::<_, String>(0))?;
    let mut events: Vec<Event> = rows
        .map(|row| row.map(|text| wire::decode_event(&text)))
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<_>>()?;
    events.reverse();
    Ok(events)
}
