//! The small files beside a spool's data: its head, its place and its index.
//!
//! The index is appended before the bytes it speaks about, the head is replaced
//! in place. Both are bookkeeping of a few bytes; the data never passes here.

use std::io;
use std::path::Path;
use std::time::Duration;

use hsu_model::id::RunId;
use hsu_model::spool::head::Head;
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::plan::{encode_place, parse_place};
use hsu_model::spool::{CONSUMED_FILE, HEAD_FILE, PLACE_FILE, decode_consumed, index_name};
use hsu_model::time::WallTime;

use super::disk::{Access, Disk, DiskFile, Missing, is_absence};

/// Reads the head of a spool; none when it is missing or torn.
pub(super) fn read_head<D: Disk>(disk: &D, folder: &Path) -> io::Result<Option<Head>> {
    match disk.read(&folder.join(HEAD_FILE)) {
        Ok(bytes) => Ok(bytes.first_chunk().and_then(Head::decode)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the head of a spool by one small write, in a folder made again when
/// somebody deleted it.
pub(super) fn write_head<D: Disk>(disk: &D, folder: &Path, head: &Head) -> io::Result<()> {
    open_own(disk, folder, HEAD_FILE)?.write_all_at(&head.encode(), 0)
}

/// Opens a small file of a spool, made when missing.
fn open_own<D: Disk>(disk: &D, folder: &Path, name: &str) -> io::Result<D::File> {
    let path = folder.join(name);
    match disk.open(&path, Missing::Make) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.make_folders(folder, Access::Own)?;
            disk.open(&path, Missing::Make)
        }
        file => file,
    }
}

/// How far formatted outputs have come; none before they first said so. What is torn says
/// nothing yet, and nothing counts as read until it is whole again.
pub(super) fn read_consumed<D: Disk>(disk: &D, folder: &Path) -> io::Result<Option<u64>> {
    match disk.read(&folder.join(CONSUMED_FILE)) {
        Ok(bytes) => Ok(Some(bytes.first_chunk().and_then(decode_consumed).unwrap_or(0))),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The data paths of a spool, the current one first; empty when none was noted.
pub(super) fn read_place<D: Disk>(disk: &D, folder: &Path) -> io::Result<Vec<String>> {
    match disk.read(&folder.join(PLACE_FILE)) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(|text| parse_place(&text))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Notes the data paths of a spool, by rename.
pub(super) fn write_place<D: Disk>(disk: &D, folder: &Path, places: &[String]) -> io::Result<()> {
    let draft = folder.join("place.draft");
    disk.write(&draft, encode_place(places).as_bytes())?;
    disk.rename(&draft, &folder.join(PLACE_FILE))
}

/// The index of one segment, open for appending.
#[derive(Debug)]
pub(super) struct Index<F> {
    file: F,
    length: u64,
}

/// What the last bytes of a spool were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    /// Which run wrote them.
    pub(super) run: Option<RunId>,
    /// When they arrived.
    pub(super) at: Option<WallTime>,
}

impl<F: DiskFile> Index<F> {
    /// Opens the index of the segment that begins at `base`, made when missing.
    pub(super) fn open<D: Disk<File = F>>(disk: &D, folder: &Path, base: u64) -> io::Result<Self> {
        let file = open_own(disk, folder, &index_name(base))?;
        let record = Record::SIZE as u64;
        // A torn record at the end is overwritten.
        let length = file.facts()?.length / record * record;
        Ok(Self { file, length })
    }

    /// Appends records. A run that is known, and a time within `step` of the known
    /// one, cost nothing.
    pub(super) fn note(
        &mut self,
        at: u64,
        now: Latest,
        known: &mut Latest,
        step: Duration,
    ) -> io::Result<()> {
        let mut bytes = [0; 2 * Record::SIZE];
        let mut used = 0;
        let mut put = |mark| {
            if let Some(slot) = bytes.get_mut(used..used + Record::SIZE) {
                slot.copy_from_slice(&Record { at, mark }.encode());
                used += Record::SIZE;
            }
        };
        let new_run = now.run != known.run;
        if let Some(run) = now.run.filter(|_| new_run) {
            put(Mark::Run(run));
        }
        let passed = |now: WallTime| {
            known.at.is_none_or(|at| u128::from(now.0.abs_diff(at.0)) >= step.as_nanos())
        };
        if let Some(time) = now.at.filter(|time| new_run || passed(*time)) {
            put(Mark::Arrived(time));
        }
        if used > 0 {
            self.append(bytes.get(..used).unwrap_or_default())?;
            *known = now;
        }
        Ok(())
    }

    /// Appends one record.
    pub(super) fn mark(&mut self, record: Record) -> io::Result<()> {
        self.append(&record.encode())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(bytes, self.length) {
            // A part of it would speak of bytes that others may write.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The place of the last record: the segment has had at least so many bytes.
    pub(super) fn last_place(&self) -> io::Result<u64> {
        let mut bytes = [0; Record::SIZE];
        let Some(at) = self.length.checked_sub(Record::SIZE as u64) else {
            return Ok(0);
        };
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Record::decode(&bytes).map_or(0, |record| match record.mark {
            // It may follow a line end that was not written yet.
            Mark::Dropped(_) => record.at.saturating_sub(1),
            Mark::Arrived(_) | Mark::Run(_) | Mark::LineEndAdded => record.at,
        }))
    }

    /// The last run and arrival in the index.
    pub(super) fn latest(&self) -> io::Result<Latest> {
        self.after(u64::MAX).map(|(latest, _)| latest)
    }

    /// The last run and arrival before a place, and all that is said of what follows.
    fn after(&self, place: u64) -> io::Result<(Latest, Vec<Record>)> {
        const BLOCK: usize = 256 * Record::SIZE;
        let (mut latest, mut rest) = (Latest::default(), Vec::new());
        let mut end = self.length;
        let mut block = [0; BLOCK];
        while end > 0 && (latest.run.is_none() || latest.at.is_none()) {
            let start = end.saturating_sub(BLOCK as u64);
            let size = usize::try_from(end - start).unwrap_or(BLOCK);
            let part = block.get_mut(..size).unwrap_or_default();
            self.file.read_exact_at(part, start)?;
            let (records, _) = part.as_chunks();
            for record in records.iter().rev().filter_map(Record::decode) {
                match record.mark {
                    _ if record.at >= place => rest.push(record),
                    Mark::Run(run) => latest.run = latest.run.or(Some(run)),
                    Mark::Arrived(time) => latest.at = latest.at.or(Some(time)),
                    Mark::LineEndAdded | Mark::Dropped(_) => {}
                }
            }
            end = start;
        }
        rest.reverse();
        Ok((latest, rest))
    }
}

/// Writes the first records of a new segment's index, replacing what an
/// interrupted rotation left there.
pub(super) fn begin_index<D: Disk>(
    disk: &D,
    folder: &Path,
    base: u64,
    latest: Latest,
) -> io::Result<Index<D::File>> {
    let mut index = Index::open(disk, folder, base)?;
    index.file.set_len(0)?;
    index.length = 0;
    index.note(0, latest, &mut Latest::default(), Duration::ZERO)?;
    Ok(index)
}

/// Begins the index of the segment that follows when one that began at `base` is cut after
/// `kept` bytes: what was said of the rest is said of it there.
pub(super) fn divide_index<D: Disk>(
    disk: &D,
    folder: &Path,
    (base, kept): (u64, u64),
    latest: Latest,
) -> io::Result<Index<D::File>> {
    let (before, rest) = Index::open(disk, folder, base)?.after(kept)?;
    let run = before.run.or(if rest.is_empty() { latest.run } else { None });
    let at = before.at.or(if rest.is_empty() { latest.at } else { None });
    let mut index = begin_index(disk, folder, base + kept, Latest { run, at })?;
    let rest = rest.iter().map(|record| Record { at: record.at - kept, ..*record }.encode());
    index.append(&rest.collect::<Vec<_>>().concat())?;
    Ok(index)
}
