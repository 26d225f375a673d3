//! The head of a spool: 64 bytes that say where its current segment begins.
//!
//! It is overwritten in place by one small write. `cut` and `insert` are intents:
//! a pump that finds one set redoes the whole step, and each step may be redone
//! any number of times with the same result.

use super::{LAST_OFFSET, checksum, word};

/// Where a spool stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The stream offset at which the current segment begins.
    pub base: u64,
    /// The stream offset at which the current segment is being ended; 0 when no rotation is under way.
    pub cut: u64,
    /// Bytes ever dropped by the policy `drop`.
    pub dropped: u64,
    /// Of those, the bytes that a marker line has told.
    pub announced: u64,
    /// Bytes that the pump itself is writing.
    pub insert: Option<Insert>,
}

/// Bytes that the pump writes into a spool by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insert {
    /// The stream offset at which they go.
    pub at: u64,
    /// What they are.
    pub kind: InsertKind,
}

/// Why the pump writes bytes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertKind {
    /// A line end after the unfinished line of a run that is over.
    LineEnd,
    /// The line that says how many bytes were dropped.
    DropMarker,
}

impl Head {
    /// The size of an encoded head in bytes.
    pub const SIZE: usize = 64;
    const MAGIC: u64 = u64::from_le_bytes(*b"HSUHEAD1");

    /// The head as it lies on disk.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let (at, kind) = match self.insert {
            None => (0, 0),
            Some(Insert { at, kind: InsertKind::LineEnd }) => (at, 1),
            Some(Insert { at, kind: InsertKind::DropMarker }) => (at, 2),
        };
        let words = [Self::MAGIC, self.base, self.cut, self.dropped, self.announced, at, kind];
        let mut bytes = [0; Self::SIZE];
        for (slot, value) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        let (body, check) = bytes.split_at_mut(56);
        check.copy_from_slice(&checksum(body).to_le_bytes());
        bytes
    }

    /// Reads a head; none when it is torn or foreign, or speaks of places that no file has.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let sound =
            word(bytes, 0)? == Self::MAGIC && checksum(bytes.get(..56)?) == word(bytes, 56)?;
        if !sound {
            return None;
        }
        let at = word(bytes, 40)?;
        let insert = match word(bytes, 48)? {
            0 => None,
            1 => Some(Insert { at, kind: InsertKind::LineEnd }),
            2 => Some(Insert { at, kind: InsertKind::DropMarker }),
            _ => return None,
        };
        let (base, cut) = (word(bytes, 8)?, word(bytes, 16)?);
        let is_place = base <= LAST_OFFSET && cut <= LAST_OFFSET && (cut == 0 || cut >= base);
        if !is_place || insert.is_some_and(|insert| insert.at > LAST_OFFSET) {
            return None;
        }
        Some(Self { base, cut, dropped: word(bytes, 24)?, announced: word(bytes, 32)?, insert })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_speaks_of_places_that_no_file_has_is_none() {
        let head = Head { base: 7, cut: 9, ..Head::default() };
        let beyond = LAST_OFFSET + 1;
        for wrong in [
            Head { base: beyond, cut: 0, ..head },
            Head { cut: beyond, ..head },
            Head { cut: 6, ..head },
            Head { insert: Some(Insert { at: beyond, kind: InsertKind::LineEnd }), ..head },
        ] {
            assert_eq!(Head::decode(&wrong.encode()), None, "{wrong:?}");
        }
        assert_eq!(Head::decode(&head.encode()), Some(head));
    }

    #[test]
    fn a_head_reads_back_and_a_flipped_bit_is_noticed() {
        for insert in [
            None,
            Some(Insert { at: 9, kind: InsertKind::LineEnd }),
            Some(Insert { at: LAST_OFFSET, kind: InsertKind::DropMarker }),
        ] {
            let head = Head { base: 7, cut: 11, dropped: u64::MAX, announced: 1, insert };
            let bytes = head.encode();
            assert_eq!(Head::decode(&bytes), Some(head));
            for bit in 0..Head::SIZE * 8 {
                let mut torn = bytes;
                torn[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Head::decode(&torn), None, "bit {bit}");
            }
        }
    }
}
