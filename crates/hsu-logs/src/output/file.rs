//! A file that formatted lines are written to, exactly once.
//!
//! It is rotated only at a commit, by rename, so that closed files are final. The
//! file may be deleted, moved or emptied by others at any time: writing goes on in
//! the file that is then under the path.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use hsu_model::calendar::Calendar;
use hsu_model::logs::Rotation;
use hsu_model::spool::{base_in_name, checksum, closed_path};
use hsu_model::time::WallTime;

use super::cursors::{Cursors, Mark};
use crate::error::LogError;

#[cfg(test)]
mod tests;

/// Opens a file to read and write it, and makes it when that is asked for. One that
/// is no plain file of its own is [`io::ErrorKind::InvalidInput`].
pub type OpenFile = fn(&Path, bool) -> io::Result<File>;

/// Opens whatever is there, through links too: for whom nobody deceives.
///
/// # Errors
/// The system's.
pub fn open_any(path: &Path, make: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(make).truncate(false).open(path)
}

/// The bytes by which a file is known again.
const TAIL: usize = 64;

/// A log file, open or not.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: String,
    open: OpenFile,
    rotation: Rotation,
    file: Option<File>,
    base: u64,
    length: u64,
    /// The last bytes of the file, up to [`TAIL`].
    last: Vec<u8>,
    /// When the oldest closed file is too old.
    retire_at: Option<Instant>,
    /// By what time files are too old, once one was looked at, and since when.
    calendar: Option<(Calendar, Instant)>,
}

impl LogFile {
    pub(crate) fn new(path: String, rotation: Rotation, open: OpenFile) -> Self {
        let (file, last, retire_at, calendar) = (None, Vec::new(), None, None);
        Self { path, open, rotation, file, base: 0, length: 0, last, retire_at, calendar }
    }

    pub(crate) fn set_rotation(&mut self, rotation: Rotation) {
        self.rotation = rotation;
    }

    /// Where the file stands, for a commit.
    pub(crate) fn mark(&self) -> Mark {
        Mark { base: self.base, length: self.length, tail: checksum(&self.last) }
    }

    /// The bytes that fit before the file is closed.
    pub(crate) fn room(&self) -> u64 {
        match self.rotation.max_size.0 {
            0 => u64::MAX,
            size => size.saturating_sub(self.length),
        }
    }

    /// Whether the file has lines, so that closing it makes room.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Closes the descriptor; the next write opens it again.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Completes or undoes what an earlier engine left: a rotation is finished,
    /// lines after the last commit are cut off.
    pub(crate) fn recover(&mut self, cursors: &mut Cursors) -> Result<(), LogError> {
        let committed = cursors.committed(&self.path).cloned().unwrap_or_default();
        self.base = committed.file.base;
        self.length = committed.file.length;
        if committed.rotating {
            self.finish_rotation()?;
        }
        if let Some(mut file) = self.open_existing()? {
            let found = file.metadata().map_err(self.cannot("look at"))?.len();
            if found > self.length && self.is_ours(&mut file, committed.file) {
                file.set_len(self.length).map_err(self.cannot("shorten"))?;
            } else {
                self.length = found;
            }
            self.last = tail(&mut file, self.length).map_err(self.cannot("read"))?;
        } else {
            self.base += self.length;
            self.start_at_zero();
        }
        if committed.rotating || self.mark() != committed.file {
            self.commit(cursors)?;
        }
        self.retire();
        Ok(())
    }

    /// Makes where the file stands count, before more is written.
    fn commit(&self, cursors: &mut Cursors) -> Result<(), LogError> {
        cursors.stage(&self.path, self.mark(), []);
        cursors.flush()
    }

    /// Whether the file has, at the length of the last commit, what was there then.
    fn is_ours(&self, file: &mut File, committed: Mark) -> bool {
        let last = tail(file, committed.length);
        last.is_ok_and(|last| checksum(&last) == committed.tail)
    }

    /// Opens the file. When another one is under its path, or none, the cursors say
    /// so before anything is written.
    pub(crate) fn prepare(&mut self, cursors: &mut Cursors) -> Result<(), LogError> {
        let named = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            facts => Some(facts.map_err(self.cannot("look at"))?),
        };
        if named.as_ref().is_some_and(|facts| !facts.is_file()) {
            return Err(LogError::NotAFile { path: PathBuf::from(&self.path) });
        }
        let named = named.map(|facts| facts.len());
        let held =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map(|facts| facts.len());
        if named == Some(self.length) && (held.is_none() || held == named) {
            if self.file.is_none() {
                self.file = self.open_existing()?;
            }
            return Ok(());
        }
        self.file = None;
        let mut file = self.open_or_make()?;
        let found = file.metadata().map_err(self.cannot("look at"))?.len();
        if held.is_some_and(|held| held != found || named.is_none()) || found < self.length {
            self.base += self.length;
        }
        self.length = found;
        self.last = tail(&mut file, found).map_err(self.cannot("read"))?;
        self.file = Some(file);
        self.commit(cursors)
    }

    /// Writes whole lines at the end. A failed write leaves the file as it was.
    pub(crate) fn write(&mut self, lines: &[u8]) -> Result<(), LogError> {
        let length = self.length;
        let Some(file) = &mut self.file else {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(self.cannot("write")(source));
        };
        let written = file.seek(SeekFrom::Start(length)).and_then(|_| file.write_all(lines));
        if let Err(source) = written {
            self.roll_back(length);
            return Err(self.cannot("write")(source));
        }
        self.length += lines.len() as u64;
        self.last.extend_from_slice(lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or(lines));
        self.last.drain(..self.last.len().saturating_sub(TAIL));
        Ok(())
    }

    /// Cuts off what was written since the file had this length.
    pub(crate) fn roll_back(&mut self, length: u64) {
        if let Some(mut file) = self.file.take() {
            // A file that cannot even be shortened is cut when it is recovered.
            let _ = file.set_len(length);
            self.last = tail(&mut file, length).unwrap_or_default();
        }
        self.length = length;
    }

    /// Closes the file under a name that tells its place in the output, and begins
    /// the next one. Everything in it must be committed.
    pub(crate) fn rotate(&mut self, cursors: &mut Cursors) -> Result<(), LogError> {
        cursors.stage_rotation(&self.path);
        cursors.flush()?;
        self.finish_rotation()?;
        self.open_or_make().map(|file| self.file = Some(file))?;
        self.commit(cursors)?;
        self.retire();
        Ok(())
    }

    fn finish_rotation(&mut self) -> Result<(), LogError> {
        self.file = None;
        let closed = closed_path(&self.path, self.base);
        if !Path::new(&closed).exists() {
            match fs::rename(&self.path, &closed) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed.map_err(self.cannot("rename"))?,
            }
        }
        self.base += self.length;
        self.start_at_zero();
        Ok(())
    }

    fn start_at_zero(&mut self) {
        self.length = 0;
        self.last.clear();
    }

    /// When closed files are to be looked at again.
    pub(crate) fn retire_at(&self) -> Option<Instant> {
        self.retire_at
    }

    /// Deletes closed files that are too many or too old.
    pub(crate) fn retire(&mut self) {
        self.retire_at = None;
        let closed = closed_files(Path::new(&self.path));
        let most = usize::try_from(self.rotation.max_files).unwrap_or(usize::MAX);
        let surplus = if most == 0 { 0 } else { closed.len().saturating_sub(most) };
        let now = self.reckon(SystemTime::now());
        for (number, path) in closed.iter().enumerate() {
            let age = written(path).map(|written| now.0.saturating_sub(written.0));
            let age = age.map(|age| Duration::from_nanos(u64::try_from(age).unwrap_or(0)));
            let age = age.zip(self.rotation.max_age);
            let too_old = age.is_some_and(|(age, most)| age > most);
            if number < surplus || too_old {
                // One that cannot be deleted now is tried at the next rotation.
                let _ = fs::remove_file(path);
            } else if let Some((age, most)) = age {
                let rest = (most - age).saturating_add(Duration::from_secs(1));
                let due = Instant::now().checked_add(rest);
                self.retire_at = self.retire_at.into_iter().chain(due).min();
            }
        }
        if !closed.is_empty() && self.calendar.is_some_and(|(calendar, _)| calendar.is_in_doubt()) {
            let due = Instant::now().checked_add(Calendar::STEADY);
            self.retire_at = self.retire_at.into_iter().chain(due).min();
        }
    }

    /// How late it is, for ages: the wall clock without its jumps.
    fn reckon(&mut self, shown: SystemTime) -> WallTime {
        let shown = wall_of(shown);
        let (calendar, began) = self.calendar.get_or_insert_with(|| {
            let written = written(Path::new(&self.path));
            (Calendar::begin(Duration::ZERO, shown, written), Instant::now())
        });
        calendar.reckon(began.elapsed(), shown)
    }

    fn open_existing(&self) -> Result<Option<File>, LogError> {
        match self.open(false) {
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    fn open_or_make(&self) -> Result<File, LogError> {
        if let Some(folder) = Path::new(&self.path).parent() {
            fs::create_dir_all(folder).map_err(LogError::io("create", folder))?;
        }
        self.open(true)
    }

    fn open(&self, make: bool) -> Result<File, LogError> {
        (self.open)(Path::new(&self.path), make).map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidInput {
                LogError::NotAFile { path: PathBuf::from(&self.path) }
            } else {
                self.cannot("open")(error)
            }
        })
    }

    fn cannot(&self, action: &'static str) -> impl FnOnce(io::Error) -> LogError {
        LogError::io(action, Path::new(&self.path))
    }
}

/// When a file was written last.
fn written(path: &Path) -> Option<WallTime> {
    fs::metadata(path).and_then(|facts| facts.modified()).ok().map(wall_of)
}

fn wall_of(time: SystemTime) -> WallTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// The last bytes of the first `length` bytes of a file.
fn tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let size = length.min(TAIL as u64);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(length - size))?;
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The closed files of an output, oldest first.
fn closed_files(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let stem = stem.to_string_lossy();
    let is_closed = |name: &std::ffi::OsStr| base_in_name(&stem, name.to_str()?);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut closed: Vec<_> =
        entries.filter(|e| is_closed(&e.file_name()).is_some()).map(|e| e.path()).collect();
    closed.sort();
    closed
}
