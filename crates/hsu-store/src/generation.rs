//! Generations: a new database is built beside the old one and put in its place.
//!
//! That is the way out of a database that is broken, and of a disk that failed to
//! sync: the kernel drops the pages of a failed sync, so that repeating it says
//! nothing. Whatever crash comes, there is the old database or the new one.
// Source: Rebello et al., "Can applications recover from fsync failures?", USENIX ATC 2020.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row, params};

use crate::database::{self, Fault};
use crate::reading;
use crate::seal::{event_name, seal};

/// What belongs to a database beside its file. The file itself goes first.
/// A journal of its very first page would roll the new one back.
const SUFFIXES: [&str; 3] = ["-journal", "-wal", "-shm"];
/// Values that tell which numbers were given already.
const CARRIED: [&str; 4] = ["next_run", "reserved_runs", "clean", "boot"];
/// Databases that were put aside and are kept; of more the oldest go.
const KEPT: usize = 5;

/// How often it is tried to read all of a broken database.
const ATTEMPTS: u32 = 4;
/// The rest between two attempts.
const REST: Duration = Duration::from_millis(10);

/// What is given up of the old generation. Rows that rotted always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Salvage {
    /// Nothing that cannot be read: the disk may give it the next time.
    Patient,
    /// Whatever cannot be read.
    Last,
}

/// How much could be carried over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Saved {
    pub(crate) workers: u32,
    pub(crate) events: u32,
    /// Nothing was given up.
    pub(crate) is_whole: bool,
}

/// The name of a file beside the database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn next_of(path: &Path) -> PathBuf {
    beside(path, ".next")
}

pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Builds the next generation with what is sound in the present one, and makes it durable.
pub(crate) fn build(path: &Path, salvage: Salvage) -> Result<Saved, Fault> {
    let next = next_of(path);
    for suffix in SUFFIXES.into_iter().chain([""]) {
        remove(&beside(&next, suffix)).map_err(Fault::Files)?;
    }
    // The one before may not be certain to have left this name.
    sync_folder(path).map_err(Fault::Sync)?;
    let new = database::connect(&next)?;
    // Nothing depends on it before it is synced as a whole.
    new.pragma_update(None, "journal_mode", "MEMORY")?;
    new.pragma_update(None, "synchronous", "OFF")?;
    database::make_tables(&new)?;
    let saved = carry(path, &new, salvage)?;
    new.pragma_update(None, "journal_mode", "WAL")?;
    new.close().map_err(|(_, error)| error)?;
    let synced = File::open(&next).and_then(|file| file.sync_all());
    synced.and_then(|()| sync_folder(path)).map_err(Fault::Sync)?;
    Ok(saved)
}

/// Builds the next generation of one that is broken; what the disk does not give in [`ATTEMPTS`] attempts is given up.
pub(crate) fn salvage(path: &Path) -> Result<Saved, Fault> {
    for _ in 1..ATTEMPTS {
        if let Ok(saved) = build(path, Salvage::Patient) {
            return Ok(saved);
        }
        std::thread::sleep(REST);
    }
    match build(path, Salvage::Patient) {
        Err(Fault::Sqlite(error)) if is_lost(&error) => build(path, Salvage::Last),
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

/// Puts the next generation in the place of the present one, which nobody has open for
/// writing; where the present one is kept.
pub(crate) fn swap(path: &Path) -> Result<PathBuf, Fault> {
    let aside = free_name(path).map_err(Fault::Files)?;
    rename(path, &aside).map_err(Fault::Files)?;
    // A database without its log has lost its latest commits: never the other way round.
    sync_folder(path).map_err(Fault::Sync)?;
    finish(path, &aside)?;
    forget_the_oldest(path);
    Ok(aside)
}

/// Completes a change of generation that a crash or the disk has interrupted; where the
/// earlier one is.
pub(crate) fn resume(path: &Path) -> Result<Option<PathBuf>, Fault> {
    if path.exists() || !next_of(path).exists() {
        return Ok(None);
    }
    // It was put aside last, and its log may have to follow.
    let latest = put_aside(path).into_iter().max();
    let aside = latest.filter(|aside| !beside(aside, "-wal").exists());
    let aside = aside.map_or_else(|| free_name(path), Ok).map_err(Fault::Files)?;
    finish(path, &aside).map(|()| Some(aside))
}

/// The log of the old generation would be taken for the new one's.
fn finish(path: &Path, aside: &Path) -> Result<(), Fault> {
    for suffix in SUFFIXES {
        rename(&beside(path, suffix), &beside(aside, suffix)).map_err(Fault::Files)?;
    }
    sync_folder(path).map_err(Fault::Sync)?;
    // Until that is certain, it is done again; whoever must rely on it syncs the folder.
    rename(&next_of(path), path).map_err(Fault::Files)
}

/// Removes a generation that was put aside.
pub(crate) fn forget(aside: &Path) {
    for suffix in SUFFIXES.into_iter().chain([""]) {
        // What is left costs space, and nothing else.
        drop(fs::remove_file(beside(aside, suffix)));
    }
}

fn forget_the_oldest(path: &Path) {
    let mut kept = put_aside(path);
    kept.sort();
    let surplus = kept.len().saturating_sub(KEPT);
    kept.iter().take(surplus).for_each(|aside| forget(aside));
}

/// The databases that were put aside.
fn put_aside(path: &Path) -> Vec<PathBuf> {
    let prefix = beside(path, ".broken-");
    let (Some(folder), Some(prefix)) = (path.parent(), prefix.file_name()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let prefix = prefix.as_encoded_bytes();
    let is_file_of = |name: &OsString| {
        SUFFIXES.iter().any(|suffix| name.as_encoded_bytes().ends_with(suffix.as_bytes()))
    };
    names
        .filter(|name| name.as_encoded_bytes().starts_with(prefix) && !is_file_of(name))
        .map(|name| folder.join(name))
        .collect()
}

/// Makes the names of the files beside the database certain.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn free_name(path: &Path) -> io::Result<PathBuf> {
    let seconds = seconds();
    (0..1000)
        .map(|number| beside(path, &format!(".broken-{seconds}-{number:03}")))
        .find(|aside| !aside.exists() && !beside(aside, "-wal").exists())
        .ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    absent_is_fine(fs::rename(from, to))
}

fn remove(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Copies every row whose seal fits.
fn carry(path: &Path, new: &Connection, salvage: Salvage) -> Result<Saved, Fault> {
    let mut saved = Saved::default();
    let mut numbers_are_known = false;
    new.execute_batch("BEGIN")?;
    // Where there is no file there is nothing to be read.
    let old = if path.exists() { reading::connect(path).map(Some) } else { Ok(None) };
    let old = match old {
        Ok(old) => old,
        Err(error) if salvage == Salvage::Patient => return Err(Fault::Sqlite(error)),
        Err(_) => None,
    };
    if let Some(old) = old {
        let copy = Copy { old: &old, new, salvage };
        let (workers, events) = (copy.workers()?, copy.events()?);
        let (statuses, values) = (copy.statuses()?, copy.values()?);
        saved = Saved {
            workers: workers.rows,
            events: events.rows,
            is_whole: [&workers, &events, &statuses, &values].iter().all(|copied| copied.is_whole),
        };
        numbers_are_known = events.is_whole && CARRIED.iter().all(|key| is_there(new, key));
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

fn is_there(new: &Connection, key: &str) -> bool {
    let question = "SELECT count(*) FROM meta WHERE key = ?1";
    new.query_row(question, [key], |row| row.get::<_, i64>(0)).is_ok_and(|count| count == 1)
}

/// What became of the rows of one table.
#[derive(Clone, Copy, Debug)]
struct Copied {
    rows: u32,
    is_whole: bool,
}

/// From one generation to the next.
struct Copy<'a> {
    old: &'a Connection,
    new: &'a Connection,
    salvage: Salvage,
}

impl Copy<'_> {
    /// Copies rows until one cannot be read. Whatever `put` says is about the new generation,
    /// and ends the copy; it returns whether the row is sound.
    fn rows(
        &self,
        question: &str,
        mut put: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
    ) -> Result<Copied, Fault> {
        let mut copied = Copied { rows: 0, is_whole: true };
        let statement = self.old.prepare(question);
        let mut statement = match statement {
            Ok(statement) => statement,
            Err(error) => return self.end(copied, error),
        };
        let mut rows = match statement.query([]) {
            Ok(rows) => rows,
            Err(error) => return self.end(copied, error),
        };
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let is_sound = put(row)?;
                    copied.rows += u32::from(is_sound);
                    copied.is_whole &= is_sound;
                }
                Ok(None) => return Ok(copied),
                Err(error) => return self.end(copied, error),
            }
        }
    }

    /// The old generation yields no more. SQLite takes a page that the disk refuses for one
    /// that is corrupt, so that only another attempt tells them apart.
    fn end(&self, copied: Copied, error: rusqlite::Error) -> Result<Copied, Fault> {
        match self.salvage {
            Salvage::Patient => Err(Fault::Sqlite(error)),
            Salvage::Last => Ok(Copied { is_whole: false, ..copied }),
        }
    }

    fn workers(&self) -> Result<Copied, Fault> {
        self.rows("SELECT id, record, seal FROM worker", |row| {
            let (id, record, found) = (text(row, 0), text(row, 1), number(row, 2));
            let (Some(id), Some(record), Some(found)) = (id, record, found) else {
                return Ok(false);
            };
            let is_sound = seal(&id, &record) == found;
            if is_sound {
                let insert = "INSERT OR REPLACE INTO worker (id, record, seal) VALUES (?1, ?2, ?3)";
                self.new.prepare_cached(insert)?.execute(params![id, record, found])?;
            }
            Ok(is_sound)
        })
    }

    /// Latest first: the first page that cannot be read ends the search.
    fn events(&self) -> Result<Copied, Fault> {
        let question = "SELECT sequence, worker, body, seal FROM event ORDER BY sequence DESC";
        self.rows(question, |row| {
            let Ok(worker) = row.get::<_, Option<String>>(1) else { return Ok(false) };
            let (sequence, body, found) = (number(row, 0), text(row, 2), number(row, 3));
            let (Some(sequence), Some(body), Some(found)) = (sequence, body, found) else {
                return Ok(false);
            };
            let is_sound = seal(&event_name(sequence, worker.as_deref()), &body) == found;
            if is_sound {
                let insert = "INSERT OR REPLACE INTO event (sequence, worker, body, seal) VALUES (?1, ?2, ?3, ?4)";
                let values = params![sequence, worker, body, found];
                self.new.prepare_cached(insert)?.execute(values)?;
            }
            Ok(is_sound)
        })
    }

    fn statuses(&self) -> Result<Copied, Fault> {
        let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 'status'";
        match self.old.query_row(exists, [], |row| row.get::<_, i64>(0)) {
            // An earlier version wrote none.
            Ok(0) => return Ok(Copied { rows: 0, is_whole: true }),
            Ok(_) => {}
            Err(error) => return self.end(Copied { rows: 0, is_whole: false }, error),
        }
        self.rows("SELECT worker, sequence, body, seal FROM status", |row| {
            let (worker, sequence) = (text(row, 0), number(row, 1));
            let (body, found) = (text(row, 2), number(row, 3));
            let (Some(worker), Some(sequence), Some(body), Some(found)) =
                (worker, sequence, body, found)
            else {
                return Ok(false);
            };
            let is_sound = seal(&event_name(sequence, Some(&worker)), &body) == found;
            if is_sound {
                let insert = "INSERT OR REPLACE INTO status (worker, sequence, body, seal) VALUES (?1, ?2, ?3, ?4)";
                let values = params![worker, sequence, body, found];
                self.new.prepare_cached(insert)?.execute(values)?;
            }
            Ok(is_sound)
        })
    }

    fn values(&self) -> Result<Copied, Fault> {
        self.rows("SELECT key, value, seal FROM meta", |row| {
            let (key, value, found) = (text(row, 0), text(row, 1), number(row, 2));
            let (Some(key), Some(value), Some(found)) = (key, value, found) else {
                return Ok(false);
            };
            let is_sound = seal(&key, &value) == found;
            if is_sound {
                let insert = "INSERT OR REPLACE INTO meta (key, value, seal) VALUES (?1, ?2, ?3)";
                self.new.prepare_cached(insert)?.execute(params![key, value, found])?;
            }
            Ok(is_sound)
        })
    }
}

/// A value of a wrong type is as damaged as a wrong one.
fn text(row: &Row<'_>, place: usize) -> Option<String> {
    row.get(place).ok()
}

fn number(row: &Row<'_>, place: usize) -> Option<i64> {
    row.get(place).ok()
}
