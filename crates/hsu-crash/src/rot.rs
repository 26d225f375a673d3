//! Rot: bits that flip and files that were cut, in the files of a whole store.
//!
//! What is still there is what was written, whatever rots: nothing false is
//! believed, no number is given twice, and the store works.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hsu_store::{Durability, Store};

use crate::disk::{self, Files};
use crate::image::{Image, OPERATIONS};
use crate::judge::memory;
use crate::random::Random;
use crate::report::Report;
use crate::script::{batch, event, record, worker};

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which bits and lengths are taken, when not all of them are.
    pub seed: u64,
    /// Of so many bits, and of so many lengths, one is tried; 1 is each of them.
    pub every: usize,
}

/// Flips bits and cuts files.
///
/// # Errors
/// The whole store cannot be made.
pub fn run(plan: Plan) -> Result<Report> {
    let mut random = Random(plan.seed);
    let mut report = Report::default();
    for image in [Image::Killed, Image::Closed] {
        let (whole, _) = image.make()?;
        for name in whole.keys() {
            let length = whole.get(name).map_or(0, Vec::len);
            for place in 0..length {
                for bit in 0..8 {
                    if random.once_in(plan.every) {
                        let what = format!("{image:?}: bit {bit} of byte {place}");
                        attempt(&whole, name, &what, &mut report, |bytes| {
                            bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << bit);
                        });
                    }
                }
                if random.once_in(plan.every) {
                    let what = format!("{image:?}: cut at {place}");
                    attempt(&whole, name, &what, &mut report, |bytes| bytes.truncate(place));
                }
            }
        }
        for range in rows(&whole) {
            for place in range.1 {
                // Each byte of each kind of row, whatever else is left out.
                let bit = random.below(8);
                let what = format!("{image:?}: bit {bit} of byte {place}, in a row");
                attempt(&whole, &range.0, &what, &mut report, |bytes| {
                    bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << bit);
                });
            }
        }
    }
    Ok(report)
}

/// Where one row of each table is, with its seal, and what makes a table.
fn rows(files: &Files) -> Vec<(PathBuf, Range<usize>)> {
    /// Bytes of a row before and behind its text: its length, its key and its seal.
    const AROUND: usize = 24;
    let texts = [
        "{\"sequence\":7,",
        "{\"removed\":false,",
        "reserved_runs",
        "{\"at\":",
        "CREATE TABLE event",
    ];
    let mut rows = Vec::new();
    for (name, bytes) in files {
        for text in texts {
            let found = bytes.windows(text.len()).rposition(|window| window == text.as_bytes());
            rows.extend(found.map(|place| {
                let end = bytes.len().min(place + 200);
                (name.clone(), place.saturating_sub(AROUND)..end)
            }));
        }
    }
    rows
}

fn attempt(
    whole: &Files,
    name: &Path,
    what: &str,
    report: &mut Report,
    rot: impl FnMut(&mut Vec<u8>),
) {
    let mut files = whole.clone();
    files.get_mut(name).into_iter().for_each(rot);
    report.tried += 1;
    match judge(&files) {
        Ok(is_broken) => report.broken += u64::from(is_broken),
        Err(error) => {
            report.find(format!("{}, {what}: {error:#}", name.display()), Some(&files));
        }
    }
}

/// Opens what rotted; whether it was put aside.
fn judge(files: &Files) -> Result<bool> {
    let folder = tempfile::tempdir_in(memory())?;
    disk::place(files, folder.path())?;
    let opened = Store::open(folder.path(), Box::new(|| {})).context("it does not open")?;
    let loaded = opened.store.load().context("it cannot be read")?;
    for (id, found) in &loaded.workers {
        let operation = found.restarts;
        let is_true = (id, found) == (&worker(operation), &record(operation));
        ensure!(is_true, "{id} is believed to be {found:?}");
    }
    for found in opened.store.reader().events(0, None, usize::MAX).context("events")? {
        ensure!(found == event(found.sequence), "{found:?} is believed");
    }
    // A file that was cut to nothing is one that was never there.
    let is_gone = loaded.life.is_none() && loaded.workers.is_empty() && loaded.last_event == 0;
    ensure!(is_gone || loaded.next_run > OPERATIONS, "run {} once more", loaded.next_run);
    let next = loaded.last_event + 1;
    opened.store.submit(batch(next, Durability::Synced));
    ensure!(opened.store.flush(), "nothing can be written: {:?}", opened.store.health());
    opened.store.close().context("it does not close")?;
    let again = Store::open(folder.path(), Box::new(|| {})).context("it does not open again")?;
    ensure!(again.recovered.is_none(), "opened again, it is {:?}", again.recovered);
    ensure!(again.store.load()?.last_event == next, "what was written afterwards is not there");
    Ok(opened.recovered.is_some())
}
