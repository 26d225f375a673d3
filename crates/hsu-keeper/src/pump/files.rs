//! Opening files in folders that others may write to.
//!
//! A log file is opened only when it is a plain file with one name: no link, no
//! pipe, no device. Opening never waits and never follows a link at the last
//! component.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_model::spool::base_in_name;
use hsu_model::spool::notice::Stuck;

/// Opens a small file of our own, made when missing.
pub(super) fn open_own(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags)
        .open(path)
}

/// Whether a missing log file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made, with its folders.
    Make,
    /// It stays missing.
    Leave,
}

/// Opens a log file for reading and writing; none when it is missing and shall stay so.
pub(super) fn open_log(path: &Path, missing: Missing) -> Result<Option<File>, Stuck> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let make = missing == Missing::Make;
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(make)
            .truncate(false)
            .custom_flags(flags)
            .open(path)
    };
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !make {
                return Ok(None);
            }
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(why)?;
            open().map_err(why)?
        }
        file => file.map_err(why)?,
    };
    let facts = file.metadata().map_err(why)?;
    if !facts.is_file() || facts.nlink() != 1 {
        return Err(Stuck::NotAFile);
    }
    Ok(Some(file))
}

/// What a failed call means for a spool.
pub(super) fn why(error: io::Error) -> Stuck {
    match error.raw_os_error() {
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => Stuck::NotAFile,
        Some(number) => Stuck::System(number),
        None => Stuck::System(libc::EIO),
    }
}

/// The last line end in `from..to` of a file.
pub(super) fn last_line_end(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; 64 << 10];
    let mut end = to;
    while end > from {
        let start = end.saturating_sub(block.len() as u64).max(from);
        let part = read_part(file, &mut block, start, end)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(start + at as u64));
        }
        end = start;
    }
    Ok(None)
}

/// The first line end in `from..to` of a file.
pub(super) fn first_line_end(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; 64 << 10];
    let mut start = from;
    while start < to {
        let end = to.min(start + block.len() as u64);
        let part = read_part(file, &mut block, start, end)?;
        if let Some(at) = part.iter().position(|byte| *byte == b'\n') {
            return Ok(Some(start + at as u64));
        }
        start = end;
    }
    Ok(None)
}

fn read_part<'a>(file: &File, block: &'a mut [u8], from: u64, to: u64) -> io::Result<&'a [u8]> {
    let size = usize::try_from(to - from).unwrap_or(usize::MAX).min(block.len());
    let part = block.get_mut(..size).unwrap_or_default();
    file.read_exact_at(part, from)?;
    Ok(part)
}

/// Which closed segments lie in which folder, read at most once a second: a
/// thousand spools in one folder do not read it a thousand times.
#[derive(Debug, Default)]
pub(super) struct Folders {
    known: BTreeMap<PathBuf, (Instant, Segments)>,
}

/// By log file name: the stream offsets in the names of closed segments, ascending.
type Segments = BTreeMap<String, Vec<u64>>;

impl Folders {
    /// The closed segments of a log file.
    pub(super) fn closed(&mut self, data_path: &Path, now: Instant) -> io::Result<Vec<u64>> {
        let (Some(folder), Some(name)) = (data_path.parent(), data_path.file_name()) else {
            return Ok(Vec::new());
        };
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < Duration::from_secs(1);
        self.known.retain(|_, (at, _)| fresh(at));
        if !self.known.contains_key(folder) {
            self.known.insert(folder.to_path_buf(), (now, read_segments(folder)?));
        }
        let segments = self.known.get(folder).map(|(_, segments)| segments);
        Ok(segments.and_then(|s| s.get(name.to_str()?)).cloned().unwrap_or_default())
    }
}

fn read_segments(folder: &Path) -> io::Result<Segments> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Segments::new()),
        entries => entries?,
    };
    let mut segments = Segments::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
        if let Some(base) = base_in_name(stem, name) {
            segments.entry(stem.to_owned()).or_default().push(base);
        }
    }
    segments.values_mut().for_each(|bases| bases.sort_unstable());
    Ok(segments)
}
