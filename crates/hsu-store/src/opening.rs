//! Opening: a sound database is taken, a newer one refused, a broken one put
//! aside and what is sound in it carried over.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::database::{self, APPLICATION, Database, FORMAT, Fault};
use crate::generation::{self, Salvage, Saved, beside};
use crate::reading;
use crate::{Loaded, StoreError};

/// How often it is tried to read all of a broken database.
const ATTEMPTS: u32 = 4;
/// The rest between two attempts.
const REST: Duration = Duration::from_millis(10);

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
    let resumed = generation::resume(path).map_err(|fault| unusable(path, fault))?;
    let note = resumed.map(|aside| {
        format!("its replacement had been interrupted; what it was is kept as {}", aside.display())
    });
    // A disk may fail to read once: what is put aside was looked at twice.
    let found = match try_open(path) {
        Err(fault) if is_broken(&fault) => try_open(path),
        found => found,
    };
    match found {
        Ok(Found::Usable(usable)) => {
            let (database, loaded) = *usable;
            Ok(Ready { database, loaded, recovered: note })
        }
        Ok(Found::Newer(found)) => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
        }
        Err(fault) if is_broken(&fault) => {
            begin_anew(path, &fault).map_err(|fault| unusable(path, fault))
        }
        Err(fault) => Err(unusable(path, fault)),
    }
}

fn unusable(path: &Path, fault: Fault) -> StoreError {
    let path = path.to_owned();
    match fault {
        Fault::Sqlite(source) => StoreError::Database { path, source },
        Fault::Sync(source) | Fault::Files(source) => StoreError::Io { path, source },
        other @ (Fault::Busy | Fault::Damaged(_)) => {
            StoreError::Io { path, source: io::Error::other(other.to_string()) }
        }
    }
}

fn try_open(path: &Path) -> Result<Found, Fault> {
    let length = |suffix| fs::metadata(beside(path, suffix)).map_or(0, |found| found.len());
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
    let (loaded, extras) = reading::load_with_extras(&connection)?;
    // A kill leaves the page cache whole; only a loss of power can tear pages.
    if loaded.clean != Some(true) && loaded.boot != reading::present_boot() {
        check_pages(&connection)?;
    }
    // What of the log could not be believed must not follow what is written next. A
    // full disk refuses it, and then refuses the writing too.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let reserved = reading::reserved_runs(&connection)?;
    let mut database = Database::take(connection, path, reserved, false)?;
    database.keep(extras);
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
        Fault::Sync(_) | Fault::Files(_) | Fault::Busy => false,
    }
}

/// Begins a new database with what is sound in the old one.
fn begin_anew(path: &Path, fault: &Fault) -> Result<Ready, Fault> {
    let saved = salvage(path)?;
    let aside = generation::swap(path)?;
    let connection = database::connect(path)?;
    let (loaded, extras) = reading::load_with_extras(&connection)?;
    let reserved = reading::reserved_runs(&connection)?;
    let mut database = Database::take(connection, path, reserved, false)?;
    database.keep(extras);
    let recovered = format!(
        "{fault}; kept as {}, {} workers and {} events saved of it",
        aside.display(),
        saved.workers,
        saved.events
    );
    Ok(Ready { database, loaded, recovered: Some(recovered) })
}

/// Builds the new database; what the disk does not give in [`ATTEMPTS`] attempts is given up.
fn salvage(path: &Path) -> Result<Saved, Fault> {
    for _ in 1..ATTEMPTS {
        if let Ok(saved) = generation::build(path, Salvage::Patient) {
            return Ok(saved);
        }
        std::thread::sleep(REST);
    }
    match generation::build(path, Salvage::Patient) {
        Err(Fault::Sqlite(error)) if is_lost(&error) => generation::build(path, Salvage::Last),
        built => built,
    }
}

/// Whether a page is not to be had. Whatever else is refused, such as space or
/// descriptors, comes back with a later start.
fn is_lost(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    use rusqlite::ffi::{SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ};
    let unread = [SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_CORRUPTFS];
    let lost = [Code::DatabaseCorrupt, Code::NotADatabase, Code::Unknown];
    match error.sqlite_error() {
        Some(error) if error.code == Code::SystemIoFailure => unread.contains(&error.extended_code),
        Some(error) => lost.contains(&error.code),
        None => true,
    }
}
