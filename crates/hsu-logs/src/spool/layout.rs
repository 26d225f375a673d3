//! Where the segments of a spool are at this moment.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use hsu_model::spool::head::Head;
use hsu_model::spool::plan::parse_place;
use hsu_model::spool::{DATA_FILE, HEAD_FILE, PLACE_FILE, base_in_name, closed_path, index_name};

use crate::error::LogError;

/// The files of a spool, looked up by name each time: they come and go.
#[derive(Debug)]
pub(super) struct Layout {
    folder: PathBuf,
}

/// Where a stream offset is.
#[derive(Debug)]
pub(super) enum Place {
    /// In this segment; without an end it is the one that grows.
    Segment { base: u64, file: File, end: Option<u64> },
    /// Gone; the next byte is at `to`.
    Gap { to: u64 },
    /// Not written yet.
    Nothing { end: u64 },
    /// The pump changed something during the look: look again.
    Changing,
}

impl Layout {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The head; without one the spool begins at zero.
    pub(super) fn head(&self) -> Result<Head, LogError> {
        let path = self.folder.join(HEAD_FILE);
        // The pump replaces the head by one write, so a torn one is whole a moment later.
        for _ in 0..8 {
            let mut bytes = [0; Head::SIZE];
            let read = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::default()),
                Err(error) => return Err(LogError::io("open", &path)(error)),
                Ok(mut file) => file.read_exact(&mut bytes),
            };
            if let Some(head) = read.ok().and_then(|()| Head::decode(&bytes)) {
                return Ok(head);
            }
            std::thread::yield_now();
        }
        Ok(Head::default())
    }

    /// The data paths, the current one first.
    fn places(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join(PLACE_FILE)).unwrap_or_default();
        let mut places = parse_place(&text);
        if places.is_empty() {
            places.push(DATA_FILE.to_owned());
        }
        let absolute = |place: String| self.folder.join(place).to_string_lossy().into_owned();
        places.into_iter().map(absolute).collect()
    }

    /// Finds the segment that holds, or will hold, the byte at `offset`.
    pub(super) fn find(&self, offset: u64) -> Result<Place, LogError> {
        let head = self.head()?;
        let places = self.places();
        let Some(current) = places.first() else {
            return Ok(Place::Changing);
        };
        if head.cut != 0 && offset >= head.base {
            return self.find_in_cut(head, current, offset);
        }
        if offset < head.base {
            return self.find_closed(head, &places, offset);
        }
        let file = open(Path::new(current))?;
        let after = self.head()?;
        if after.base != head.base || after.cut != 0 {
            return Ok(Place::Changing);
        }
        Ok(match file {
            Some(file) => Place::Segment { base: head.base, file, end: None },
            None => Place::Nothing { end: head.base },
        })
    }

    /// During a rotation the old segment is under its new name as soon as that exists.
    fn find_in_cut(&self, head: Head, current: &str, offset: u64) -> Result<Place, LogError> {
        if offset >= head.cut {
            return Ok(Place::Nothing { end: head.cut.max(offset) });
        }
        let closed = closed_path(current, head.base);
        let mut file = open(Path::new(current))?;
        if let Some(renamed) = open(Path::new(&closed))? {
            file = Some(renamed);
        }
        Ok(match file {
            Some(file) => Place::Segment { base: head.base, file, end: Some(head.cut) },
            None => Place::Changing,
        })
    }

    fn find_closed(&self, head: Head, places: &[String], offset: u64) -> Result<Place, LogError> {
        let closed = self.closed(places, head.base)?;
        let after = closed.partition_point(|segment| segment.base <= offset);
        let next = closed.get(after).map_or(head.base, |segment| segment.base);
        let Some(segment) = after.checked_sub(1).and_then(|at| closed.get(at)) else {
            return Ok(Place::Gap { to: next });
        };
        let Some(file) = open(&segment.path)? else {
            return Ok(Place::Changing);
        };
        let length = file.metadata().map_err(LogError::io("look at", &segment.path))?.len();
        // A tail that is not cut off yet is also in the next segment.
        let end = (segment.base + length).min(next);
        Ok(if offset < end {
            Place::Segment { base: segment.base, file, end: Some(end) }
        } else {
            Place::Gap { to: next }
        })
    }

    /// The closed segments that begin before `before`, oldest first.
    fn closed(&self, places: &[String], before: u64) -> Result<Vec<Closed>, LogError> {
        let mut closed = Vec::new();
        for place in places {
            let place = Path::new(place);
            let (Some(folder), Some(stem)) = (place.parent(), place.file_name()) else {
                continue;
            };
            let stem = stem.to_string_lossy();
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(LogError::io("list", folder))?,
            };
            for entry in entries {
                let entry = entry.map_err(LogError::io("list", folder))?;
                let base = entry.file_name().to_str().and_then(|name| base_in_name(&stem, name));
                if let Some(base) = base.filter(|base| *base < before) {
                    closed.push(Closed { base, path: entry.path() });
                }
            }
        }
        closed.sort_by_key(|segment| segment.base);
        Ok(closed)
    }

    /// Where the stream ends at this moment.
    pub(super) fn end(&self) -> Result<u64, LogError> {
        loop {
            let head = self.head()?;
            if head.cut != 0 {
                return Ok(head.cut.min(self.end_of_cut(head)));
            }
            let places = self.places();
            let length = places.first().and_then(|path| fs::metadata(path).ok());
            let length = length.map_or(0, |facts| facts.len());
            let after = self.head()?;
            if (after.base, after.cut) == (head.base, 0) {
                return Ok(head.base + length);
            }
        }
    }

    /// How far the segment that is being ended reaches, under whichever name it has by now.
    fn end_of_cut(&self, head: Head) -> u64 {
        let length = |path: &str| fs::metadata(path).map_or(0, |facts| facts.len());
        let places = self.places();
        let current = places.first().map_or(0, |path| length(path));
        // Looked at second: the renamed one is there when the current one is the next already.
        let closed = places.first().map_or(0, |path| length(&closed_path(path, head.base)));
        head.base + current.max(closed)
    }

    /// The oldest stream offset that can be read.
    pub(super) fn start(&self) -> Result<u64, LogError> {
        let head = self.head()?;
        let closed = self.closed(&self.places(), head.base)?;
        Ok(closed.first().map_or(head.base, |segment| segment.base))
    }

    /// The part of a segment that holds the last bytes before `offset`.
    pub(super) fn segment_before(&self, offset: u64) -> Result<Option<(u64, u64)>, LogError> {
        let head = self.head()?;
        if offset > head.base {
            let end = self.end()?.min(offset);
            if end > head.base {
                return Ok(Some((head.base, end)));
            }
        }
        let closed = self.closed(&self.places(), head.base)?;
        let before = closed.partition_point(|segment| segment.base < offset);
        for (at, segment) in closed.iter().enumerate().take(before).rev() {
            let next = closed.get(at + 1).map_or(head.base, |next| next.base);
            let length = fs::metadata(&segment.path).map_or(0, |facts| facts.len());
            let end = (segment.base + length).min(next).min(offset);
            if end > segment.base {
                return Ok(Some((segment.base, end)));
            }
        }
        Ok(None)
    }

    pub(super) fn retire_internal(&self, consumed: u64) -> Result<(), LogError> {
        let places = self.places();
        let head = self.head()?;
        let internal = self.folder.join(DATA_FILE).to_string_lossy().into_owned();
        if places != [internal] || head.cut != 0 {
            return Ok(());
        }
        let closed = self.closed(&places, head.base)?;
        for pair in closed.windows(2) {
            let [oldest, next] = pair else { continue };
            if next.base <= consumed {
                // The pump may delete it at the same time.
                let _ = fs::remove_file(&oldest.path);
                let _ = fs::remove_file(self.folder.join(index_name(oldest.base)));
            }
        }
        Ok(())
    }
}

/// A closed segment.
#[derive(Debug)]
struct Closed {
    base: u64,
    path: PathBuf,
}

fn open(path: &Path) -> Result<Option<File>, LogError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("open", path)(error)),
    }
}
