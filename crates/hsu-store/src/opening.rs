//! Opening: a sound database is taken, a newer one refused, a broken one put
//! aside and what is sound in it carried over.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Connection;

use crate::database::{self, APPLICATION, Database, FORMAT, Fault};
use crate::generation::{self, beside};
use crate::reading;
use crate::{Life, Loaded, StoreError};

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
        Err(fault) if fault.is_broken() => try_open(path),
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
        Err(fault) if fault.is_broken() => {
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
    check_columns(&connection)?;
    let (loaded, extras) = reading::load_with_extras(&connection)?;
    // A kill leaves the page cache whole; only a loss of power can tear pages.
    if loaded.life != Some(Life::Ended) && loaded.boot != reading::present_boot() {
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

/// Whether each table has the columns that [`database::make_tables`] gives it: what makes a
/// table has no seal, and a bit of it can make another column of a column.
fn check_columns(connection: &Connection) -> Result<(), Fault> {
    let ours = Connection::open_in_memory()?;
    database::make_tables(&ours)?;
    // A later version of this format may add columns and tables.
    let found = columns(connection)?;
    // An earlier version wrote no statuses, and a full disk takes no new table.
    let lacks_added = !found.iter().any(|column| column.table == database::ADDED);
    for column in columns(&ours)? {
        let may_lack = lacks_added && column.table == database::ADDED;
        if !may_lack && !found.contains(&column) {
            let Column { table, name, .. } = column;
            return Err(Fault::Damaged(format!("its table {table} has no column {name} as made")));
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    table: String,
    name: String,
    kind: String,
    is_needed: bool,
    /// Which place it has in the key, from 1; 0 for none.
    in_key: i64,
}

fn columns(connection: &Connection) -> rusqlite::Result<BTreeSet<Column>> {
    let question = "SELECT made.name, told.name, told.type, told.\"notnull\", told.pk
                    FROM sqlite_schema AS made, pragma_table_info(made.name) AS told
                    WHERE made.type = 'table'";
    let mut statement = connection.prepare(question)?;
    let rows = statement.query_map([], |row| {
        let (table, name, kind) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Column { table, name, kind, is_needed: row.get(3)?, in_key: row.get(4)? })
    })?;
    rows.collect()
}

fn check_pages(connection: &Connection) -> Result<(), Fault> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Fault::Damaged(verdict)) }
}

/// Begins a new database with what is sound in the old one.
fn begin_anew(path: &Path, fault: &Fault) -> Result<Ready, Fault> {
    let saved = generation::salvage(path)?;
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
