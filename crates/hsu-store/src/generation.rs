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
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

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

/// Whether rows that cannot be read are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Salvage {
    /// Every row, or no new generation.
    Everything,
    /// Whatever can be read.
    WhatCanBeRead,
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

/// Completes a change of generation that a crash has interrupted; where the earlier one is.
pub(crate) fn resume(path: &Path) -> Result<Option<PathBuf>, Fault> {
    if path.exists() || !next_of(path).exists() {
        return Ok(None);
    }
    let aside = free_name(path).map_err(Fault::Files)?;
    finish(path, &aside).map(|()| Some(aside))
}

/// The log of the old generation would be taken for the new one's.
fn finish(path: &Path, aside: &Path) -> Result<(), Fault> {
    for suffix in SUFFIXES {
        rename(&beside(path, suffix), &beside(aside, suffix)).map_err(Fault::Files)?;
    }
    sync_folder(path).map_err(Fault::Sync)?;
    rename(&next_of(path), path).map_err(Fault::Files)?;
    sync_folder(path).map_err(Fault::Sync)
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

fn sync_folder(path: &Path) -> io::Result<()> {
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
    if let Ok(old) = reading::connect(path) {
        let (workers, workers_are_whole) = carry_workers(&old, new);
        let (events, events_are_whole) = carry_events(&old, new);
        let statuses_are_whole = carry_statuses(&old, new);
        let (values, values_are_whole) = carry_values(&old, new);
        let is_whole =
            workers_are_whole && events_are_whole && statuses_are_whole && values_are_whole;
        saved = Saved { workers, events, is_whole };
        numbers_are_known = events_are_whole && values == CARRIED.len();
    }
    if salvage == Salvage::Everything && !saved.is_whole {
        let what = "not every row of it can be read at present";
        return Err(Fault::Damaged(what.to_owned()));
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

/// Copies rows until one cannot be read; how many, and whether it was all of them.
fn copy(
    old: &Connection,
    question: &str,
    mut take: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
) -> (u32, bool) {
    let mut count = 0;
    let mut is_whole = true;
    let mut copy = || -> rusqlite::Result<()> {
        let mut statement = old.prepare(question)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // A value of a wrong type is as damaged as a wrong one.
            if take(row).unwrap_or(false) {
                count += 1;
            } else {
                is_whole = false;
            }
        }
        Ok(())
    };
    let ended = copy().is_ok();
    (count, is_whole && ended)
}

fn carry_workers(old: &Connection, new: &Connection) -> (u32, bool) {
    copy(old, "SELECT id, record, seal FROM worker", |row| {
        let (id, record, found): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let is_sound = seal(&id, &record) == found;
        if is_sound {
            new.prepare_cached("INSERT OR REPLACE INTO worker VALUES (?1, ?2, ?3)")?
                .execute(params![id, record, found])?;
        }
        Ok(is_sound)
    })
}

/// Latest first: the first page that cannot be read ends the search.
fn carry_events(old: &Connection, new: &Connection) -> (u32, bool) {
    let question = "SELECT sequence, worker, body, seal FROM event ORDER BY sequence DESC";
    copy(old, question, |row| {
        let (sequence, worker): (i64, Option<String>) = (row.get(0)?, row.get(1)?);
        let (body, found): (String, i64) = (row.get(2)?, row.get(3)?);
        let is_sound = seal(&event_name(sequence, worker.as_deref()), &body) == found;
        if is_sound {
            new.prepare_cached("INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![sequence, worker, body, found])?;
        }
        Ok(is_sound)
    })
}

fn carry_statuses(old: &Connection, new: &Connection) -> bool {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 'status'";
    let Ok(tables) = old.query_row(exists, [], |row| row.get::<_, i64>(0)) else { return false };
    if tables == 0 {
        // An earlier version wrote none.
        return true;
    }
    let (_, is_whole) = copy(old, "SELECT worker, sequence, body, seal FROM status", |row| {
        let (worker, sequence): (String, i64) = (row.get(0)?, row.get(1)?);
        let (body, found): (String, i64) = (row.get(2)?, row.get(3)?);
        let is_sound = seal(&event_name(sequence, Some(&worker)), &body) == found;
        if is_sound {
            new.prepare_cached("INSERT OR REPLACE INTO status VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![worker, sequence, body, found])?;
        }
        Ok(is_sound)
    });
    is_whole
}

/// Copies the single values; how many of those that decide about numbers were there.
fn carry_values(old: &Connection, new: &Connection) -> (usize, bool) {
    let mut numbers = 0;
    let (_, is_whole) = copy(old, "SELECT key, value, seal FROM meta", |row| {
        let (key, value, found): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let is_sound = seal(&key, &value) == found;
        if is_sound {
            numbers += usize::from(CARRIED.contains(&key.as_str()));
            new.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)")?
                .execute(params![key, value, found])?;
        }
        Ok(is_sound)
    });
    (numbers, is_whole)
}
