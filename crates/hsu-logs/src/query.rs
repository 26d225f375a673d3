//! Questions about recent lines: tail, follow, and the last words of a run.
//!
//! Every answer is bounded: a question reads backwards in blocks, or goes on from
//! where the one before it ended, and no line is kept beyond [`LONGEST_LINE`]
//! bytes. Only the files of the spools are read; neither pump nor engine is asked.

use std::path::{Path, PathBuf};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::time::WallTime;

use crate::error::LogError;
use crate::spool::SpoolReader;

mod backwards;
mod follow;
#[cfg(test)]
mod tests;

pub use follow::Follower;

/// The most bytes of a line in an answer.
pub const LONGEST_LINE: usize = 64 << 10;

/// One line of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its first byte arrived: to the millisecond, coarser while many streams write.
    pub at: WallTime,
    /// Which stream it is from.
    pub stream: Stream,
    /// Which run wrote it; none when the index does not tell.
    pub run: Option<RunId>,
    /// Its bytes without the line end: any bytes, never trusted.
    pub bytes: Vec<u8>,
    /// Whether this is the whole line.
    pub extent: Extent,
}

/// How much of a line a [`Line`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The line has no end yet.
    Unfinished,
    /// The line is longer than [`LONGEST_LINE`]; this is its beginning.
    Shortened,
    /// Not a line of the worker: the spool has lost this many bytes here.
    Missing(u64),
}

/// The spools of all workers, as files to be read.
#[derive(Clone, Debug)]
pub struct Spools {
    folder: PathBuf,
}

impl Spools {
    /// The spools in `folder`. Nothing is read yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// The last `count` lines of these streams, merged by arrival, oldest first;
    /// with `since`, only lines that arrived at or after it.
    ///
    /// A worker that never wrote has no lines.
    ///
    /// # Errors
    /// [`LogError`] when a file that exists cannot be read.
    pub fn tail(
        &self,
        worker: &WorkerId,
        streams: &[Stream],
        count: usize,
        since: Option<WallTime>,
    ) -> Result<Vec<Line>, LogError> {
        let unfinished = backwards::Unfinished::Shown;
        let ask = |stream: &Stream| {
            let mut reader = self.reader(worker, *stream);
            let end = reader.end()?;
            backwards::lines_before(&mut reader, *stream, end, count, since, unfinished)
        };
        let answers = streams.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
        Ok(last(merged(answers), count))
    }

    /// The last `count` lines of one stream, oldest first.
    ///
    /// # Errors
    /// [`LogError`] when a file that exists cannot be read.
    pub fn last_lines(
        &self,
        worker: &WorkerId,
        stream: Stream,
        count: usize,
    ) -> Result<Vec<Line>, LogError> {
        self.tail(worker, &[stream], count, None)
    }

    /// The last `count` lines, and everything that comes after them.
    ///
    /// # Errors
    /// [`LogError`] when a file that exists cannot be read.
    pub fn follow(
        &self,
        worker: &WorkerId,
        streams: &[Stream],
        count: usize,
        since: Option<WallTime>,
    ) -> Result<(Vec<Line>, Follower), LogError> {
        let mut answers = Vec::new();
        let mut places = Vec::new();
        for stream in streams.iter().copied() {
            let mut reader = self.reader(worker, stream);
            let end = reader.end()?;
            let (lines, upto) =
                backwards::whole_lines_before(&mut reader, stream, end, count, since)?;
            answers.push(lines);
            places.push((stream, reader, upto));
        }
        Ok((last(merged(answers), count), Follower::new(places)))
    }

    fn reader(&self, worker: &WorkerId, stream: Stream) -> SpoolReader {
        SpoolReader::new(self.folder.join(worker.as_str()).join(stream.as_str()))
    }
}

/// Lines of several streams in the order of their arrival; each stream keeps its own order.
fn merged(streams: Vec<Vec<Line>>) -> Vec<Line> {
    let mut streams: Vec<_> =
        streams.into_iter().map(|lines| lines.into_iter().peekable()).collect();
    let mut all = Vec::new();
    loop {
        let heads = streams.iter_mut().zip(0..);
        let heads = heads.filter_map(|(lines, at)| lines.peek().map(|line| (line.at, at)));
        let Some((_, first)) = heads.min() else {
            return all;
        };
        let line = streams.get_mut(first).and_then(Iterator::next);
        all.extend(line);
    }
}

fn last(mut lines: Vec<Line>, count: usize) -> Vec<Line> {
    lines.drain(..lines.len().saturating_sub(count));
    lines
}
