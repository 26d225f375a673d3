//! Opening files in folders that others may write to.
//!
//! A log file is opened only when it is a plain file with one name: no link, no
//! pipe, no device. Opening never waits and never follows a link at the last
//! component.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsu_model::spool::base_in_name;
use hsu_model::spool::notice::Stuck;

use super::disk::{Access, Disk, DiskFile, Missing};

/// Opens a log file for reading and writing; none when it is missing and shall stay so.
pub(super) fn open_log<D: Disk>(
    disk: &D,
    path: &Path,
    missing: Missing,
) -> Result<Option<D::File>, Stuck> {
    let file = match disk.open(path, missing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if missing == Missing::Leave {
                return Ok(None);
            }
            let folder = path.parent();
            folder.map_or(Ok(()), |f| disk.make_folders(f, Access::Usual)).map_err(why)?;
            disk.open(path, missing).map_err(why)?
        }
        file => file.map_err(why)?,
    };
    let facts = file.facts().map_err(why)?;
    if !facts.is_file || facts.links != 1 {
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
pub(super) fn last_line_end<F: DiskFile>(file: &F, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut block = block_for(from, to);
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
pub(super) fn first_line_end<F: DiskFile>(file: &F, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut block = block_for(from, to);
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

/// What a part of a file is read into, piece by piece.
fn block_for(from: u64, to: u64) -> Vec<u8> {
    const MOST: usize = 64 << 10;
    vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(MOST).min(MOST)]
}

fn read_part<'a, F: DiskFile>(
    file: &F,
    block: &'a mut [u8],
    from: u64,
    to: u64,
) -> io::Result<&'a [u8]> {
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
    pub(super) fn closed<D: Disk>(
        &mut self,
        disk: &D,
        data_path: &Path,
        now: Instant,
    ) -> io::Result<Vec<u64>> {
        let (Some(folder), Some(name)) = (data_path.parent(), data_path.file_name()) else {
            return Ok(Vec::new());
        };
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < Duration::from_secs(1);
        self.known.retain(|_, (at, _)| fresh(at));
        if !self.known.contains_key(folder) {
            self.known.insert(folder.to_path_buf(), (now, read_segments(disk, folder)?));
        }
        let segments = self.known.get(folder).map(|(_, segments)| segments);
        Ok(segments.and_then(|s| s.get(name.to_str()?)).cloned().unwrap_or_default())
    }
}

fn read_segments<D: Disk>(disk: &D, folder: &Path) -> io::Result<Segments> {
    let names = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Segments::new()),
        names => names?,
    };
    let mut segments = Segments::new();
    for name in names {
        let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
        if let Some(base) = base_in_name(stem, &name) {
            segments.entry(stem.to_owned()).or_default().push(base);
        }
    }
    segments.values_mut().for_each(|bases| bases.sort_unstable());
    Ok(segments)
}
