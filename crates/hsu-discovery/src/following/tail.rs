//! One followed file: read on from where it was, whatever becomes of its name.
//!
//! It may be renamed and made anew, copied and cut, cut and overwritten, or come later.
//! A file that lost its name is read on until nobody has written it for a while: its
//! writer may not know yet. Only whole lines are taken; the last one waits for its end,
//! unless it is longer than a chunk or its file is given up.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_keeper::pump::Inlet;
use hsu_model::discovery::Beginning;
use hsu_sys::files::{FileId, file_id, file_id_at, open_plain};

use super::book::{GUARD, Place};
use super::feed::{Feed, written};

/// How long a file that lost its name is read on after its latest growth.
const OLD_FOR: Duration = Duration::from_secs(60);
/// So many of them are read on.
const MOST_OLD: usize = 8;
/// Chunks of one file that are taken in a row: then others have their turn.
const IN_A_ROW: usize = 64;

/// A file that is followed by its path.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    /// Where a file that is there at the first look begins.
    beginning: Beginning,
    current: Option<Open>,
    /// They lost their name, the earliest first, and are given up at these times.
    old: VecDeque<(Open, Instant)>,
    /// Whether an earlier master's files were looked for.
    resumed: bool,
}

/// A file that is open.
#[derive(Debug)]
struct Open {
    file: File,
    id: FileId,
    offset: u64,
    /// The bytes before the next one, by which it is known to be the same still.
    guard: Vec<u8>,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Everything that is there was taken.
    Done,
    /// There is more.
    More,
    /// The spool takes nothing at present.
    Stuck,
}

/// What becomes of a line without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfinished {
    Waits,
    IsTaken,
}

impl Tail {
    pub(crate) fn new(path: PathBuf, beginning: Beginning) -> Self {
        Self { path, beginning, current: None, old: VecDeque::new(), resumed: false }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a file without its name is read on, under a name that nobody knows.
    pub(crate) fn has_old(&self) -> bool {
        !self.old.is_empty()
    }

    /// Takes what is there.
    ///
    /// # Errors
    /// Why the file cannot be read; one that is not there is no error.
    pub(crate) fn look(&mut self, feed: &mut Feed, now: Instant) -> io::Result<Looked> {
        if !self.resumed {
            if feed.book().is_none() {
                return Ok(Looked::Stuck);
            }
            self.resume(feed, now)?;
        }
        if let Some(looked) = self.look_at_old(feed, now)? {
            return Ok(looked);
        }
        loop {
            let name = written(&self.path);
            let Some(open) = &mut self.current else {
                if !self.begin(feed)? {
                    return Ok(Looked::Done);
                }
                continue;
            };
            match open.take(&name, feed, Unfinished::Waits)? {
                Looked::Done => {}
                other @ (Looked::More | Looked::Stuck) => return Ok(other),
            }
            match file_id_at(&self.path) {
                Ok(id) if id != open.id => self.leave(feed, now)?,
                Ok(_) => return Ok(Looked::Done),
                // Its next one is not there yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Looked::Done),
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds the files again that an earlier master has followed by this path.
    fn resume(&mut self, feed: &mut Feed, now: Instant) -> io::Result<()> {
        let name = written(&self.path);
        let present = file_id_at(&self.path).ok();
        for Place { id, offset, guard, .. } in feed.known(&name) {
            // It was followed before, so whatever is there has come since.
            self.beginning = Beginning::Start;
            if present == Some(id) {
                let (file, found) = open_known(&self.path)?;
                if found == id {
                    self.current = Some(Open { file, id, offset, guard });
                }
            } else if let Some(file) = find(&self.path, id) {
                let open = Open { file, id, offset, guard };
                self.old.push_back((open, now + OLD_FOR));
            } else {
                feed.forget(&name, id);
            }
        }
        self.resumed = true;
        Ok(())
    }

    /// Opens what is at the path; whether there is anything.
    fn begin(&mut self, feed: &mut Feed) -> io::Result<bool> {
        let beginning = std::mem::replace(&mut self.beginning, Beginning::Start);
        let opened = open_known(&self.path);
        let (file, id) = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => {
                self.beginning = beginning;
                return Err(error);
            }
            Ok(opened) => opened,
        };
        let offset = match beginning {
            Beginning::Start => 0,
            Beginning::End => file.metadata()?.len(),
        };
        if !feed.note(&written(&self.path), id, offset) {
            self.beginning = beginning;
            return Err(io::Error::other("its place cannot be noted"));
        }
        self.current = Some(Open { file, id, offset, guard: Vec::new() });
        Ok(true)
    }

    /// Another file has the name: the present one is read on for a while.
    fn leave(&mut self, feed: &mut Feed, now: Instant) -> io::Result<()> {
        self.old.extend(self.current.take().map(|open| (open, now + OLD_FOR)));
        while self.old.len() > MOST_OLD
            && let Some((open, _)) = self.old.pop_front()
        {
            self.give_up(open, feed)?;
        }
        Ok(())
    }

    /// Reads on in the files that lost their name; nothing when the present one has its turn.
    fn look_at_old(&mut self, feed: &mut Feed, now: Instant) -> io::Result<Option<Looked>> {
        let name = written(&self.path);
        for at in 0..self.old.len() {
            let Some((open, until)) = self.old.get_mut(at) else { break };
            let before = open.offset;
            let looked = open.take(&name, feed, Unfinished::Waits)?;
            if open.offset != before {
                *until = now + OLD_FOR;
            }
            if looked != Looked::Done {
                return Ok(Some(looked));
            }
        }
        while self.old.front().is_some_and(|(_, until)| *until <= now)
            && let Some((open, _)) = self.old.pop_front()
        {
            self.give_up(open, feed)?;
        }
        Ok(None)
    }

    /// Nothing more is expected of a file: its last line is taken as it is.
    fn give_up(&self, mut open: Open, feed: &mut Feed) -> io::Result<()> {
        let name = written(&self.path);
        open.take(&name, feed, Unfinished::IsTaken)?;
        feed.end_line();
        feed.forget(&name, open.id);
        Ok(())
    }
}

impl Open {
    /// Takes what is there, at most so much that others have their turn.
    fn take(&mut self, name: &str, feed: &mut Feed, unfinished: Unfinished) -> io::Result<Looked> {
        let mut chunk = vec![0; Inlet::MOST];
        for _ in 0..IN_A_ROW {
            if self.file.metadata()?.len() < self.offset || !self.is_as_it_was()? {
                // It was cut, and what is in it now is all of it.
                (self.offset, self.guard) = (0, Vec::new());
            }
            self.file.seek(SeekFrom::Start(self.offset))?;
            let count = fill(&mut self.file, &mut chunk)?;
            let bytes = chunk.get(..count).unwrap_or_default();
            // A writer that goes on where it was in a file that was cut leaves a hole.
            let hole = bytes.iter().take_while(|byte| **byte == 0).count();
            if hole > 0 {
                self.offset += hole as u64;
                self.guard.clear();
                continue;
            }
            let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(at) => at + 1,
                None if count == chunk.len() || unfinished == Unfinished::IsTaken => count,
                None => 0,
            };
            if whole == 0 {
                return Ok(Looked::Done);
            }
            let lines = bytes.get(..whole).unwrap_or_default();
            let taken = feed.take(name, self.id, self.offset, lines);
            self.offset += taken as u64;
            self.guard.extend_from_slice(lines.get(..taken).unwrap_or_default());
            self.guard.drain(..self.guard.len().saturating_sub(GUARD));
            if taken < whole {
                return Ok(Looked::Stuck);
            }
        }
        Ok(Looked::More)
    }

    /// Whether the bytes before the next one are those that were taken.
    fn is_as_it_was(&mut self) -> io::Result<bool> {
        let Some(from) = self.offset.checked_sub(self.guard.len() as u64) else {
            return Ok(false);
        };
        let mut bytes = vec![0; self.guard.len()];
        self.file.seek(SeekFrom::Start(from))?;
        let count = fill(&mut self.file, &mut bytes)?;
        Ok(count == bytes.len() && bytes == self.guard)
    }
}

/// Opens a file and tells which one it is.
fn open_known(path: &Path) -> io::Result<(File, FileId)> {
    let file = open_plain(path)?;
    let id = file_id(&file)?;
    Ok((file, id))
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file beside a path, by whatever name it has now.
fn find(path: &Path, id: FileId) -> Option<File> {
    let entries = fs::read_dir(path.parent()?).ok()?;
    let known = |path: PathBuf| file_id_at(&path).is_ok_and(|found| found == id).then_some(path);
    let path = entries.flatten().find_map(|entry| known(entry.path()))?;
    let (file, found) = open_known(&path).ok()?;
    (found == id).then_some(file)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
