//! Opening: a sound database is taken, a newer one refused, a broken one put
//! aside and what is sound in it carried over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::database::{self, APPLICATION, Database, FORMAT, Fault};
use crate::reading::{self, meta};
use crate::seal::{event_name, seal};
use crate::{Loaded, StoreError};

/// The files of one database.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// Values that are carried over. The others begin anew.
const CARRIED: [&str; 4] = ["next_run", "reserved_runs", "clean", "boot"];

/// A database that is ready.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) database: Database,
    pub(crate) loaded: Loaded,
    /// What was wrong with the earlier one, and what was saved of it.
    pub(crate) recovered: Option<String>,
}

enum Found {
    Usable(Box<(Database, Loaded)>),
    Newer(i64),
}

/// Opens the database, whatever state it is in.
pub(crate) fn open(path: &Path) -> Result<Ready, StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    match try_open(path) {
        Ok(Found::Usable(usable)) => {
            let (database, loaded) = *usable;
            Ok(Ready { database, loaded, recovered: None })
        }
        Ok(Found::Newer(found)) => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
        }
        Err(fault) if is_broken(&fault) => {
            let aside = put_aside(path).map_err(io)?;
            begin_anew(path, &aside, &fault).map_err(|fault| unusable(path, fault))
        }
        Err(fault) => Err(unusable(path, fault)),
    }
}

fn unusable(path: &Path, fault: Fault) -> StoreError {
    let path = path.to_owned();
    match fault {
        Fault::Sqlite(source) => StoreError::Database { path, source },
        Fault::Sync(source) => StoreError::Io { path, source },
        other @ (Fault::Busy | Fault::Damaged(_)) => {
            StoreError::Io { path, source: io::Error::other(other.to_string()) }
        }
    }
}

fn try_open(path: &Path) -> Result<Found, Fault> {
    let length = |suffix| fs::metadata(named(path, suffix)).map_or(0, |found| found.len());
    if length("") == 0 && length("-wal") > 0 {
        // SQLite would throw the log away.
        return Err(Fault::Damaged("the database is empty, and its log is not".to_owned()));
    }
    let connection = database::connect(path)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (format, application) = (number("user_version")?, number("application_id")?);
    if application != 0 && application != APPLICATION {
        return Err(Fault::Damaged("it is the database of another program".to_owned()));
    }
    if format > FORMAT {
        return Ok(Found::Newer(format));
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if tables == 0 && format == 0 {
        let database = Database::create(connection, path)?;
        let loaded = Loaded { next_run: 1, ..Loaded::default() };
        return Ok(Found::Usable(Box::new((database, loaded))));
    }
    if format < FORMAT || application != APPLICATION {
        return Err(Fault::Damaged("its tables are there, and its format is not".to_owned()));
    }
    let loaded = reading::load(&connection)?;
    // A kill leaves the page cache whole; only a loss of power can tear pages.
    if loaded.clean != Some(true) && loaded.boot != reading::present_boot() {
        check_pages(&connection)?;
    }
    // What of the log could not be believed must not follow what is written next. A
    // full disk refuses it, and then refuses the writing too.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let reserved = reading::reserved_runs(&connection)?;
    let database = Database::take(connection, path, reserved, false)?;
    Ok(Found::Usable(Box::new((database, loaded))))
}

fn check_pages(connection: &Connection) -> Result<(), Fault> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Fault::Damaged(verdict)) }
}

/// Whether a fault means that the file is no good, and not that it cannot be reached.
fn is_broken(fault: &Fault) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown};
    match fault {
        Fault::Damaged(_) => true,
        // A table or a column that is not there is `Unknown`, a value of a wrong
        // type has no code.
        Fault::Sqlite(error) => error.sqlite_error_code().is_none_or(|code| {
            [DatabaseCorrupt, NotADatabase, TypeMismatch, Unknown].contains(&code)
        }),
        Fault::Sync(_) | Fault::Busy => false,
    }
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Renames the database and what belongs to it; its name now.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let free = |number: &u32| {
        let aside = named(path, &format!(".broken-{}-{number}", seconds()));
        (!aside.exists()).then_some(aside)
    };
    let aside = (0..1000).find_map(|number| free(&number));
    let aside = aside.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
    for suffix in SUFFIXES {
        match fs::rename(named(path, suffix), named(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(aside)
}

/// Begins a new database with what is sound in the old one.
fn begin_anew(path: &Path, aside: &Path, fault: &Fault) -> Result<Ready, Fault> {
    let database = Database::create(database::connect(path)?, path)?;
    let saved = Saved::carry(aside, &database.connection)?;
    let loaded = reading::load(&database.connection)?;
    let reserved = reading::reserved_runs(&database.connection)?;
    let database = Database::take(database.connection, path, reserved, true)?;
    let recovered = format!(
        "{fault}; kept as {}, {} workers and {} events saved of it",
        aside.display(),
        saved.workers,
        saved.events
    );
    Ok(Ready { database, loaded, recovered: Some(recovered) })
}

/// How much could be carried over.
#[derive(Clone, Copy, Debug, Default)]
struct Saved {
    workers: u32,
    events: u32,
}

impl Saved {
    /// Copies every row whose seal fits, until the old database yields no more.
    fn carry(aside: &Path, new: &Connection) -> Result<Self, Fault> {
        let mut saved = Self::default();
        let mut numbers_are_known = false;
        new.execute_batch("BEGIN")?;
        if let Ok(old) = reading::connect(aside) {
            saved.workers = carry_workers(&old, new);
            let (events, is_whole) = carry_events(&old, new);
            saved.events = events;
            let values: Vec<_> =
                CARRIED.iter().map(|key| (*key, meta(&old, key).ok().flatten())).collect();
            numbers_are_known = is_whole && values.iter().all(|(_, value)| value.is_some());
            for (key, value) in values {
                if let Some(value) = value {
                    database::write_meta(new, key, &value)?;
                }
            }
        }
        if !numbers_are_known {
            // No run and no event was ever numbered like this: a thousand a second since 1970.
            let floor = seconds().saturating_mul(1000).to_string();
            database::write_meta(new, "next_run", &floor)?;
            database::write_meta(new, "event_floor", &floor)?;
        }
        new.execute_batch("COMMIT")?;
        Ok(saved)
    }
}

fn carry_workers(old: &Connection, new: &Connection) -> u32 {
    let copy = || -> rusqlite::Result<u32> {
        let mut count = 0;
        let mut statement = old.prepare("SELECT id, record, seal FROM worker")?;
        let mut rows = statement.query([])?;
        // The first page that cannot be read ends the search.
        while let Ok(Some(row)) = rows.next() {
            let row = (row.get::<_, String>(0), row.get::<_, String>(1), row.get::<_, i64>(2));
            if let (Ok(id), Ok(record), Ok(found)) = row
                && seal(&id, &record) == found
            {
                count += 1;
                new.execute(
                    "INSERT OR REPLACE INTO worker VALUES (?1, ?2, ?3)",
                    params![id, record, found],
                )?;
            }
        }
        Ok(count)
    };
    copy().unwrap_or(0)
}

/// Copies events, latest first; how many, and whether all could be read.
fn carry_events(old: &Connection, new: &Connection) -> (u32, bool) {
    let mut count = 0;
    let mut is_whole = true;
    let mut copy = || -> rusqlite::Result<()> {
        let text = "SELECT sequence, worker, body, seal FROM event ORDER BY sequence DESC";
        let mut statement = old.prepare(text)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (worker, body) = (row.get::<_, Option<String>>(1), row.get::<_, String>(2));
            let (sequence, found) = (row.get::<_, i64>(0), row.get::<_, i64>(3));
            if let (Ok(sequence), Ok(worker), Ok(body), Ok(found)) = (sequence, worker, body, found)
                && seal(&event_name(sequence, worker.as_deref()), &body) == found
            {
                count += 1;
                new.prepare_cached("INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![sequence, worker, body, found])?;
            } else {
                is_whole = false;
            }
        }
        Ok(())
    };
    let ended = copy().is_ok();
    (count, is_whole && ended)
}
