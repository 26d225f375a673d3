//! Rotation: closing a segment at a line end, and retiring old ones.
//!
//! The steps, each of which may be the last before a kill:
//!
//! 1. `head.cut` names the stream offset at which the segment ends;
//! 2. the bytes after it are copied to `<path>.next`;
//! 3. `<path>` is renamed to `<path>.<base>`;
//! 4. `<path>.next` is renamed to `<path>`;
//! 5. the closed segment is cut, a new index is begun;
//! 6. `head.base` becomes the offset, `head.cut` is cleared.
//!
//! Nothing is moved into the spool in between, so redoing them from any point
//! comes to the same files. A line is never cut: it stays whole in the segment in
//! which it begins to exceed the limit.

use std::io;
use std::path::Path;
use std::time::Duration;

use hsu_model::spool::notice::Stuck;
use hsu_model::spool::plan::Readers;
use hsu_model::spool::{closed_path, index_name, next_path};

use super::disk::{Disk, DiskFile, Missing, is_absence};
use super::files::{first_line_end, last_line_end, open_log, why};
use super::ledger::{divide_index, read_consumed};
use super::spool::{CHUNK, Files, Moment, Spool};

/// How long a surplus segment that formatted outputs have not read is left alone.
const UNREAD_REST: Duration = Duration::from_secs(2);

/// How long a segment that cannot be deleted is left alone.
const REFUSED_REST: Duration = Duration::from_secs(10);

impl<D: Disk> Spool<D> {
    /// Closes the segment when it is full and a line end is in it, and what follows
    /// when it is full again: one splice may bring several lines that are too long.
    pub(super) fn rotate_when_full(&mut self, now: Moment) -> Result<(), Stuck> {
        let limit = self.plan.rotation.max_size.0;
        while limit != 0 && self.length >= limit {
            let Some(cut) = self.find_cut(limit).map_err(why)? else {
                return Ok(());
            };
            self.cut_at(self.head.base + cut, now)?;
            self.retire(now);
        }
        Ok(())
    }

    /// Ends the current segment at a stream offset after its beginning.
    pub(super) fn cut_at(&mut self, offset: u64, now: Moment) -> Result<(), Stuck> {
        set_aside(&self.disk, &closed_path(&self.path, self.head.base)).map_err(why)?;
        self.head.cut = offset;
        self.save_head().and_then(|()| self.finish_cut(now)).map_err(why)
    }

    /// The number of bytes up to and with the line end at which a full segment is cut.
    fn find_cut(&mut self, limit: u64) -> io::Result<Option<u64>> {
        let Some(files) = &self.files else {
            return Ok(None);
        };
        if self.searched < limit {
            // A file that was much too long when it was found is closed as a whole.
            let top = if self.length - limit <= CHUNK { limit } else { self.length };
            if let Some(at) = last_line_end(&files.data, self.searched, top)? {
                return Ok(Some(at + 1));
            }
            self.searched = top;
        }
        let at = first_line_end(&files.data, self.searched, self.length)?;
        if at.is_none() {
            self.searched = self.length;
        }
        Ok(at.map(|at| at + 1))
    }

    /// Steps 2 to 6, from wherever they were left.
    pub(super) fn finish_cut(&mut self, now: Moment) -> io::Result<()> {
        let (base, cut) = (self.head.base, self.head.cut);
        let kept = cut.saturating_sub(base);
        let (closed, next) = (closed_path(&self.path, base), next_path(&self.path));
        // What is under the path is another file from some step on: it is looked at anew.
        self.files = None;
        self.inode = 0;
        self.searched = 0;
        let disk = &self.disk;
        let is_closed = disk.has(Path::new(&closed))?;
        let current = open(disk, &self.path)?;
        let still_whole =
            current.as_ref().map_or(Ok(0), |file| file.facts().map(|f| f.length))? >= kept;
        if current.is_some() && !still_whole && !is_closed {
            return self.abandon_cut(&next);
        }
        if let Some(current) = current.filter(|_| !is_closed) {
            copy_tail(disk, &current, kept, Path::new(&next))?;
            disk.rename(Path::new(&self.path), Path::new(&closed))?;
        }
        match disk.rename(Path::new(&next), Path::new(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(closed) = open(disk, &closed)? {
            if closed.facts()?.length > kept {
                closed.set_len(kept)?;
            }
            date(&closed, now)?;
        }
        let index = divide_index(disk, &self.folder, (base, kept), self.latest)?;
        self.head.base = cut;
        self.head.cut = 0;
        // The pump that began this may have come so far that it was listed.
        if self.closed.back() != Some(&base) {
            self.closed.push_back(base);
        }
        self.save_head()?;
        let data = open_log(&self.disk, Path::new(&self.path), Missing::Make).map_err(refused)?;
        let data = data.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        let facts = data.facts()?;
        self.length = facts.length;
        self.inode = facts.inode;
        self.files = Some(Files { data, index });
        Ok(())
    }

    /// Somebody has cut the file below the place at which it was to be ended: what is left
    /// is not ended there. [`Self::check_file`] sees the rest.
    fn abandon_cut(&mut self, next: &str) -> io::Result<()> {
        match self.disk.remove(Path::new(next)) {
            Err(error) if !is_absence(&error) => return Err(error),
            _ => {}
        }
        self.head.cut = 0;
        self.save_head()?;
        self.open_current().map_err(refused)
    }

    /// Deletes closed segments that are too many or too old, but none that a
    /// formatted output has not consumed.
    pub(super) fn retire(&mut self, now: Moment) {
        self.retire_at = None;
        let rotation = self.plan.rotation;
        let most = usize::try_from(rotation.max_files).unwrap_or(usize::MAX);
        while let Some(&oldest) = self.closed.front() {
            let end = self.closed.get(1).copied().unwrap_or(self.head.base);
            let path = closed_path(&self.path, oldest);
            let too_many = most != 0 && self.closed.len() > most;
            let rest = rotation.max_age.map(|age| rest_of(&self.disk, &path, age, now));
            if !too_many && rest != Some(Duration::ZERO) {
                self.retire_at = rest.and_then(|rest| now.tick.checked_add(rest));
                return;
            }
            if !self.is_consumed(end) {
                self.retire_at = Some(now.tick + UNREAD_REST);
                return;
            }
            match self.disk.remove(Path::new(&path)) {
                Err(error) if !is_absence(&error) => {
                    self.retire_at = Some(now.tick + REFUSED_REST);
                    return;
                }
                // A segment that somebody else deleted is as good.
                _ => {}
            }
            let _ = self.disk.remove(&self.folder.join(index_name(oldest)));
            self.closed.pop_front();
        }
    }

    /// Whether every formatted output has committed the bytes before `offset`.
    fn is_consumed(&mut self, offset: u64) -> bool {
        if self.plan.readers == Readers::None || self.consumed >= offset {
            return true;
        }
        if let Ok(Some(consumed)) = read_consumed(&self.disk, &self.folder) {
            self.consumed = consumed;
        }
        self.consumed >= offset
    }

    /// Whether formatted outputs are so far behind that the spool counts as full. A
    /// full one stays so until a quarter is read: many small steps cost more than
    /// one large one.
    pub(super) fn check_unread(&mut self) -> Result<(), Stuck> {
        let Readers::Outputs { unread_limit } = self.plan.readers else {
            return Ok(());
        };
        let is_full = self.overflow.is_some_and(|overflow| overflow.why == Stuck::Unread);
        let most = if is_full { unread_limit.0 / 4 * 3 } else { unread_limit.0 };
        let allowed = self.end().saturating_sub(most);
        if self.is_consumed(allowed) { Ok(()) } else { Err(Stuck::Unread) }
    }
}

/// How long it takes until a file is older than `age`, to the second; nothing when it is.
fn rest_of<D: Disk>(disk: &D, path: &str, age: Duration, now: Moment) -> Duration {
    let written = match disk.facts(Path::new(path)) {
        Ok(facts) => facts.modified,
        // What somebody else deleted is old enough.
        Err(error) if is_absence(&error) => i64::MIN,
        Err(_) => return age,
    };
    let passed = (now.reckoned.0 / 1_000_000_000).saturating_sub(written);
    let passed = Duration::from_secs(u64::try_from(passed).unwrap_or(0));
    match age.checked_sub(passed) {
        None => Duration::ZERO,
        Some(rest) => rest + Duration::from_secs(1),
    }
}

/// Dates a segment that is closed while the wall clock shows an earlier time than it should:
/// it would be old the moment the clock is right again.
pub(super) fn date<F: DiskFile>(closed: &F, now: Moment) -> io::Result<()> {
    let seconds = now.reckoned.0 / 1_000_000_000;
    if closed.facts()?.modified < seconds { closed.set_modified(seconds) } else { Ok(()) }
}

/// Copies what follows `from` to a fresh file.
fn copy_tail<D: Disk>(disk: &D, current: &D::File, from: u64, next: &Path) -> io::Result<()> {
    match disk.remove(next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    current.copy_rest(from, &disk.create(next)?)
}

/// Makes room for the name of a closed segment that only a lost head can have left behind.
fn set_aside<D: Disk>(disk: &D, closed: &str) -> io::Result<()> {
    if disk.has(Path::new(closed))? {
        disk.rename(Path::new(closed), Path::new(&format!("{closed}.stray")))?;
    }
    Ok(())
}

fn open<D: Disk>(disk: &D, path: &str) -> io::Result<Option<D::File>> {
    open_log(disk, Path::new(path), Missing::Leave).map_err(refused)
}

pub(super) fn refused(why: Stuck) -> io::Error {
    io::Error::from_raw_os_error(match why {
        Stuck::System(number) => number,
        Stuck::NotAFile | Stuck::Unread => libc::ELOOP,
    })
}
