//! Reading a spool by stream offset, while the pump writes, rotates and retires it.
//!
//! A reader holds no lock and asks nobody. It relies on the order in which the
//! pump does things: the head names a cut before any file is renamed, so an open
//! file is the segment that the head named both before and after it was opened.
//! Bytes have one stream offset for ever; a reader that reads a byte twice from
//! two files during a rotation reads the same byte.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hsu_model::time::WallTime;

use crate::error::LogError;

pub(crate) mod index;
mod layout;
#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;

use layout::{Layout, Place};

/// How often a look at a spool is repeated when the pump changed it meanwhile.
const LOOKS: usize = 16;

/// What lies at a stream offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes were read. The rest of the segment may hold more.
    Bytes(usize),
    /// Nothing yet.
    End,
    /// Bytes are gone: retired, or taken away by somebody. The stream goes on at `to`.
    Gap {
        /// The next stream offset that exists.
        to: u64,
    },
    /// The offset is beyond the end of the stream: the spool was begun again, or
    /// its file was cut and the pump has not written since.
    Beyond {
        /// Where the stream ends.
        end: u64,
    },
}

/// Reads one spool.
#[derive(Debug)]
pub struct SpoolReader {
    layout: Layout,
    open: Option<Segment>,
}

/// An open segment.
#[derive(Debug)]
struct Segment {
    base: u64,
    file: File,
    /// Where it ends; none for the one that grows.
    end: Option<u64>,
}

impl Segment {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(offset));
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.file.seek(SeekFrom::Start(offset - self.base))?;
        // Most reads fill the buffer at once; a short one is the end of the file.
        self.file.read(buffer.get_mut(..most).unwrap_or_default())
    }

    fn covers(&self, offset: u64) -> bool {
        self.base <= offset && self.end.is_none_or(|end| offset < end)
    }
}

impl SpoolReader {
    /// A reader of the spool in `folder`, which need not exist yet. Opens nothing.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { layout: Layout::new(folder), open: None }
    }

    /// The folder of the spool.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.layout.folder()
    }

    /// Where the open segment begins; none when nothing is open.
    #[must_use]
    pub fn segment(&self) -> Option<u64> {
        self.open.as_ref().map(|segment| segment.base)
    }

    /// When the open segment was last written; none when nothing is open.
    pub(crate) fn modified(&self) -> Option<WallTime> {
        let facts = self.open.as_ref()?.file.metadata().ok()?;
        let age = facts.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(WallTime(i64::try_from(age.as_nanos()).ok()?))
    }

    /// Closes the open file; the next read opens it again.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Reads at a stream offset, within one segment.
    ///
    /// # Errors
    /// [`LogError::Io`] when a file that exists cannot be read.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<Read, LogError> {
        for _ in 0..LOOKS {
            if let Some(segment) = self.open.as_mut().filter(|segment| segment.covers(offset)) {
                let read = |source| LogError::io("read", self.layout.folder())(source);
                let count = segment.read(offset, buffer).map_err(read)?;
                if count > 0 {
                    return Ok(Read::Bytes(count));
                }
                let head = self.layout.head()?;
                if head.base == segment.base && segment.end.is_none() {
                    let length = segment.file.metadata().map_err(read)?.len();
                    let end = segment.base + length;
                    return Ok(if offset > end { Read::Beyond { end } } else { Read::End });
                }
                // The segment was closed since. What it holds is final now, and
                // may be more than a moment ago.
                let count = segment.read(offset, buffer).map_err(read)?;
                if count > 0 {
                    return Ok(Read::Bytes(count));
                }
                self.open = None;
            }
            match self.layout.find(offset)? {
                Place::Segment { base, file, end } => {
                    self.open = Some(Segment { base, file, end });
                }
                Place::Gap { to } => return Ok(Read::Gap { to }),
                Place::Nothing { end } if offset > end => return Ok(Read::Beyond { end }),
                Place::Nothing { .. } => return Ok(Read::End),
                Place::Changing => {}
            }
        }
        // The pump rotates faster than we look. It says so again.
        Ok(Read::End)
    }

    /// Where the stream ends at this moment.
    ///
    /// # Errors
    /// [`LogError::Io`] when a file that exists cannot be read.
    pub fn end(&mut self) -> Result<u64, LogError> {
        self.layout.end()
    }

    /// The oldest stream offset that can still be read.
    ///
    /// # Errors
    /// [`LogError::Io`] when a folder cannot be listed.
    pub fn start(&mut self) -> Result<u64, LogError> {
        self.layout.start()
    }

    /// Where the last bytes before `offset` are: the beginning of their segment and
    /// their end, which is before `offset` when what follows is gone.
    ///
    /// # Errors
    /// [`LogError::Io`] when a folder cannot be listed.
    pub(crate) fn segment_before(&mut self, offset: u64) -> Result<Option<(u64, u64)>, LogError> {
        self.layout.segment_before(offset)
    }

    /// Deletes closed segments of an internal spool that end at or before
    /// `consumed`, except the latest one, which is kept as history.
    pub(crate) fn retire_internal(&mut self, consumed: u64) -> Result<(), LogError> {
        self.layout.retire_internal(consumed)
    }
}
