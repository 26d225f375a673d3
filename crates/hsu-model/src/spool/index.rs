//! The index of a segment: which run wrote what, and when it arrived.
//!
//! A file of 16-byte records, appended in order. A record is written *before* the
//! bytes it speaks about, so bytes are never taken for those of an earlier run.
//! When a pump dies between the two, a record without bytes stays behind: of two
//! records of one kind at one offset the later one holds.

use super::{checksum, word};
use crate::id::RunId;
use crate::time::WallTime;

/// One fact about a place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The place, in bytes from the beginning of the segment; below 2^48.
    pub at: u64,
    /// The fact.
    pub mark: Mark,
}

/// What is true from a place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The bytes from here on arrived at this time.
    Arrived(WallTime),
    /// The bytes from here on were written by this run.
    Run(RunId),
    /// The byte here is a line end that the pump added.
    LineEndAdded,
    /// The line here says that this many bytes were dropped; the pump wrote it.
    Dropped(u64),
}

impl Record {
    /// The size of an encoded record in bytes.
    pub const SIZE: usize = 16;

    /// The record as it lies on disk.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let (kind, value) = match self.mark {
            Mark::Arrived(time) => (1, time.0.to_le_bytes()),
            Mark::Run(run) => (2, run.0.to_le_bytes()),
            Mark::LineEndAdded => (3, [0; 8]),
            Mark::Dropped(bytes) => (4, bytes.to_le_bytes()),
        };
        let mut bytes = [0; Self::SIZE];
        let (front, back) = bytes.split_at_mut(8);
        front.copy_from_slice(&self.at.to_le_bytes());
        back.copy_from_slice(&value);
        bytes[6] = kind;
        bytes[7] = 0;
        bytes[7] = fold(&bytes);
        bytes
    }

    /// Reads a record; none when it is torn or foreign.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let mut plain = *bytes;
        plain[7] = 0;
        if fold(&plain) != bytes[7] {
            return None;
        }
        let mut value = [0; 8];
        value.copy_from_slice(bytes.get(8..)?);
        let mark = match bytes[6] {
            1 => Mark::Arrived(WallTime(i64::from_le_bytes(value))),
            2 => Mark::Run(RunId(u64::from_le_bytes(value))),
            3 => Mark::LineEndAdded,
            4 => Mark::Dropped(u64::from_le_bytes(value)),
            _ => return None,
        };
        Some(Self { at: word(bytes, 0)? & 0xffff_ffff_ffff, mark })
    }
}

/// Eight bits of the checksum. Never zero, so that a hole in the file is no record.
fn fold(bytes: &[u8]) -> u8 {
    let folded = checksum(bytes).to_le_bytes().into_iter().fold(0, |all, byte| all ^ byte);
    folded.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_reads_back() {
        for mark in [
            Mark::Arrived(WallTime(-1)),
            Mark::Arrived(WallTime(i64::MAX)),
            Mark::Run(RunId(u64::MAX)),
            Mark::LineEndAdded,
            Mark::Dropped(1 << 50),
        ] {
            let record = Record { at: (1 << 48) - 1, mark };
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn a_hole_is_no_record() {
        assert_eq!(Record::decode(&[0; Record::SIZE]), None);
    }
}
