//! Following streams from a place on.

use hsu_model::logs::Stream;
use memchr::{memchr, memrchr};

use super::{Extent, LONGEST_LINE, Line, merged};
use crate::error::LogError;
use crate::spool::index::{Arrivals, Origin};
use crate::spool::{Read, SpoolReader};

/// What is read at once from each stream.
const BLOCK: usize = 256 << 10;

/// A place in the streams of a worker, from which reading goes on.
#[derive(Debug)]
pub struct Follower {
    streams: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    stream: Stream,
    reader: SpoolReader,
    offset: u64,
    arrivals: Option<Arrivals>,
    /// Whether the rest of a line that was shortened is left out.
    skipping: bool,
}

impl Follower {
    pub(super) fn new(places: Vec<(Stream, SpoolReader, u64)>) -> Self {
        let place = |(stream, reader, offset)| Place {
            stream,
            reader,
            offset,
            arrivals: None,
            skipping: false,
        };
        Self { streams: places.into_iter().map(place).collect() }
    }

    /// The lines that ended since the last call, merged by arrival; at most about
    /// a quarter of a MiB of each stream, so call again until the answer is empty.
    /// Never waits.
    ///
    /// # Errors
    /// [`LogError`] when a file that exists cannot be read.
    pub fn next_batch(&mut self) -> Result<Vec<Line>, LogError> {
        // Not kept: a crowd that waits for lines would hold one each. Of what nothing is read
        // into, the kernel gives no page.
        let mut block = vec![0; BLOCK];
        let mut answers = Vec::new();
        for place in &mut self.streams {
            answers.push(place.next(&mut block)?);
        }
        Ok(merged(answers))
    }
}

impl Place {
    fn next(&mut self, block: &mut [u8]) -> Result<Vec<Line>, LogError> {
        let mut lines = Vec::new();
        let mut filled = 0;
        while lines.is_empty() {
            let at = self.offset + filled as u64;
            let rest = block.get_mut(filled..).unwrap_or_default();
            let count = match self.reader.read_at(at, rest)? {
                Read::Bytes(count) => count,
                Read::Gap { to } if filled == 0 => {
                    lines.push(self.missing(to));
                    continue;
                }
                Read::Beyond { .. } if filled == 0 => {
                    let start = self.reader.start()?;
                    self.jump(start);
                    return Ok(lines);
                }
                Read::End | Read::Gap { .. } | Read::Beyond { .. } => return Ok(lines),
            };
            filled += count;
            let fresh = block.get(..filled).unwrap_or_default();
            let whole = memrchr(b'\n', fresh).map_or(0, |end| end + 1);
            if whole == 0 && filled < block.len() {
                continue;
            }
            self.take(fresh, whole, &mut lines)?;
            filled = 0;
        }
        Ok(lines)
    }

    /// Takes the whole lines of a block, or the beginning of a line that fills it.
    fn take(&mut self, block: &[u8], whole: usize, lines: &mut Vec<Line>) -> Result<(), LogError> {
        let used = if whole == 0 { block.len() } else { whole };
        let mut rest = block.get(..used).unwrap_or_default();
        self.refresh()?;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest);
            let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let was_skipping = std::mem::replace(&mut self.skipping, end.is_none());
            if !was_skipping {
                let shown = text.get(..LONGEST_LINE).unwrap_or(text);
                let is_whole = shown.len() == text.len() && end.is_some();
                let extent = if is_whole { Extent::Whole } else { Extent::Shortened };
                let Origin { at, run } = self.origin();
                let (at, bytes) = (at.unwrap_or_default(), shown.to_vec());
                lines.push(Line { at, stream: self.stream, run, bytes, extent });
            }
            let step = end.map_or(rest.len(), |end| end + 1);
            self.offset += step as u64;
            rest = rest.get(step..).unwrap_or_default();
        }
        Ok(())
    }

    fn origin(&mut self) -> Origin {
        let offset = self.offset;
        self.arrivals.as_mut().map(|arrivals| arrivals.at(offset).0).unwrap_or_default()
    }

    fn refresh(&mut self) -> Result<(), LogError> {
        let base = self.reader.segment().unwrap_or(self.offset);
        if self.arrivals.as_ref().is_none_or(|arrivals| arrivals.base() != base) {
            let (folder, assumed) = (self.reader.folder(), self.reader.modified());
            self.arrivals = Some(Arrivals::open(folder, base, self.offset, assumed)?);
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.refresh();
        }
        Ok(())
    }

    fn missing(&mut self, to: u64) -> Line {
        let extent = Extent::Missing(to - self.offset);
        let at = self.origin().at.unwrap_or_default();
        self.jump(to);
        Line { at, stream: self.stream, run: None, bytes: Vec::new(), extent }
    }

    fn jump(&mut self, to: u64) {
        self.offset = to;
        self.arrivals = None;
        self.skipping = false;
    }
}
