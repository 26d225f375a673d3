//! The last lines before a place in a spool.
//!
//! First the line ends are found backwards, block by block, and only their places
//! are kept; then the lines are read forwards. A line of any length costs a block.

use std::collections::VecDeque;

use hsu_model::logs::Stream;
use hsu_model::time::WallTime;
use memchr::memrchr_iter;

use super::{Extent, LONGEST_LINE, Line};
use crate::error::LogError;
use crate::spool::index::Arrivals;
use crate::spool::{Read, SpoolReader};

/// What is read at once.
const BLOCK: u64 = 64 << 10;

/// Whether a last line without an end is part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    Shown,
    LeftOut,
}

/// A line, or a hole, by its place.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The beginning of its segment.
    segment: u64,
    start: u64,
    /// Without the line end.
    end: u64,
    extent: Extent,
}

/// The last `count` lines before `end`.
pub(super) fn lines_before(
    reader: &mut SpoolReader,
    stream: Stream,
    end: u64,
    count: usize,
    since: Option<WallTime>,
    unfinished: Unfinished,
) -> Result<Vec<Line>, LogError> {
    let spans = spans_before(reader, end, count, since, unfinished)?.0;
    let mut lines = Vec::with_capacity(spans.len());
    let mut arrivals: Option<Arrivals> = None;
    for span in spans {
        let known = arrivals.take().filter(|arrivals| arrivals.base() == span.segment);
        let bytes = read_span(reader, span)?;
        let index = match known {
            Some(index) => index,
            None => {
                let assumed = reader.modified();
                Arrivals::open(reader.folder(), span.segment, span.start, assumed)?
            }
        };
        let index = arrivals.insert(index);
        let origin = index.at(span.start).0;
        let at = origin.at.unwrap_or_default();
        let shortened = span.end - span.start > LONGEST_LINE as u64;
        let extent =
            if shortened && span.extent == Extent::Whole { Extent::Shortened } else { span.extent };
        if since.is_none_or(|since| at >= since) {
            lines.push(Line { at, stream, run: origin.run, bytes, extent });
        }
    }
    Ok(lines)
}

/// The last whole lines before `end`, and where the line after them begins.
pub(super) fn whole_lines_before(
    reader: &mut SpoolReader,
    stream: Stream,
    end: u64,
    count: usize,
    since: Option<WallTime>,
) -> Result<(Vec<Line>, u64), LogError> {
    let upto = spans_before(reader, end, 0, None, Unfinished::LeftOut)?.1;
    let lines = lines_before(reader, stream, upto, count, since, Unfinished::LeftOut)?;
    Ok((lines, upto))
}

/// The places of the last `count` lines before `end`, and the end of the last whole line.
fn spans_before(
    reader: &mut SpoolReader,
    end: u64,
    count: usize,
    since: Option<WallTime>,
    unfinished: Unfinished,
) -> Result<(VecDeque<Span>, u64), LogError> {
    let mut search = Search {
        spans: VecDeque::new(),
        open: None,
        whole_to: None,
        wanted: count,
        unfinished,
        oldest: since,
    };
    let mut buffer = vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)];
    let mut position = end;
    while let Some((base, upto)) = reader.segment_before(position)? {
        if upto < position {
            search.hole(upto, position);
        }
        position = upto;
        let mut is_enough = false;
        while position > base && !is_enough {
            let start = base.max(position.saturating_sub(BLOCK));
            let block = read_exactly(reader, start, position, &mut buffer)?;
            is_enough = search.block(base, start, block);
            position = start;
        }
        if is_enough {
            return Ok((search.spans, search.whole_to.unwrap_or(end)));
        }
        search.segment_began(base, base);
        if search.is_old(reader, base)? {
            break;
        }
    }
    let whole_to = search.whole_to.unwrap_or_else(|| position.min(end));
    Ok((search.spans, whole_to))
}

/// Whether a line end follows a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Yes,
    No,
}

/// The search for line ends, going backwards.
struct Search {
    spans: VecDeque<Span>,
    /// The end of the line whose beginning is looked for, and whether a line end is there.
    open: Option<(u64, Ended)>,
    /// The end of the last whole line, with its line end.
    whole_to: Option<u64>,
    wanted: usize,
    unfinished: Unfinished,
    oldest: Option<WallTime>,
}

impl Search {
    /// Takes in a block that begins at `start`; answers whether enough was found.
    fn block(&mut self, segment: u64, start: u64, block: &[u8]) -> bool {
        if self.open.is_none() {
            self.open = Some((start + block.len() as u64, Ended::No));
        }
        for at in memrchr_iter(b'\n', block) {
            let line_end = start + at as u64;
            self.line_begins(segment, line_end + 1);
            if self.spans.len() >= self.wanted {
                return true;
            }
            self.open = Some((line_end, Ended::Yes));
        }
        false
    }

    /// A line begins at `start`: the open one ends there, or nothing does.
    fn line_begins(&mut self, segment: u64, start: u64) {
        let is_last = self.whole_to.is_none();
        self.whole_to = self.whole_to.or(Some(start));
        let Some((end, ended)) = self.open.take() else {
            return;
        };
        let extent = match ended {
            // Nothing follows the line end at the end.
            Ended::No if end == start => return,
            Ended::No if is_last && self.unfinished == Unfinished::LeftOut => return,
            Ended::No if is_last => Extent::Unfinished,
            Ended::No | Ended::Yes => Extent::Whole,
        };
        self.spans.push_front(Span { segment, start, end, extent });
    }

    fn segment_began(&mut self, segment: u64, base: u64) {
        // Segments begin at line beginnings.
        self.line_begins(segment, base);
    }

    fn hole(&mut self, from: u64, to: u64) {
        let extent = Extent::Missing(to - from);
        self.spans.push_front(Span { segment: to, start: to, end: to, extent });
    }

    /// Whether everything before this segment is older than what is asked for.
    fn is_old(&self, reader: &SpoolReader, base: u64) -> Result<bool, LogError> {
        let Some(oldest) = self.oldest else {
            return Ok(false);
        };
        let origin = Arrivals::open(reader.folder(), base, base, None)?.at(base).0;
        Ok(origin.at.is_some_and(|first| first < oldest))
    }
}

fn read_span(reader: &mut SpoolReader, span: Span) -> Result<Vec<u8>, LogError> {
    let length = usize::try_from(span.end - span.start).unwrap_or(usize::MAX).min(LONGEST_LINE);
    let mut bytes = vec![0; length];
    let end = span.start + length as u64;
    let read = read_exactly(reader, span.start, end, &mut bytes)?.len();
    bytes.truncate(read);
    Ok(bytes)
}

/// The bytes of `start..end`, or as many as are still there.
fn read_exactly<'a>(
    reader: &mut SpoolReader,
    start: u64,
    end: u64,
    buffer: &'a mut [u8],
) -> Result<&'a [u8], LogError> {
    let length = usize::try_from(end - start).unwrap_or(usize::MAX).min(buffer.len());
    let mut filled = 0;
    while filled < length {
        let rest = buffer.get_mut(filled..length).unwrap_or_default();
        match reader.read_at(start + filled as u64, rest)? {
            Read::Bytes(count) => filled += count,
            Read::End | Read::Gap { .. } | Read::Beyond { .. } => break,
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}
