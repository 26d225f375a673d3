//! When the bytes of a segment arrived, and which run wrote them.
//!
//! The pump writes a record before the bytes it speaks about. So whoever has read
//! bytes finds every record about them in the index.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use hsu_model::id::RunId;
use hsu_model::spool::index::{Mark, Record};
use hsu_model::spool::index_name;
use hsu_model::time::WallTime;

use crate::error::LogError;

/// Records read at once.
const BATCH: usize = 256;

/// What the index says about a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// When it arrived; none when the index does not tell.
    pub(crate) at: Option<WallTime>,
    /// Which run wrote it; none when the index does not tell.
    pub(crate) run: Option<RunId>,
}

/// Walks the index of one segment forward.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// The stream offset at which the segment begins.
    base: u64,
    file: Option<File>,
    /// The number of the next record to read.
    next: u64,
    ahead: std::collections::VecDeque<Record>,
    now: Origin,
}

impl Arrivals {
    /// The index of the segment that begins at `base`, as it is before `offset`.
    /// What it does not tell arrived at the time `assumed`.
    pub(crate) fn open(
        folder: &Path,
        base: u64,
        offset: u64,
        assumed: Option<WallTime>,
    ) -> Result<Self, LogError> {
        let path = folder.join(index_name(base));
        let file = match File::open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(LogError::io("open", &path)(error)),
        };
        let ahead = std::collections::VecDeque::new();
        let mut arrivals = Self { base, file, next: 0, ahead, now: Origin::default() };
        arrivals.seek(offset).map_err(LogError::io("read", &path))?;
        arrivals.now.at = arrivals.now.at.or(assumed);
        Ok(arrivals)
    }

    /// The segment that this is the index of.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Reads the records that were added since. Call it after reading the bytes
    /// that will be asked about.
    pub(crate) fn refresh(&mut self) {
        // An index that cannot be read leaves lines without a time, no more.
        while self.ahead.len() < BATCH && self.load().unwrap_or(0) > 0 {}
    }

    /// What holds for the byte at `offset`, which is not before the last one asked
    /// about; and the offset from which something else holds.
    pub(crate) fn at(&mut self, offset: u64) -> (Origin, u64) {
        loop {
            if self.ahead.is_empty() && self.load().unwrap_or(0) == 0 {
                return (self.now, u64::MAX);
            }
            let Some(record) = self.ahead.front().copied() else {
                return (self.now, u64::MAX);
            };
            let place = self.base + record.at;
            if place > offset {
                return (self.now, place);
            }
            self.ahead.pop_front();
            self.apply(record);
        }
    }

    fn apply(&mut self, record: Record) {
        match record.mark {
            Mark::Arrived(time) => self.now.at = Some(time),
            Mark::Run(run) => self.now.run = Some(run),
            Mark::LineEndAdded | Mark::Dropped(_) => {}
        }
    }

    /// Reads the next records; answers how many.
    fn load(&mut self) -> io::Result<usize> {
        let mut bytes = [0; BATCH * Record::SIZE];
        let count = self.read_records(self.next, &mut bytes)?;
        let (records, _) = bytes.as_chunks();
        self.ahead.extend(records.iter().take(count).filter_map(Record::decode));
        self.next += count as u64;
        Ok(count)
    }

    fn read_records(&mut self, from: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else {
            return Ok(0);
        };
        file.seek(SeekFrom::Start(from * Record::SIZE as u64))?;
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled / Record::SIZE)
    }

    /// Goes to the first record at or after `offset`, knowing what held before.
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let (mut low, mut high) = (0, file.metadata()?.len() / Record::SIZE as u64);
        let wanted = offset.saturating_sub(self.base);
        let mut one = [0; Record::SIZE];
        while low < high {
            let middle = low + (high - low) / 2;
            let read = self.read_records(middle, &mut one)?;
            let record = Record::decode(&one).filter(|_| read == 1);
            match record.is_some_and(|record| record.at < wanted) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        self.next = low;
        self.look_back(low)
    }

    /// Finds the latest run and time before record number `end`.
    fn look_back(&mut self, mut end: u64) -> io::Result<()> {
        let mut bytes = [0; BATCH * Record::SIZE];
        while end > 0 && (self.now.at.is_none() || self.now.run.is_none()) {
            let start = end.saturating_sub(BATCH as u64);
            let size = usize::try_from(end - start).unwrap_or(BATCH) * Record::SIZE;
            let part = bytes.get_mut(..size).unwrap_or_default();
            self.read_records(start, part)?;
            let (records, _) = part.as_chunks();
            for record in records.iter().rev().filter_map(Record::decode) {
                match record.mark {
                    Mark::Arrived(time) => self.now.at = self.now.at.or(Some(time)),
                    Mark::Run(run) => self.now.run = self.now.run.or(Some(run)),
                    Mark::LineEndAdded | Mark::Dropped(_) => {}
                }
            }
            end = start;
        }
        Ok(())
    }
}
