//! A tap: one spool flowing into one output.

use std::time::SystemTime;

use hsu_model::spool::SpoolId;
use hsu_model::time::WallTime;
use memchr::{memchr, memrchr};

use crate::error::LogError;
use crate::format::{Piece, Renderer};
use crate::spool::index::Arrivals;
use crate::spool::{Read, SpoolReader};

/// What is read at once.
const STEP: usize = 256 << 10;
/// A longer line is written in parts of this size.
pub(super) const LONGEST_LINE: usize = 1 << 20;

/// Room for the bytes of one read, shared by all taps.
#[derive(Debug)]
pub(super) struct Block(Vec<u8>);

impl Block {
    pub(super) fn new() -> Self {
        Self(vec![0; LONGEST_LINE])
    }
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    /// Lines were rendered, and there may be more.
    Some,
    /// The next line does not fit into what is left of the output's chunk.
    NoRoom,
    /// No whole line is left.
    End,
}

/// One spool flowing into one output.
#[derive(Debug)]
pub(super) struct Tap {
    /// The name in the output's cursor.
    pub(super) name: String,
    pub(super) spool: SpoolId,
    pub(super) reader: SpoolReader,
    arrivals: Option<Arrivals>,
    renderer: Renderer,
    /// Up to where the spool is rendered.
    pub(super) offset: u64,
    /// Up to where it is in the output, for good.
    pub(super) committed: u64,
    /// Bytes that were gone before they could be rendered.
    pub(super) missed: u64,
    /// Whether the pump said that it wrote since the last pull.
    pub(super) told: bool,
    /// Whether it waits for its turn in the output.
    pub(super) queued: bool,
    /// What the output has to be told before the next line.
    note: Option<String>,
}

impl Tap {
    pub(super) fn new(
        name: String,
        spool: SpoolId,
        reader: SpoolReader,
        renderer: Renderer,
        offset: u64,
    ) -> Self {
        Self {
            name,
            spool,
            reader,
            arrivals: None,
            renderer,
            offset,
            committed: offset,
            missed: 0,
            told: false,
            queued: false,
            note: None,
        }
    }

    /// The same tap, written as another plan says.
    pub(super) fn with_renderer(mut self, renderer: Renderer) -> Self {
        self.renderer = renderer;
        self
    }

    /// Goes back to a stream offset, the last one that was committed.
    pub(super) fn roll_back(&mut self, offset: u64) {
        if offset != self.offset {
            self.offset = offset;
            self.arrivals = None;
        }
    }

    /// Closes the files; the next pull opens them again.
    pub(super) fn close(&mut self) {
        self.reader.close();
        self.arrivals = None;
    }

    /// Renders the next lines, as many as keep `out` within `limit`.
    pub(super) fn pull(
        &mut self,
        block: &mut Block,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<Pulled, LogError> {
        if let Some(note) = self.note.take() {
            self.renderer.say(&note, now(), out);
        }
        let first = block.0.get_mut(..STEP).unwrap_or_default();
        let count = match self.reader.read_at(self.offset, first)? {
            Read::Bytes(count) => count,
            Read::Gap { to } => {
                self.skip_to(to, "are missing here");
                return Ok(Pulled::Some);
            }
            // Only after the pump has looked at the spool is this no passing sight.
            Read::Beyond { .. } if std::mem::take(&mut self.told) => {
                self.offset = self.reader.start()?;
                self.arrivals = None;
                self.note = Some(format!("[hsu-master] {} was begun again", self.spool));
                return Ok(Pulled::Some);
            }
            Read::End | Read::Beyond { .. } => return Ok(Pulled::End),
        };
        self.told = false;
        let base = self.reader.segment().unwrap_or(self.offset);
        let Some((length, piece)) = self.whole_lines(block, count)? else {
            return Ok(Pulled::End);
        };
        if self.arrivals.as_ref().is_none_or(|arrivals| arrivals.base() != base) {
            let folder = self.reader.folder();
            let assumed = self.reader.modified().unwrap_or_else(now);
            self.arrivals = Some(Arrivals::open(folder, base, self.offset, Some(assumed))?);
        }
        let Some(arrivals) = &mut self.arrivals else {
            return Ok(Pulled::End);
        };
        arrivals.refresh();
        let lines = block.0.get(..length).unwrap_or_default();
        let taken = self.renderer.render(lines, piece, self.offset, arrivals, limit, out);
        self.offset += taken as u64;
        Ok(if taken == 0 { Pulled::NoRoom } else { Pulled::Some })
    }

    /// How much of the block is whole lines; a line that is too long is a part of
    /// itself. None when the last line has no end yet.
    fn whole_lines(
        &mut self,
        block: &mut Block,
        count: usize,
    ) -> Result<Option<(usize, Piece)>, LogError> {
        let mut filled = count;
        let mut searched = 0;
        loop {
            let fresh = block.0.get(searched..filled).unwrap_or_default();
            if let Some(at) = memrchr(b'\n', fresh) {
                return Ok(Some((searched + at + 1, Piece::Lines)));
            }
            let Some(rest) = block.0.get_mut(filled..).filter(|rest| !rest.is_empty()) else {
                let part = block.0.get(..filled).unwrap_or_default();
                return Ok(Some((filled - cut_character(part), Piece::Part)));
            };
            searched = filled;
            match self.reader.read_at(self.offset + filled as u64, rest)? {
                Read::Bytes(more) => filled += more,
                // The rest of the line will never come.
                Read::Gap { .. } => return Ok(Some((filled, Piece::Part))),
                Read::End | Read::Beyond { .. } => return Ok(None),
            }
        }
    }

    /// Leaves out bytes, and says so in the output before the next line.
    pub(super) fn skip_to(&mut self, to: u64, what: &str) {
        let bytes = to.saturating_sub(self.offset);
        self.note = Some(format!("[hsu-master] {bytes} bytes of {} {what}", self.spool));
        self.missed += bytes;
        self.offset = to;
        self.arrivals = None;
    }

    /// The bytes that wait, and the first line's beginning in the last `keep` of them.
    pub(super) fn lag(&mut self, keep: usize, block: &mut Block) -> Result<(u64, u64), LogError> {
        let end = self.reader.end()?;
        let from = end.saturating_sub(keep as u64).max(self.offset);
        let part = block.0.get_mut(..keep.min(LONGEST_LINE)).unwrap_or_default();
        let count = match self.reader.read_at(from, part)? {
            Read::Bytes(count) => count,
            Read::End | Read::Gap { .. } | Read::Beyond { .. } => 0,
        };
        let line = memchr(b'\n', part.get(..count).unwrap_or_default());
        let start = from + line.map_or(count, |at| at + 1) as u64;
        Ok((end.saturating_sub(self.offset), start))
    }
}

/// The bytes at the end of `part` that begin a character without ending it.
fn cut_character(part: &[u8]) -> usize {
    let tail = part.get(part.len().saturating_sub(3)..).unwrap_or_default();
    let start = tail.iter().rposition(|byte| *byte >= 0xc0);
    start.map_or(0, |start| {
        let begun = tail.get(start..).unwrap_or_default();
        let whole = begun.first().map_or(0, |first| match first {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        });
        if begun.len() < whole { begun.len() } else { 0 }
    })
}

pub(super) fn now() -> WallTime {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX))
}
