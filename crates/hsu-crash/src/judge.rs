//! The judge: opens what a crash left with the real store, and says what is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hsu_core::record::WorkerRecord;
use hsu_model::id::WorkerId;
use hsu_store::{Durability, Store};

use crate::disk::{self, Files};
use crate::script::{WORKERS, batch, event, record, worker};

/// What must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// Every operation up to this one is there.
    pub operation: u64,
    /// Every run up to this one was used, and is not used again.
    pub runs: u64,
}

/// Whether something of a broken database was put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was whole.
    Whole,
    /// A part of it was put aside, and a new one begun.
    Broken,
}

/// The records after an operation.
fn records(last: u64) -> BTreeMap<WorkerId, WorkerRecord> {
    let first = last.saturating_sub(WORKERS - 1).max(1);
    (first..=last).map(|operation| (worker(operation), record(operation))).collect()
}

/// Opens files with the real store: nothing that was promised is missing, nothing false
/// is believed, and the store works.
///
/// # Errors
/// What does not hold.
pub fn judge(files: &Files, promise: Promise) -> Result<Found> {
    let folder = tempfile::tempdir_in(memory())?;
    disk::place(files, folder.path())?;
    judge_folder(folder.path(), promise)
}

/// A folder whose files are in memory, so that a sync costs nothing.
#[must_use]
pub fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// The same for files that are in place.
///
/// # Errors
/// What does not hold.
pub fn judge_folder(folder: &Path, promise: Promise) -> Result<Found> {
    let opened = Store::open(folder, Box::new(|| {})).context("the store does not open")?;
    let found = if opened.recovered.is_some() { Found::Broken } else { Found::Whole };
    let why = opened.recovered.unwrap_or_default();
    let loaded = opened.store.load().context("the store cannot be read")?;
    let events = opened.store.reader().events(0, None, usize::MAX).context("events")?;
    let last = events.last().map_or(0, |event| event.sequence);
    ensure!(
        last >= promise.operation,
        "operation {} was acknowledged, and {last} is the last that is there ({why})",
        promise.operation
    );
    for (place, found) in (1_u64..).zip(&events) {
        ensure!(found == &event(place), "event {place} is {found:?} ({why})");
    }
    ensure!(loaded.workers == records(last), "the records are not of the moment {last} ({why})");
    ensure!(loaded.last_event >= last, "event {} would be given again", loaded.last_event);
    ensure!(
        loaded.next_run > promise.runs.max(last),
        "run {} would be given again ({why})",
        loaded.next_run
    );
    // A new numbering is no gap in what is there.
    let next = last + 1;
    opened.store.submit(batch(next, Durability::Synced));
    ensure!(opened.store.flush(), "nothing can be written: {:?}", opened.store.health());
    opened.store.close().context("the store does not close")?;
    let again = Store::open(folder, Box::new(|| {})).context("the store does not open again")?;
    ensure!(again.recovered.is_none(), "opened again, it is {:?}", again.recovered);
    let loaded = again.store.load().context("read again")?;
    ensure!(loaded.workers == records(next), "what was written afterwards is not there");
    Ok(found)
}
