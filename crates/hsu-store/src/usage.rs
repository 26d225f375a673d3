//! Usage: what workers used, in one file of fixed size for each.
//!
//! A file is a ring of records, each at the place that its time belongs to, so that a
//! record is one small write, the oldest is overwritten by the newest, and a file that
//! was cut or damaged loses single records. Nothing waits for the disk: what a crash
//! of the host loses is a minute of a diagram.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use hsu_model::id::WorkerId;
use hsu_model::limits::UsageHistory;
use hsu_model::time::WallTime;

/// The bytes of a record: its time, six numbers, and a check of them all.
const RECORD: usize = 64;
/// A number that is not known.
const UNKNOWN: u64 = u64::MAX;

/// What a worker used at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// When.
    pub at: WallTime,
    /// CPUs, in thousandths.
    pub cpu: Option<u64>,
    /// Memory in RAM, in bytes.
    pub resident: u64,
    /// Bytes read from disks per second.
    pub read: Option<u64>,
    /// Bytes written to disks per second.
    pub written: Option<u64>,
    /// Processes.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
}

/// The records of one worker.
#[derive(Debug)]
pub struct UsageFile {
    file: File,
    interval: i64,
    places: i64,
    latest: Option<i64>,
}

impl UsageFile {
    /// Opens or makes the file of a worker in a folder.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(folder: &Path, worker: &WorkerId, history: UsageHistory) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = path(folder, worker);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let nanoseconds =
            |span: std::time::Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        let interval = nanoseconds(history.interval).max(1);
        let places = (nanoseconds(history.retention) / interval).max(1);
        // What was kept for longer is given back.
        let most = u64::try_from(places).unwrap_or(0).saturating_mul(RECORD as u64);
        if file.metadata()?.len() > most {
            file.set_len(most)?;
        }
        Ok(Self { file, interval, places, latest: None })
    }

    /// Remembers a record, unless there is one of the same interval.
    ///
    /// # Errors
    /// The system's error.
    pub fn note(&mut self, at: WallTime, record: &UsageRecord) -> io::Result<()> {
        let turn = at.0.div_euclid(self.interval);
        if self.latest == Some(turn) {
            return Ok(());
        }
        let place = u64::try_from(turn.rem_euclid(self.places)).unwrap_or(0);
        self.file.seek(SeekFrom::Start(place * RECORD as u64))?;
        self.file.write_all(&encode(record))?;
        self.latest = Some(turn);
        Ok(())
    }
}

/// The records of a worker that are not older than a time, oldest first.
///
/// # Errors
/// The system's error; a worker without a file has no records.
pub fn usage_records(
    folder: &Path,
    worker: &WorkerId,
    since: WallTime,
) -> io::Result<Vec<UsageRecord>> {
    let mut bytes = Vec::new();
    match File::open(path(folder, worker)) {
        Ok(mut file) => drop(file.read_to_end(&mut bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (chunks, _) = bytes.as_chunks::<RECORD>();
    let mut records: Vec<_> = chunks.iter().filter_map(decode).collect();
    records.retain(|record| record.at >= since);
    records.sort_by_key(|record| record.at);
    Ok(records)
}

fn path(folder: &Path, worker: &WorkerId) -> PathBuf {
    folder.join(format!("{worker}.usage"))
}

fn encode(record: &UsageRecord) -> [u8; RECORD] {
    let at = u64::from_ne_bytes(record.at.0.to_ne_bytes());
    let counts = u64::from(record.processes) << 32 | u64::from(record.threads);
    let of = |number: Option<u64>| number.unwrap_or(UNKNOWN);
    let numbers =
        [at, of(record.cpu), record.resident, of(record.read), of(record.written), counts, 0];
    let all = numbers.into_iter().chain([check(&numbers)]);
    let mut bytes = [0; RECORD];
    for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(all) {
        *place = number.to_le_bytes();
    }
    bytes
}

fn decode(bytes: &[u8; RECORD]) -> Option<UsageRecord> {
    let mut all = [0; 8];
    for (number, place) in all.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*place);
    }
    let [at, cpu, resident, read, written, counts, spare, sum] = all;
    if sum != check(&[at, cpu, resident, read, written, counts, spare]) {
        return None;
    }
    let of = |number: u64| (number != UNKNOWN).then_some(number);
    Some(UsageRecord {
        at: WallTime(i64::from_ne_bytes(at.to_ne_bytes())),
        cpu: of(cpu),
        resident,
        read: of(read),
        written: of(written),
        processes: u32::try_from(counts >> 32).ok()?,
        threads: u32::try_from(counts & 0xffff_ffff).ok()?,
    })
}

/// Tells a record from what was never written, or written in part; never 0 for zeroes.
// Source: Fowler, Noll, Vo: FNV-1a, 64 bit, over whole numbers.
fn check(numbers: &[u64; 7]) -> u64 {
    let mix = |sum: u64, number: &u64| (sum ^ number).wrapping_mul(0x0100_0000_01b3);
    numbers.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests;
